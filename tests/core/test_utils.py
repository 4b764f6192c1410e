"""The two functions of `openenv.core.utils`, which programs of the field call."""

import asyncio
import threading

import pytest

from openenv.core.utils import convert_to_ws_url, run_async_safely
from openenv.errors import OpenEnvError


@pytest.mark.parametrize(
    ("url", "converted"),
    [
        ("http://localhost:8000", "ws://localhost:8000"),
        ("https://host/path/", "wss://host/path"),
        ("ws://host", "ws://host"),
        ("wss://host/", "wss://host"),
        ("localhost:8000", "ws://localhost:8000"),
    ],
)
def test_an_address_gets_the_scheme_of_websockets(url, converted):
    assert convert_to_ws_url(url) == converted


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


def test_a_coroutine_is_run_from_blocking_code():
    assert run_async_safely(answer()) == 42


def test_a_coroutine_is_run_inside_a_running_loop_too():
    async def main() -> int:
        return run_async_safely(answer())

    assert asyncio.run(main()) == 42


def test_what_it_raises_is_raised():
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_async_safely(fail())


def test_a_call_that_would_wait_for_itself_is_refused():
    async def nested() -> int:
        return run_async_safely(answer())

    with pytest.raises(OpenEnvError, match="wait for itself"):
        run_async_safely(nested())


def test_no_thread_is_left():
    run_async_safely(answer())
    assert "openenv-client" not in {thread.name for thread in threading.enumerate()}
