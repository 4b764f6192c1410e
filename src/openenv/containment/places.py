"""Which files of this machine a program needs in order to run at all, and which of them tell nothing of anybody.

Everything else, such as homes, `/run`, `/var` and other users' files, is only there if it is named.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

__all__ = ["DEVICES", "PROCESS_FILES", "SYSTEM", "is_inside", "outermost", "system"]

SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"),
    *("/sys/devices/system/cpu", "/sys/devices/system/node"),
)
"""Programs and libraries."""

_SETTINGS = """
    alternatives ca-certificates ca-certificates.conf debian_version fonts gai.conf group host.conf hosts
    inputrc java ld.so.cache ld.so.conf ld.so.conf.d locale.alias locale.conf localtime magic magic.mime
    mime.types nsswitch.conf os-release passwd pki profile protocols python3 rpc services shells ssl/certs
    ssl/openssl.cnf terminfo timezone vim
"""
_SETTINGS_OF_A_NETWORK = ("/etc/resolv.conf",)

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

PROCESS_FILES = (
    *("/proc/self", "/proc/cpuinfo", "/proc/filesystems", "/proc/loadavg", "/proc/meminfo", "/proc/stat"),
    *("/proc/uptime", "/proc/version", "/proc/sys/kernel", "/proc/sys/vm"),
)
"""What of `/proc` concerns the process itself or the machine."""


def system(*, network: bool) -> list[str]:
    """Return the files and folders of the system that are there.

    Args:
        network: Whether those that only a network needs are wanted.
    """
    names = [*SYSTEM, *(f"/etc/{name}" for name in _SETTINGS.split())]
    if network:
        names += _SETTINGS_OF_A_NETWORK
    return [name for name in names if os.path.lexists(name)]


def outermost(paths: Iterable[str]) -> list[str]:
    """Return the paths without those that are inside of another, sorted."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not (kept and is_inside(path, kept[-1])):
            kept.append(path)
    return kept


def is_inside(path: str, folder: str) -> bool:
    """Return whether an absolute path is a folder or something in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
