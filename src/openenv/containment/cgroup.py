"""A control group for one sandbox: what all its processes may use together.

A group is a folder below the group that this process is in, made where the system lets it, in version 1 of control
groups as in version 2. Nothing that is there already is changed.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

__all__ = ["Limits", "make", "unavailable"]

_PERIOD_US = 100_000
_NEEDED = ("memory", "pids")

Limits = Mapping[str, float | None]
"""`memory` in bytes, `processes`, `cpus`; None or left out for no limit."""


def unavailable(proc: Path = Path("/proc/self")) -> str | None:
    """Return None if groups with totals of memory and processes can be made, else why not."""
    found = _bases(proc)
    missing = [name for name in _NEEDED if name not in found]
    if missing:
        return f"no writable control group has the controllers {' and '.join(missing)}"
    probe = f"openenv-probe-{secrets.token_hex(6)}"
    for base in {found[name] for name in _NEEDED}:
        try:  # Landlock refuses what modes allow
            (base / probe).mkdir()
            (base / probe).rmdir()
        except OSError as error:
            return f"no control group can be made in {base}: {error.strerror}"
    return None


def make(name: str, limits: Limits, proc: Path = Path("/proc/self")) -> list[Path]:
    """Make a group and return its folders: a process that writes its id into each one's `cgroup.procs` is in it.

    Whoever made it removes the folders, with `rmdir`, when nothing runs in it any more.

    Args:
        name: A name that no other group has.
        limits: What its processes may use together.
        proc: What tells about this process.

    Raises:
        OSError: It cannot be made; nothing is left of it.
    """
    made: list[Path] = []
    bases = _bases(proc)
    try:
        for controller, settings in _settings(limits).items():
            if controller not in bases:
                raise OSError(errno.ENOTSUP, f"no writable control group has the controller {controller}")
            folder = bases[controller] / name
            if folder not in made:
                folder.mkdir()
                made.append(folder)
            _set(folder, settings)
    except OSError:
        for folder in made:
            folder.rmdir()
        raise
    return made


def _settings(limits: Limits) -> dict[str, dict[str, str]]:
    """Return what is written for each controller; a file that this version does not have is passed over."""
    found = {}
    if (memory := limits.get("memory")) is not None:
        size = str(int(memory))
        found["memory"] = {"memory.limit_in_bytes": size, "memory.max": size, "memory.swap.max": "0"}
    if (processes := limits.get("processes")) is not None:
        found["pids"] = {"pids.max": str(int(processes))}
    if (cpus := limits.get("cpus")) is not None:
        quota = str(int(cpus * _PERIOD_US))
        found["cpu"] = {"cpu.cfs_quota_us": quota, "cpu.max": f"{quota} {_PERIOD_US}"}
    return found


def _set(folder: Path, settings: Mapping[str, str]) -> None:
    for file, value in settings.items():
        if (folder / file).exists():
            (folder / file).write_text(value)


def _bases(proc: Path) -> dict[str, Path]:
    """Return, for each controller, the folder in which this process may make groups."""
    try:
        mounts = [line.split() for line in (proc / "mounts").read_text().splitlines()]
        memberships = [line.split(":", 2) for line in (proc / "cgroup").read_text().splitlines()]
    except OSError:
        return {}
    found: dict[str, Path] = {}
    for _, controllers, path in memberships:
        for _, place, kind, options, *_ in mounts:
            if kind == "cgroup" and controllers and set(controllers.split(",")) <= set(options.split(",")):
                found |= _first_version(Path(place), path, controllers.split(","))
            elif kind == "cgroup2" and not controllers:
                found = _second_version(Path(place), path) | found
    return found


def _first_version(mount: Path, path: str, controllers: list[str]) -> dict[str, Path]:
    own = mount / path.lstrip("/")
    base = own if os.path.isdir(own) else mount  # in a container the path may be one of the host
    return dict.fromkeys(controllers, base) if os.access(base, os.W_OK) else {}


def _second_version(mount: Path, path: str) -> dict[str, Path]:
    """Look at our own group, and at the one above: a group that has processes shares nothing out."""
    own = mount / path.lstrip("/")
    for base in (own, own.parent):
        try:
            shared_out = (base / "cgroup.subtree_control").read_text().split()
        except OSError:
            continue
        # To move a process takes the right to write to the group above both its old place and its new one.
        if set(_NEEDED) <= set(shared_out) and os.access(base / "cgroup.procs", os.W_OK):
            return dict.fromkeys(shared_out, base)
    return {}
