"""No connections out of this process: it may answer, and may not call.

What is bound already goes on listening. Landlock refuses TCP connections by the kernel's own knowledge of them;
where it is too old, seccomp refuses every `connect`, Unix sockets included. UDP, raw and odd sockets are refused by
seccomp in either case, and so is io_uring, which makes sockets of any kind past it.
"""

from __future__ import annotations

from openenv.containment import landlock
from openenv.containment.restrictions import Restrictions
from openenv.errors import IsolationError

__all__ = ["deny_egress"]


def deny_egress() -> None:
    """Restrict this process and all that it starts. Call it before there are other threads.

    Raises:
        IsolationError: This system cannot.
    """
    known = landlock.abi() >= landlock.NETWORK
    try:
        Restrictions(connect=not known, refused={"connect": known, "surface": True}).apply()
    except OSError as error:
        raise IsolationError(
            f"Outgoing connections cannot be refused here: {error}. It takes Linux with seccomp on x86_64 or "
            "aarch64; unset OPENENV_EGRESS to serve without."
        ) from error
