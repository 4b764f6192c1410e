"""WebSockets that speak version 2 in either encoding, and an end for whatever hangs."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.sessions import environments
from tests.sessions.wire import Wires

from openenv.protocol.formats import JSON, MSGPACK
from openenv.server import manager


@pytest.fixture
def wires() -> Iterator[Wires]:
    """A maker of WebSockets that end with the test: `wires(server)`. They speak JSON."""
    with ExitStack() as stack:
        yield Wires(stack, JSON)


@pytest.fixture(params=[JSON, MSGPACK], ids=["json", "msgpack"])
def both(request: pytest.FixtureRequest) -> Iterator[Wires]:
    """The same, once for each encoding."""
    with ExitStack() as stack:
        yield Wires(stack, request.param)


@pytest.fixture(autouse=True)
def let_go() -> Iterator[None]:
    """Let threads go that hang in an environment."""
    environments.release.clear()
    yield
    environments.release.set()


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Free the slot of an ended session soon, even if its step still runs."""
    monkeypatch.setattr(manager, "CLOSE_GRACE_S", 0.05)
