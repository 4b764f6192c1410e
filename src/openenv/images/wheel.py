"""A wheel of the openenv that runs, without a package index and without a build tool.

An image has to speak exactly what the installation speaks that built it, also between two releases. The same files
give the same bytes, so an engine's layer cache holds until something changes.
"""

from __future__ import annotations

import base64
import hashlib
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from openenv._version import __version__
from openenv.errors import ConfigurationError

__all__ = ["checkout", "write_wheel"]

PACKAGES = ("openenv", "openenv_core")
LEFT_OUT = ("__pycache__",)
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can say
WHEEL = "Wheel-Version: 1.0\nGenerator: openenv\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def write_wheel(folder: Path) -> Path:
    """Write a wheel of the running openenv into a folder, and return its path.

    Raises:
        ConfigurationError: What openenv depends on is written nowhere: it is neither installed nor in a checkout.
    """
    files = {name: place.read_bytes() for name, place in _modules()}
    information = f"openenv-{__version__}.dist-info"
    for name, text in {**_description(), "WHEEL": WHEEL}.items():
        files[f"{information}/{name}"] = text.encode()
    record = f"{information}/RECORD"
    lines = [f"{name},{_digest(content)},{len(content)}" for name, content in files.items()]
    files[record] = "".join(f"{line}\n" for line in [*lines, f"{record},,"]).encode()
    path = folder / f"openenv-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, content)
    return path


def checkout() -> Path | None:
    """Return the root of the checkout that openenv runs from; None if it was installed as a copy."""
    root = Path(__file__).resolve().parents[3]
    project = root / "pyproject.toml"
    if not project.is_file() or not (root / "src" / "openenv").is_dir():
        return None
    name = _project(root).get("name")
    return root if name == "openenv" else None


def _modules() -> Iterator[tuple[str, Path]]:
    """Yield every file of the packages, by its name in the wheel."""
    packages = Path(__file__).resolve().parents[2]
    for package in PACKAGES:
        for place in sorted((packages / package).rglob("*")):
            if place.is_file() and not set(LEFT_OUT) & set(place.parts):
                yield place.relative_to(packages).as_posix(), place


def _description() -> dict[str, str]:
    """Return METADATA and entry_points.txt: from the checkout, whose installation may be older, if there is one."""
    root = checkout()
    if root is not None:
        project = _project(root)
        return {"METADATA": _metadata(project), "entry_points.txt": _entry_points(project)}
    try:
        installed = distribution("openenv")
    except PackageNotFoundError as error:
        raise ConfigurationError(
            "openenv runs from a folder and is not installed, so nothing says what it depends on. "
            "Install it: pip install openenv."
        ) from error
    return {name: installed.read_text(name) or "" for name in ("METADATA", "entry_points.txt")}


def _project(root: Path) -> dict[str, Any]:
    content = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    project: dict[str, Any] = content.get("project", {})
    return project


def _metadata(project: Mapping[str, Any]) -> str:
    lines = ["Metadata-Version: 2.1", "Name: openenv", f"Version: {__version__}"]
    lines += [f"Summary: {project['description']}", f"Requires-Python: {project['requires-python']}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in project["dependencies"]]
    for extra, requirements in project.get("optional-dependencies", {}).items():
        lines.append(f"Provides-Extra: {extra}")
        for requirement in requirements:
            what, _, marker = (part.strip() for part in requirement.partition(";"))
            condition = f'({marker}) and extra == "{extra}"' if marker else f'extra == "{extra}"'
            lines.append(f"Requires-Dist: {what}; {condition}")
    return "\n".join(lines) + "\n"


def _entry_points(project: Mapping[str, Any]) -> str:
    groups = {"console_scripts": project.get("scripts", {}), **project.get("entry-points", {})}
    return "\n".join(
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
        for group, entries in groups.items()
    )


def _digest(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
