"""What all tests share: async tests, deterministic properties, real servers."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
from tests.servers import BOUND_S, Host, Server

# A module to inherit from, whose assertions are to be told, too.
pytest.register_assert_rewrite("tests.execution.contract")

hypothesis.settings.register_profile(
    "deterministic",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=40,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2000, database=None)
hypothesis.settings.load_profile("deterministic")  # pytest --hypothesis-profile=thorough looks for more


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine function on an event loop of its own, for a bounded time."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def bounded() -> None:
        async with asyncio.timeout(2 * BOUND_S):
            await pyfuncitem.obj(**arguments)

    asyncio.run(bounded())
    return True


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    """The thread that test servers run in."""
    host = Host()
    yield host
    host.close()


@pytest.fixture
def serve(host: Host) -> Iterator[Callable[..., Server]]:
    """A maker of servers that end with the test: `serve(Environment, **options of create_app)`."""
    made = []

    def start(env: Any, **options: Any) -> Server:
        made.append(host.serve(env, **options))
        return made[-1]

    yield start
    for server in made:
        server.stop(wait=False)


@pytest.fixture(scope="session")
def shared(host: Host) -> Callable[[Any], Server]:
    """A giver of servers that all tests use; each test opens sessions of its own."""
    return host.shared
