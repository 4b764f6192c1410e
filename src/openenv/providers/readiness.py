"""The one wait for a server to become healthy, used by every provider.

It asks `GET /health` with a growing pause between attempts. A server that listens before it is ready costs
one attempt: the request waits in the socket's queue and is answered at the first moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from threading import Event
from typing import Any

from openenv.protocol.address import place

__all__ = ["Probe", "wait_until_healthy"]

FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.25
# Short enough to notice within a second that the server behind an unanswered request has died.
ATTEMPT_S = 1.0


def wait_until_healthy(
    urls: Sequence[str],
    *,
    timeout_s: float,
    check_alive: Callable[[], None],
    interrupted: Event,
    headers_for: Callable[[str], Mapping[str, str]] = lambda url: {},
) -> str | None:
    """Wait until `GET /health` of every URL answers `{"status": "healthy"}`.

    Args:
        urls: Base URLs.
        timeout_s: Seconds for all of them together.
        check_alive: Called between attempts; ends the wait by raising.
        interrupted: Ends the wait when it is set.
        headers_for: Tells the HTTP headers that a URL needs.

    Returns:
        None when all are healthy, else what was last wrong.
    """
    end = time.monotonic() + timeout_s
    for url in urls:
        with closing(Probe(url, headers_for(url))) as probe:
            problem = _wait_for_one(probe, end=end, check_alive=check_alive, interrupted=interrupted)
        if problem is not None:
            return problem
    return None


def _wait_for_one(probe: Probe, *, end: float, check_alive: Callable[[], None], interrupted: Event) -> str | None:
    problem = "it was not asked, the time was up before"
    pause = FIRST_PAUSE_S
    while (left := end - time.monotonic()) > 0 and not interrupted.is_set():
        found = probe.health(min(left, ATTEMPT_S))
        if found is None:
            return None
        problem = found
        check_alive()
        interrupted.wait(max(0.0, min(pause, end - time.monotonic())))
        pause = min(pause * 1.5, LONGEST_PAUSE_S)
    return problem


class Probe:
    """Asks one server how it is, over a connection that is kept.

    Args:
        url: Its base URL.
        headers: HTTP headers of every request.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        import httpx

        url, file = place(url)
        host = httpx.URL(url).host
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=file) if file is not None else None,
            base_url=url,
            headers=dict(headers or {}),
            # Loading the certificates takes longer than many a server's start; plain HTTP needs none.
            verify=url.startswith("https:"),
            # A proxy of the surroundings cannot reach this machine's own loopback addresses.
            trust_env=not (host == "localhost" or host == "::1" or host.startswith("127.")),
        )

    def health(self, timeout_s: float) -> str | None:
        """Return None if the server says that it is healthy, else what it says or why it does not."""
        answer, problem = self._get("/health", timeout_s)
        if problem is not None:
            return problem
        if not isinstance(answer, dict) or answer.get("status") != "healthy":
            return f"GET /health answers {answer!r:.100}"
        return None

    def sessions(self, timeout_s: float) -> int | None:
        """Return how many sessions the server holds, or None if it does not tell."""
        answer, _ = self._get("/capacity", timeout_s)
        held = answer.get("active_sessions") if isinstance(answer, dict) else None
        return held if isinstance(held, int) else None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _get(self, path: str, timeout_s: float) -> tuple[Any, str | None]:
        """Return what a route answers, or why there is no answer."""
        import httpx

        try:
            response = self._client.get(path, timeout=timeout_s)
            if response.status_code != httpx.codes.OK:
                return None, f"GET {path} answers {response.status_code}"
            return response.json(), None
        except httpx.TimeoutException:
            return None, f"GET {path} is not answered"
        except (httpx.HTTPError, RuntimeError) as error:  # the latter if it was closed meanwhile
            return None, f"GET {path} fails: {error}"
        except ValueError:
            return None, f"GET {path} answers something that is not JSON"
