"""Every test here ends with nothing of its clients left, and may ask for servers of version 1 only."""

import pytest
from tests.client.conftest import no_thread_is_left, serve_each, serve_old

from openenv.client import lender

__all__ = ["no_thread_is_left", "serve_each", "serve_old"]


@pytest.fixture(autouse=True)
def a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pools wait for all servers that are up, however long those take to say how they stand."""
    monkeypatch.setattr(lender, "GRACE_S", 30.0)
