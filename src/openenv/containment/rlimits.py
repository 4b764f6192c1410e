"""What one process may use: memory, CPU time, processes, open files, the size of a file.

The kernel counts processes by user id and everything else by process, so a total over several processes takes
a control group (`cgroup`), and a limit of processes that is one's own takes a user id that is one's own.
"""

from __future__ import annotations

import resource
from collections.abc import Mapping

__all__ = ["NAMES", "apply"]

NAMES: Mapping[str, int] = {
    "memory": resource.RLIMIT_AS,
    "cpu_s": resource.RLIMIT_CPU,
    "file_size": resource.RLIMIT_FSIZE,
    "files": resource.RLIMIT_NOFILE,
    "core": resource.RLIMIT_CORE,
    # The name that Linux and the BSDs have beyond POSIX.
    "processes": resource.RLIMIT_NPROC,
}


def apply(limits: Mapping[str, int]) -> None:
    """Limit this process and what it starts. A limit that is lower already stays as it is.

    Args:
        limits: By the names of `NAMES`: bytes, seconds or counts.

    Raises:
        OSError: It is refused.
        KeyError: There is no such limit.
    """
    for name, value in limits.items():
        number = NAMES[name]
        _, hard = resource.getrlimit(number)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (value, value))
