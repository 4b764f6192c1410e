"""Landlock: a process gives up files, TCP connections, signals and abstract sockets, for good.

What is not named is refused. The kernel's ABI number says what it can hold; what is newer than the kernel is left
out, and `abi()` tells whoever must know. Only the calling thread and what it starts are restricted: call it before
there are others.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterable

from openenv.containment.kernel import no_new_privileges, syscall

__all__ = ["FILES", "NETWORK", "SCOPES", "abi", "restrict"]

FILES, NETWORK, SCOPES = 3, 4, 6
"""The ABI from which on files are held (before, truncation was not); TCP; signals and abstract sockets."""

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every architecture
_VERSION = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_ABSTRACT_SOCKETS, _SIGNALS = 1 << 0, 1 << 1


def abi() -> int:
    """Return the version of the kernel's Landlock; 0 where there is none or it is switched off."""
    try:
        return syscall(_CREATE, None, 0, _VERSION)
    except OSError:
        return 0


def restrict(
    *,
    read: Iterable[str] | None = None,
    listed: Iterable[str] = (),
    write: Iterable[str] = (),
    devices: Iterable[str] = (),
    connect: bool = True,
    bind: bool = True,
    scoped: bool = False,
) -> None:
    """Restrict the calling thread and everything it starts from now on.

    Args:
        read: Files and folders that may be read and run; None leaves all files alone. Those that are not there
            are passed over.
        listed: Folders in which names may be looked at, those of folders inside of them, too, but no content.
        write: Those that may also be changed; special files cannot be made.
        devices: Those that may be read, written and controlled, but nothing made there.
        connect: Whether TCP connections may be made; False needs `NETWORK`.
        bind: Whether TCP ports may be bound; False needs `NETWORK`.
        scoped: Whether processes outside may not be signalled, nor reached by abstract Unix sockets; needs
            `SCOPES`.

    Raises:
        OSError: There is no Landlock, or it does not know something that was asked for.
    """
    version = abi()
    needed = max(FILES * (read is not None), NETWORK * (not connect or not bind), SCOPES * scoped)
    if version < max(needed, 1):
        raise OSError(errno.ENOSYS, f"the kernel's Landlock is of version {version}; {needed} is needed")
    every = _every_file_right(version)
    files = every if read is not None else 0
    network = _CONNECT_TCP * (not connect) | _BIND_TCP * (not bind)
    scopes = (_ABSTRACT_SOCKETS | _SIGNALS) * scoped
    if not (files or network or scopes):
        return
    size = 8 * (1 + (version >= NETWORK) + (version >= SCOPES))
    ruleset = syscall(_CREATE, struct.pack("=QQQ", files, network, scopes), size, 0)
    try:
        if read is not None:
            made = every & ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV)
            used = every & (_READ | _OF_A_FILE)
            for paths, rights in ((read, _READ), (listed, _READ_DIR), (write, made), (devices, used)):
                for path in paths:
                    _allow(ruleset, path, rights & every)
        no_new_privileges()
        syscall(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _every_file_right(version: int) -> int:
    return (1 << (13 + (version >= 2) + (version >= 3) + (version >= 5))) - 1


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # not there, or out of reach anyway
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _OF_A_FILE
        syscall(_ADD, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)
