"""Namespaces, by bubblewrap (`bwrap`): a process with a file system, process ids and network of its own.

Only the command line is made here. The order of mounts is that of the depth of their paths, so that a folder
inside another one is what was said of it, whichever was named first.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from openenv.containment.places import is_inside

__all__ = ["command_line", "unavailable"]

PROBE_BUDGET_S = 10.0

_NAMESPACES = ("--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try")
_SHARED_MEMORY_BYTES = 64 * 1024 * 1024


def command_line(
    *,
    read: Sequence[str],
    write: Sequence[str] = (),
    devices: Sequence[str] = (),
    network: bool = False,
    own_uid: bool = False,
    tmp_bytes: int | None = None,
    new_session: bool = True,
    folder: str = "/tmp",  # noqa: S108 - the one inside, which nobody else has
    hidden: Sequence[str] = (),
    links: Mapping[str, str] | None = None,
    first: bool = False,
    capabilities: Sequence[str] = (),
) -> list[str]:
    """Return the command line up to the `--` that the program follows.

    Inside, `/tmp` and `/dev/shm` are private and empty, `/proc` and `/dev` are new, and everything that is
    not named is not there.

    Args:
        read: Absolute paths to be seen as they are, read-only.
        write: Those that can be written to.
        devices: Device files besides the usual harmless ones.
        network: Whether the network of the outside is shared.
        own_uid: Whether the program is going to take a user id of its own, for which this process has to be
            root. Else there is a user namespace, in which no others can be made.
        tmp_bytes: The size of `/tmp`; None for the system's default.
        new_session: Whether to leave the terminal; False where the caller has left it.
        folder: The working folder inside.
        hidden: Folders that are empty inside but for what is named in them.
        links: Symbolic links by their paths, where no folder from outside is.
        first: Whether the program is process 1, which no other one inside can kill; it has to collect those that
            come to it.
        capabilities: What root keeps besides the right to take a user id, if `own_uid` is set.
    """
    bwrap = shutil.which("bwrap") or "bwrap"
    line = [bwrap, *_isolation(own_uid, capabilities), *(() if network else ("--unshare-net",))]
    line += ["--die-with-parent", *["--new-session"] * new_session, *["--as-pid-1"] * first]
    line += ["--proc", "/proc", "--dev", "/dev", *_tmpfs("/dev/shm", _SHARED_MEMORY_BYTES)]  # noqa: S108
    line += _tmpfs("/tmp", tmp_bytes)  # noqa: S108
    empty = [path for path in hidden if any(is_inside(path, place) for place in (*read, *write))]
    line += _binds(
        [
            *(("--ro-bind", path) for path in read),
            *(("--bind", path) for path in write),
            *(("--tmpfs", path) for path in empty),
        ]
    )
    for path, target in (links or {}).items():
        if not any(is_inside(path, place) for place in (*read, *write)):
            line += ["--symlink", target, path]
    line += [word for path in devices for word in ("--dev-bind-try", path, path)]
    line += [word for path in empty for word in ("--remount-ro", path)]
    return [*line, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", folder]


def _isolation(own_uid: bool, capabilities: Sequence[str] = ()) -> list[str]:
    if own_uid:  # the rest of the capabilities goes when the program takes its user id
        kept = [word for name in ("CAP_SETUID", "CAP_SETGID", *capabilities) for word in ("--cap-add", name)]
        return [*_NAMESPACES, "--cap-drop", "ALL", *kept]
    return [*_NAMESPACES, "--unshare-user", *_no_more_namespaces(), "--cap-drop", "ALL"]


def _tmpfs(path: str, size: int | None) -> list[str]:
    return ["--perms", "1777", *(("--size", str(size)) if size else ()), "--tmpfs", path]


def _binds(wanted: Sequence[tuple[str, str]]) -> list[str]:
    line: list[str] = []
    there = {"/", "/dev", "/dev/shm", "/proc", "/tmp"}  # noqa: S108
    bound: list[str] = []
    for how, path in sorted(wanted, key=lambda bind: bind[1].count("/")):
        for folder in map(str, reversed(Path(path).parents)):
            # Made by bwrap itself, the way to a path would be open to root alone.
            if folder not in there and not any(is_inside(folder, place) for place in bound):
                line += ["--perms", "0755", "--dir", folder]
                there.add(folder)
        bound.append(path)
        if how == "--tmpfs":
            line += ["--perms", "0755", "--tmpfs", path]
        elif how == "--ro-bind" and path.count("/") == 1 and os.path.islink(path):  # such as /bin to usr/bin
            line += ["--symlink", os.readlink(path), path]
        else:
            line += [f"{how}-try", path, path]
    return line


@functools.cache
def _no_more_namespaces() -> tuple[str, ...]:
    """Return the option that forbids namespaces inside, if this version has it; it came with 0.8."""
    try:
        told = _run(["--help"])
    except OSError:
        return ()
    return ("--disable-userns",) if "--disable-userns" in told.stdout else ()


@functools.cache
def unavailable(own_uid: bool) -> str | None:
    """Return None if namespaces can be had, else why not. It is tried once, and takes a few milliseconds."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return "bubblewrap (bwrap) is not installed"
    isolation = [*_isolation(own_uid), "--unshare-net"]
    try:
        tried = _run(
            [*isolation, "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--", bwrap, "--version"]
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap cannot be run: {error}"
    return None if tried.returncode == 0 else f"bubblewrap fails: {tried.stderr.strip()[-300:]}"


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shutil.which("bwrap") or "bwrap", *arguments],
        capture_output=True,
        text=True,
        timeout=PROBE_BUDGET_S,
        check=False,
    )
