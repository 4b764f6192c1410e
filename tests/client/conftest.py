"""Every test of a client ends with nothing of it left."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from tests.servers import BOUND_S


def portal_threads() -> list[str]:
    """Return the threads that blocking clients share; there should be one or none."""
    return [thread.name for thread in threading.enumerate() if thread.name == "openenv-client"]


def wait_until(condition: Callable[[], bool]) -> bool:
    """Return whether a condition comes true in a bounded time."""
    end = time.monotonic() + BOUND_S
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Checks that the shared thread has ended with the last client of the test."""
    yield
    end = wait_until(lambda: not portal_threads())
    assert end, "a client was not closed, or its thread did not end"
