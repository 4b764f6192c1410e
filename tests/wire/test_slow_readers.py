"""A client that does not read its answers: it is not listened to either, so that the server need not keep them."""

import time
from typing import Any

import pytest
from tests.chaos.raw import Raw
from tests.sessions.wire import wait_until
from tests.toys import Add, AsyncCounter, Count, Counter
from tests.wire.conftest import Connect, Serve
from tests.wire.raw import RESET, step

ANSWER, WAVES, STEPS = 20_000, 12, 200
"""Answers of 48 MB in all, of which the system itself keeps a few."""


def talkative(counter: type[Any]) -> type[Any]:
    """Return a counter with large answers, which counts its steps where a test can see it."""

    class Talkative(counter):  # type: ignore[misc]
        executed = 0

        def _add(self, action: Add) -> Count:
            Talkative.executed += 1
            count: Count = super()._add(action)
            count.extra, count.done = "x" * ANSWER, False
            return count

    return Talkative


@pytest.mark.parametrize("counter", [AsyncCounter, Counter])
def test_who_does_not_read_is_not_served_without_end(serve_on: Serve, connect: Connect, counter: type[Any]):
    environment = talkative(counter)
    server = serve_on(environment)
    with Raw(server.url, None, receive_buffer=4096) as deaf:
        deaf.put(RESET.encode())
        assert deaf.receive()["type"] == "observation"
        for _ in range(WAVES):
            for _ in range(STEPS):
                deaf.put(step(1).encode())
            time.sleep(0.05)
        assert not wait_until(lambda: environment.executed == WAVES * STEPS, 1.0)
        assert connect(server).ask(RESET)["observation"]["total"] == 0, "the others are served"
        for total in range(1, WAVES * STEPS + 1):
            assert deaf.receive()["data"]["observation"]["total"] == total
    assert environment.executed == WAVES * STEPS, "nothing was lost"
