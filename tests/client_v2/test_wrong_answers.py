"""A server that answers with something else: a typed error, at once, and never a `KeyError`."""

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from tests.sessions_v2.cable import World
from tests.toys import Add, Counter

from openenv.errors import InvalidReplyError
from openenv.protocol.formats import JSON


@pytest.fixture
def world() -> Iterator[World]:
    world = World(Counter, Add, JSON)
    with mock.patch("openenv.client.socket.Socket.open", world.connect):
        yield world
    world.loop.close()


def answered(world: World, task: Any, answer: bytes) -> BaseException | None:
    """Answer what a task has asked for, and return what it raises."""
    cable = world.cables[-1]
    cable.requests.clear()
    cable.replies.append(answer)
    world.loop.settle(cable.carry_reply)
    world.carry_everything()
    assert task.done()
    error: BaseException | None = task.exception()
    return error


@pytest.mark.parametrize(
    "answer",
    [
        b"no frame at all",
        b'{"id":0}',
        b'{"id":0,"type":"welcome"}',
        b'{"id":0,"type":"pong"}',
        b'{"id":0,"type":"welcome","version":2,"server":"x","capabilities":[],"limits":{"__bytes__":5}}',
    ],
)
def test_a_welcome_that_is_none_is_an_invalid_reply(world: World, answer: bytes):
    connecting = world.begin(world.client.connect())
    assert isinstance(answered(world, connecting, answer), InvalidReplyError)


@pytest.mark.parametrize(
    "answer",
    [
        b'{"id":%d,"type":"closed","session":"s"}',
        b'{"id":%d,"type":"opened","sessions":[],"lease_s":1.0}',
        b'{"id":%d,"type":"opened","sessions":[{"session":"s"}],"lease_s":1.0}',
        b'{"id":%d,"type":"opened","sessions":{"__bytes__":5},"lease_s":1.0}',
    ],
)
def test_sessions_that_were_not_opened_are_an_invalid_reply(world: World, answer: bytes):
    world.do(world.client.connect())
    opening = world.begin(world.client.open_sessions(1))
    number = JSON.read(world.cables[-1].requests[-1]).id
    assert isinstance(answered(world, opening, answer % number), InvalidReplyError)
