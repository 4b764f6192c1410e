"""One server of two processes for all quick tests, and others for those that break it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.processes.running import Several, Wires

from openenv.protocol.formats import JSON, MSGPACK


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Several]:
    """A server of two processes that all tests use; each test ends the sessions it opens."""
    with Several(tmp_path_factory.mktemp("pair") / "log") as server:
        yield server


@pytest.fixture(params=[JSON, MSGPACK], ids=["json", "msgpack"])
def wires(request: pytest.FixtureRequest, pair: Several) -> Iterator[Wires]:
    """A maker of connections to it, in either encoding."""
    with ExitStack() as stack:
        yield Wires(pair, stack, request.param)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Several]]:
    """A maker of servers that end with the test: `start("app", workers)`."""
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(Several(tmp_path / "log", *arguments))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What ends with the test."""
    with ExitStack() as stack:
        yield stack


def pytest_collection_modifyitems(items: list[Any]) -> None:
    for item in items:
        if "pair" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("processes"))  # so that it is started once
