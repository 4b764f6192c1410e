"""Connections on which nothing is said, or half of it: each is dropped after a while, and told why if it can be."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.chaos.raw import Raw, upgrade
from tests.servers import BOUND_S, Server
from tests.toys import Counter
from tests.wire.conftest import Serve

from openenv.protocol.formats import JSON, MSGPACK
from openenv.server import budgets

LIMIT_S = 0.3
WHOLE = upgrade("openenv.v2")


@pytest.fixture
def server(serve_on: Serve, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server with little patience."""
    monkeypatch.setattr(budgets, "HANDSHAKE_S", LIMIT_S)
    return serve_on(Counter)


class Says:
    """A TCP connection that says what it is told to."""

    def __init__(self, server: Server) -> None:
        parts = urlsplit(server.url)
        self.socket = socket.create_connection((parts.hostname, parts.port), BOUND_S)

    def __call__(self, what: bytes) -> None:
        self.socket.sendall(what)

    def rest(self) -> bytes:
        """Return what the server says until it hangs up."""
        said = b""
        while data := self.socket.recv(65536):
            said += data
        return said


@pytest.fixture
def says(server: Server) -> Iterator[Any]:
    """A maker of such connections."""
    with ExitStack() as stack:

        def made() -> Says:
            one = Says(server)
            stack.callback(one.socket.close)
            return one

        yield made


def test_who_says_nothing_is_dropped_without_a_word(says):
    assert says().rest() == b""


@pytest.mark.parametrize("half", [b"G", WHOLE[:40], WHOLE[:-2], b"POST /sessions HTTP/1.1\r\nHost: x\r\n"])
def test_who_says_half_a_request_is_told_that_it_took_too_long(says, half: bytes):
    slow = says()
    slow(half)
    assert slow.rest().startswith(b"HTTP/1.1 408 ")


def test_a_head_that_comes_byte_by_byte_is_no_excuse(says):
    slow, sent = says(), 0
    with pytest.raises(OSError):  # noqa: PT012 - whichever of them hears of it
        while sent < len(WHOLE):
            slow(WHOLE[sent : sent + 1])
            sent += 1
            slow.socket.settimeout(LIMIT_S / 10)
            try:
                if slow.socket.recv(1000).startswith(b"HTTP/1.1 408 "):
                    raise ConnectionResetError
            except TimeoutError:
                slow.socket.settimeout(BOUND_S)


def test_a_body_that_does_not_go_on_is_given_up(says):
    slow = says()
    slow(b"POST /step HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    slow.rest()


def test_the_second_request_of_a_connection_is_held_to_the_same(says):
    slow = says()
    slow(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTT")
    assert b"HTTP/1.1 408 " in slow.rest()


@pytest.mark.parametrize("format_", [JSON, MSGPACK], ids=["json", "msgpack"])
def test_who_does_not_say_hello_is_told_and_dropped(server: Server, format_):
    with Raw(server.url, format_) as silent:
        error = silent.receive()
        assert error["id"] is None
        assert error["data"]["code"] == "BUDGET_EXCEEDED"
        assert "hello" in error["data"]["message"]
        assert silent.ended() == 1002
