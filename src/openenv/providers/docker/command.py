"""The command line of a container: the image's own command, below a first process that ends it in time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

__all__ = ["first_process", "timeout_process"]


def first_process(
    command: Sequence[str], *, lifetime_s: float | None, grace_s: float, port: int, relay: str | None = None
) -> list[str]:
    """Return the command below the first process of ours, which wants a `python3` in the image.

    Args:
        command: The image's entry point and command.
        lifetime_s: Seconds until it ends everything; None for never.
        grace_s: Seconds between SIGTERM and SIGKILL then.
        port: The server's port in the container.
        relay: Path, in the container, of the socket that connections are asked for over; None if the engine
            publishes the port.
    """
    # -I and -S: nothing of the image's packages is imported, and it is up in half the time.
    own = ["python3", "-I", "-S", "-c", _text(), f"{lifetime_s or 0:g}", f"{grace_s:g}", str(port), relay or ""]
    return [*own, *command]


def timeout_process(command: Sequence[str], *, lifetime_s: float | None, grace_s: float) -> list[str]:
    """Return the command below `timeout` of coreutils or busybox, which keeps the lifetime and does no more.

    It must not be process 1 of its container, which no signal from the inside ends: use an init.
    """
    if lifetime_s is None:
        return list(command)
    return ["timeout", "-k", f"{max(grace_s, 1):.0f}", f"{max(lifetime_s, 1):.0f}", *command]


@cache
def _text() -> str:
    return Path(__file__).with_name("first_process.py").read_text(encoding="utf-8")
