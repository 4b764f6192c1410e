"""A client that does not read its answers: it is not listened to either, so that the server need not keep them."""

import contextlib
import socket
from typing import Any

import pytest
from tests.chaos.raw import Raw
from tests.toys import Add, AsyncCounter, Count, Counter
from tests.wire.conftest import Connect, Serve
from tests.wire.raw import RESET, step
from websockets.frames import Frame, Opcode

ANSWER = 100_000
REQUESTS = 3000
"""So many that their answers would take 300 MB."""


def talkative(counter: type[Any]) -> type[Any]:
    """Return a counter with large answers."""

    class Talkative(counter):  # type: ignore[misc]
        def _add(self, action: Add) -> Count:
            count: Count = super()._add(action)
            count.extra, count.done = "x" * ANSWER, False
            return count

    return Talkative


@pytest.mark.parametrize("counter", [AsyncCounter, Counter])
def test_a_client_that_does_not_read_can_not_go_on_sending(serve_on: Serve, connect: Connect, counter: type[Any]):
    server = serve_on(talkative(counter))
    request = Frame(Opcode.TEXT, step(1, metadata={"x": "y" * 10_000}).encode()).serialize(mask=True)
    sent = 0
    with Raw(server.url, None, receive_buffer=4096) as deaf:
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        deaf.put(RESET.encode())
        assert deaf.receive()["type"] == "observation"
        deaf.socket.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            while sent < REQUESTS:
                deaf.socket.sendall(request)
                sent += 1
    assert sent < REQUESTS
    assert connect(server).ask(RESET)["observation"]["total"] == 0, "the others are served"
