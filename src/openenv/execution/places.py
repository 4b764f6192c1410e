"""Which files an agent's Python sees: the system's programs, the standard library, and packages that were named.

Installed packages are left out unless they are named, for the environment is one of them, and with it perhaps the
answers to its tasks.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import site
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from openenv.containment.places import is_inside, outermost, system
from openenv.errors import ConfigurationError

__all__ = ["Visible", "visible"]

_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Visible:
    """What programs may see.

    Attributes:
        read: Files and folders that may be read.
        listed: Folders in which only the names may be looked at.
        hidden: Folders of installed packages, which are left out.
        packages: Files and folders of the packages that were named.
        search: Where those are imported from by a process that is not held.
        whole: Folders that hold all of `read`, and what is hidden besides: for whoever hides it by other means.
    """

    read: tuple[str, ...]
    listed: tuple[str, ...]
    hidden: tuple[str, ...]
    packages: tuple[str, ...]
    search: tuple[str, ...]
    whole: tuple[str, ...]


def visible(packages: Sequence[str], read: Iterable[str] = ()) -> Visible:
    """Return what programs may see.

    Args:
        packages: Distributions that may be imported, such as `numpy`; what they require is found.
        read: Files and folders besides.

    Raises:
        ConfigurationError: A distribution is not installed.
    """
    hidden = _site_folders()
    named, search = _entries_of(packages)
    shown: list[str] = []
    listed: list[str] = []
    around = [*system(network=False), *_standard_library()]
    for path in outermost(map(os.path.realpath, around)):
        _around(path, hidden, shown, listed)
    extra = [form for path in read for form in (os.path.abspath(path), os.path.realpath(path))]
    more = [*map(os.path.realpath, named), *extra]
    return Visible(
        read=tuple(dict.fromkeys([*shown, *more])),
        listed=tuple(listed),
        hidden=tuple(hidden),
        packages=tuple(named),
        search=tuple(search),
        whole=tuple(dict.fromkeys([*outermost([*around, *map(os.path.realpath, around)]), *named, *more])),
    )


def _site_folders() -> list[str]:
    found = {*site.getsitepackages(), site.getusersitepackages()}
    found |= {entry for entry in sys.path if os.path.basename(entry).endswith("-packages")}
    return sorted({os.path.realpath(folder) for folder in found if os.path.isdir(folder)})


def _standard_library() -> list[str]:
    paths = sysconfig.get_paths(vars={"base": sys.base_prefix, "platbase": sys.base_exec_prefix})
    library = sysconfig.get_config_var("LIBDIR") or ""
    shared = os.path.join(library, sysconfig.get_config_var("LDLIBRARY") or "")
    program = os.path.realpath(sys.executable)
    found = [paths["stdlib"], paths["platstdlib"], program, sys.executable]
    found += [os.path.join(os.path.dirname(sys.executable), os.pardir, "pyvenv.cfg")]
    return [path for path in (*found, *([shared] if library else [])) if os.path.exists(path)]


def _around(path: str, hidden: Sequence[str], shown: list[str], listed: list[str]) -> None:
    """Add what covers a folder except for what is hidden in it."""
    if path in hidden:
        return
    if not any(is_inside(one, path) for one in hidden):
        shown.append(path)
        return
    listed.append(path)
    for entry in sorted(os.scandir(path), key=lambda one: one.name):
        if not entry.is_symlink():
            _around(entry.path, hidden, shown, listed)


def _entries_of(packages: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the files and folders that distributions consist of, and where they are."""
    entries: dict[str, None] = {}
    search: dict[str, None] = {}
    waiting, seen = list(packages), set()
    while waiting:
        name = waiting.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in seen:
            continue
        seen.add(key)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            if name in packages:
                raise ConfigurationError(
                    f"The package {name} is not installed, so the programs of an agent cannot have it: "
                    f"pip install {name}"
                ) from None
            continue  # required on other systems only, or for an extra
        for file in distribution.files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__", "bin"):
                place = str(distribution.locate_file(top))
                entries[place] = None
                search[os.path.dirname(place)] = None
        for requirement in distribution.requires or ():
            matched = _NAME.match(requirement)
            if matched and "extra ==" not in requirement:
                waiting.append(matched.group())
    return list(entries), list(search)
