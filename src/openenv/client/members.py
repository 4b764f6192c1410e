"""One server of a pool: what is known of it, and the sessions on it that wait for the next lease.

A server is asked for its capacity when somebody wants a session and the last answer is old, never on a timer. One
that refuses, is silent or dies is left alone for a while, each time longer.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from openenv.client.core import Keeper
from openenv.client.link import Link
from openenv.errors import ConnectionFailedError, InvalidReplyError
from openenv.protocol.messages import ServerCapacityStatus

REFRESH_S = 2.0
"""Seconds after which what a server said of its capacity is old."""

ANSWER_S = 3.0
"""Seconds a server may take to say it."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 30.0
"""Seconds a server that failed is left alone: doubled each time, with jitter."""


@dataclass(frozen=True)
class ServerStatus:
    """How a server of a pool stands.

    Attributes:
        url: Its address.
        leased: Sessions of this pool on it that are in use.
        idle: Sessions of this pool on it that wait for the next lease.
        free: Sessions that could be opened; None if it does not say.
        down: Why it is left alone at present; None if it is not.
    """

    url: str
    leased: int
    idle: int
    free: int | None
    down: str | None


class Member:
    """A server of a pool.

    Args:
        url: Its address.
        make_link: Makes a link to it.
        headers: HTTP headers of requests to it.

    Attributes:
        leased: Sessions that are in use, or are being opened or reset.
        idle: Sessions that wait for the next lease, reset.
    """

    def __init__(self, url: str, make_link: Callable[[str], Link], headers: Mapping[str, str]) -> None:
        self.url = url
        self.leased = 0
        self.idle: list[Link] = []
        self._keeper: Keeper[Link] = Keeper(make_link, url)
        self._headers = headers
        self._others: int | None = None  # sessions that may be there and are not ours to use
        self._limit = 0
        self._asked = -math.inf
        self._asking = False
        self._failures = 0
        self._down: str | None = None
        self._again = 0.0

    # --- what is known ---------------------------------------------------------------------------

    @property
    def free(self) -> int | None:
        """How many sessions could be opened; None if it does not say."""
        if self._others is None:
            return None
        return max(0, self._limit - self._others - self.leased - len(self.idle))

    def status(self) -> ServerStatus:
        """Return how it stands."""
        return ServerStatus(self.url, self.leased, len(self.idle), self.free, self._down)

    def worth(self) -> tuple[bool, int, int] | None:
        """Return how good a next lease would be here, to be compared; None if there can be none."""
        if self._down is not None or self._asked == -math.inf:
            return None
        room = 1 if self.free is None else self.free
        if not self.idle and not room:
            return None
        return bool(self.idle), room + len(self.idle), -self.leased

    def pause(self, now: float) -> float:
        """Return for how many seconds there is no use in asking it; for ever while it is being asked."""
        if self._asking:
            return math.inf
        return max(self._again if self._down is not None else self._asked + REFRESH_S, now) - now

    # --- what becomes known ----------------------------------------------------------------------

    async def refresh(self) -> None:
        """Ask it how it stands."""
        self._asking = True
        try:
            async with asyncio.timeout(ANSWER_S):
                status = await self._keeper.get("/capacity", ServerCapacityStatus, self._headers)
        except TimeoutError:
            self.failed(f"it did not answer within {ANSWER_S:g} s")
        except ConnectionFailedError as error:
            if _has_no_capacity(error):  # a server of an older release: it will refuse when it is full
                self._well()
                self._others = None
            else:
                self.failed(str(error))
        except InvalidReplyError as error:
            self.failed(str(error))
        else:
            self._well()
            self._limit = status.max_sessions
            self._others = max(0, status.active_sessions - self.leased - len(self.idle))
        finally:
            self._asking = False

    def _well(self) -> None:
        self._asked = asyncio.get_running_loop().time()
        self._failures = 0
        self._down = None

    def failed(self, why: str) -> None:
        """Leave it alone for a while."""
        self._failures += 1
        longest = min(FIRST_PAUSE_S * 2 ** (self._failures - 1), LONGEST_PAUSE_S)
        self._down = why
        pause = longest * random.uniform(0.5, 1)  # noqa: S311 - jitter, not a secret
        self._again = asyncio.get_running_loop().time() + pause

    def full(self) -> None:
        """It has refused a session: somebody else was faster."""
        self._limit, self._others = self.leased + len(self.idle), 0
        self._asked = asyncio.get_running_loop().time()

    def doubt(self) -> None:
        """A session on it was lost: ask how it stands before the next lease."""
        self._asked = -math.inf


def _has_no_capacity(error: ConnectionFailedError) -> bool:
    response = getattr(error.__cause__, "response", None)
    return response is not None and response.status_code in (404, 405)
