"""Servers on both WebSocket carriers, and clients that send any bytes at all."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from tests.servers import BOUND_S, Host, Server
from tests.wire.raw import Raw

from openenv.server.app import create_app

CARRIERS: dict[str, dict[str, Any]] = {"fast": {}, "asgi": {"ws": "websockets-sansio"}}
"""What uvicorn is told beside `wire_options()`."""

Serve = Callable[..., Server]
Connect = Callable[..., Raw]


@pytest.fixture(params=CARRIERS, scope="module")
def carrier(request: pytest.FixtureRequest) -> str:
    """Which implementation carries `/ws`: our own, or the plain ASGI route."""
    return request.param


@pytest.fixture
def serve_on(host: Host, carrier: str) -> Iterator[Serve]:
    """A maker of servers on the carrier that end with the test: `serve_on(Environment, **options)`."""
    made = []

    def start(env: Any, **options: Any) -> Server:
        made.append(host.run(create_app(env, **options), **CARRIERS[carrier]))
        return made[-1]

    yield start
    for server in made:
        server.stop(wait=False)


@pytest.fixture
def connect() -> Iterator[Connect]:
    """A maker of WebSockets that end with the test: `connect(server, "?query")`."""
    with ExitStack() as open_sockets:
        yield lambda server, query="": open_sockets.enter_context(Raw(server.url, query))


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    """A plain HTTP client; give it whole addresses."""
    with httpx.Client(trust_env=False, timeout=BOUND_S) as client:
        yield client
