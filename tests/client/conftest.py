"""Every test of a client ends with nothing of it left."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from fastapi import FastAPI
from tests.servers import BOUND_S, Host, Server, wait_until

from openenv.client import lender
from openenv.client.fleet import Fleet
from openenv.client.http import HTTPLink
from openenv.client.mux import Multiplexer
from openenv.client.session_link import SessionLink
from openenv.server.app import create_app


def portal_threads() -> list[str]:
    """Return the threads that blocking clients share; there should be one or none."""
    return [thread.name for thread in threading.enumerate() if thread.name == "openenv-client"]


@pytest.fixture(autouse=True)
def pools_have_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pools wait for all servers that are up, however long those take to say how they stand."""
    monkeypatch.setattr(lender, "GRACE_S", 30.0)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Checks that the shared thread has ended with the last client of the test."""
    there_already = portal_threads()  # an earlier test has failed
    yield
    ended = there_already or wait_until(lambda: not portal_threads())
    assert ended, "a client was not closed, or its thread did not end"


def told_to_be_dropped(name: str = "") -> Any:
    """Return what catches the warning that a client was dropped without being closed."""
    return pytest.warns(ResourceWarning, match=f"{name} was dropped without being closed")


def allow(env: Any, seconds: float) -> None:
    """Change the message budget of a client that has no request under way: of its connection, or of plain HTTP.

    So what must time out does so soon, and what must not has all the time it needs.
    """
    link = getattr(env, "_core", None) or env._keeper
    done = threading.Event()

    def change() -> None:
        for part in parts_of(link.link):
            if isinstance(part, Multiplexer):
                part.calls.close()  # its timer was set for another budget
                part.calls._seconds = seconds
            else:
                part._options = replace(part._options, message_timeout_s=seconds)
                if isinstance(part, HTTPLink):
                    part._http.timeout = seconds
        done.set()

    portal = env._tenancy._portal
    if portal is None:
        change()
    else:
        portal.loop.call_soon_threadsafe(change)
        assert done.wait(BOUND_S)


def parts_of(link: Any) -> list[Any]:
    """Return the connections of a client that is connected."""
    if isinstance(link, SessionLink):
        return [link._old or link._mux]
    if isinstance(link, Fleet):
        return [lane._mux for lane in link._lanes]
    return [link]


class VersionOne:
    """An application whose WebSocket speaks version 1 only, as servers of older releases do."""

    def __init__(self, application: FastAPI) -> None:
        self._application = application
        self.state = application.state

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            headers = [pair for pair in scope["headers"] if pair[0] != b"sec-websocket-protocol"]
            scope = {**scope, "subprotocols": [], "headers": headers}
        await self._application(scope, receive, send)


@pytest.fixture
def serve_old(host: Host) -> Iterator[Callable[..., Server]]:
    """A maker of servers that speak version 1 only: `serve_old(Environment, **options of create_app)`."""
    made = []

    def start(env: Any, **options: Any) -> Server:
        made.append(host.run(VersionOne(create_app(env, **options))))
        return made[-1]

    yield start
    for server in made:
        server.stop(wait=False)


@pytest.fixture(params=["version 1", "version 2"])
def serve_each(request: pytest.FixtureRequest) -> Callable[..., Server]:
    """A maker of servers of either version of the protocol."""
    return request.getfixturevalue("serve_old" if request.param == "version 1" else "serve")


@pytest.fixture(scope="session")
def shared_old(host: Host) -> Callable[[Any], Server]:
    """A giver of servers that speak version 1 only and that all tests use."""
    return cache(lambda environment: host.run(VersionOne(create_app(environment))))


@pytest.fixture(params=["version 1", "version 2"])
def shared_each(request: pytest.FixtureRequest) -> Callable[[Any], Server]:
    """A giver of servers of either version of the protocol that all tests use."""
    return request.getfixturevalue("shared_old" if request.param == "version 1" else "shared")
