"""The one wait for a server to become healthy, used by every provider.

It asks `GET /health` with a growing pause between attempts. A server that listens before it is ready costs
one attempt: the request waits in the socket's queue and is answered at the first moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Event
from typing import TYPE_CHECKING

from openenv.protocol.address import place

if TYPE_CHECKING:
    import httpx

__all__ = ["wait_until_healthy"]

FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.25
# Short enough to notice within a second that the server behind an unanswered request has died.
ATTEMPT_S = 1.0


def wait_until_healthy(
    urls: Sequence[str], *, timeout_s: float, check_alive: Callable[[], None], interrupted: Event
) -> str | None:
    """Wait until `GET /health` of every URL answers `{"status": "healthy"}`.

    Args:
        urls: Base URLs.
        timeout_s: Seconds for all of them together.
        check_alive: Called between attempts; ends the wait by raising.
        interrupted: Ends the wait when it is set.

    Returns:
        None when all are healthy, else what was last wrong.
    """
    end = time.monotonic() + timeout_s
    for url in urls:
        problem = _wait_for_one(url, end=end, check_alive=check_alive, interrupted=interrupted)
        if problem is not None:
            return problem
    return None


def _wait_for_one(url: str, *, end: float, check_alive: Callable[[], None], interrupted: Event) -> str | None:
    problem = "it was not asked, the time was up before"
    pause = FIRST_PAUSE_S
    with _client(url) as client:
        while (left := end - time.monotonic()) > 0 and not interrupted.is_set():
            found = _ask(client, min(left, ATTEMPT_S))
            if found is None:
                return None
            problem = found
            check_alive()
            interrupted.wait(max(0.0, min(pause, end - time.monotonic())))
            pause = min(pause * 1.5, LONGEST_PAUSE_S)
    return problem


def _client(url: str) -> httpx.Client:
    import httpx

    url, file = place(url)
    host = httpx.URL(url).host
    return httpx.Client(
        transport=httpx.HTTPTransport(uds=file) if file is not None else None,
        base_url=url,
        # Loading the certificates takes longer than many a server's start; plain HTTP needs none.
        verify=url.startswith("https:"),
        # A proxy of the surroundings cannot reach this machine's own loopback addresses.
        trust_env=not (host == "localhost" or host == "::1" or host.startswith("127.")),
    )


def _ask(client: httpx.Client, timeout_s: float) -> str | None:
    """Return None if the server says that it is healthy, else what it says or why it does not."""
    import httpx

    try:
        response = client.get("/health", timeout=timeout_s)
        if response.status_code != httpx.codes.OK:
            return f"GET /health answers {response.status_code}"
        answer = response.json()
    except httpx.TimeoutException:
        return "GET /health is not answered"
    except httpx.HTTPError as error:
        return f"GET /health fails: {error}"
    except ValueError:
        return "GET /health answers something that is not JSON"
    if not isinstance(answer, dict) or answer.get("status") != "healthy":
        return f"GET /health answers {answer!r:.100}"
    return None
