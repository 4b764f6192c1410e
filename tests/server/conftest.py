"""Ends what the sessions of a test leave when its event loop is gone: the idle threads of their pools."""

from collections.abc import Iterator

import pytest
from tests.server import driving


@pytest.fixture(autouse=True)
def end_threads() -> Iterator[None]:
    yield
    while driving.made:
        pool = driving.made.pop()._pool
        if pool is not None:
            pool.close()
