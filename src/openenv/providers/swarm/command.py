"""The command line of a task. Its lifetime ends at a moment, and not so long after its start.

A task that has ended is replaced by the swarm, so one that counted seconds would live again and again. Past the
moment a new task ends at once and with success, which the swarm takes for done.
"""

from __future__ import annotations

from collections.abc import Sequence

from openenv.providers.docker.command import first_process

__all__ = ["task_command"]

# Puts the seconds that are left into the command line of the first process, and becomes that process.
_UNTIL = """
import os, sys, time
left, at, command = float(sys.argv[1]) - time.time(), int(sys.argv[2]), sys.argv[3:]
if left <= 0:
    sys.exit(0)
command[at] = str(left)
os.execvp(command[0], command)
"""
_SLOT = 7.0  # seconds that nothing else in the command line says


def task_command(command: Sequence[str], *, expires: int | None, grace_s: float, port: int) -> list[str]:
    """Return the image's command below a first process that ends it in time; it wants a `python3` in the image.

    Args:
        command: The image's entry point and command.
        expires: Unix time in seconds; None for never.
        grace_s: Seconds between SIGTERM and SIGKILL then.
        port: The server's port in the container.
    """
    if expires is None:
        return first_process(command, lifetime_s=None, grace_s=grace_s, port=port)
    below = first_process(command, lifetime_s=_SLOT, grace_s=grace_s, port=port)
    return ["python3", "-I", "-S", "-c", _UNTIL, str(expires), str(below.index(f"{_SLOT:g}")), *below]
