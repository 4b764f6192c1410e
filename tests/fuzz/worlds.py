"""A server without a network, and a client without a server, to be fed with frames one by one."""

import asyncio
from collections import deque
from typing import Any, Self

from tests.fuzz.frames import SERVER, SERVER_V2, SESSION, Deed, Sight, Standing
from tests.sessions.cable import Cable, World
from tests.sessions.simulated import SimulatedLoop, Threads

from openenv.environment import Environment
from openenv.errors import OpenEnvError, RequestError
from openenv.protocol.formats import JSON, Format
from openenv.protocol.messages import ConcurrencyConfig
from openenv.server.budgets import Budgets
from openenv.server.connection import Connection
from openenv.server.manager import SessionManager
from openenv.server.multiplex import MultiplexConnection


class Place(Environment[Deed, Sight, Standing]):
    """Counts its steps."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    NON_BLOCKING = True

    def reset(self, seed: int | None = None, x: str = "") -> Sight:
        self.total = 0
        return Sight(total=0)

    def step(self, action: Deed) -> Sight:
        self.total += 1
        return Sight(total=self.total, anything=action.anything)

    @property
    def state(self) -> Standing:
        return Standing(total=self.total)


class ServerWorld:
    """The sessions of a server, and connections to it."""

    def __enter__(self) -> Self:
        self.loop = SimulatedLoop()
        self.manager = SessionManager(Place, ConcurrencyConfig(max_concurrent_envs=8), clock=self.loop.time)
        self.manager._pool = Threads(self.loop)  # type: ignore[assignment]
        self.replies: deque[bytes] = deque()
        self.closed: list[int] = []
        return self

    def __exit__(self, *_error: Any) -> None:
        self.loop.close()

    def feed_version_1(self, frames: list[bytes]) -> None:
        """Each frame is answered by exactly one, unless it closes the session."""
        connection = Connection(self.manager, SERVER, self.replies.append, self.closed.append, max_size=10**6)
        self.loop.settle(connection.opened)
        for raw in frames:
            self.replies.clear()
            self.loop.settle(lambda raw=raw: connection.received(raw))
            assert not self.loop.failures, self.loop.failures
            if self.closed:
                assert self.closed == [1000]
                return
            [reply] = self.replies
            assert JSON.read(reply).kind in ("observation", "state", "error", "mcp")
        self.replies.clear()
        self.loop.settle(lambda: connection.received(b'{"type":"reset"}'))
        assert JSON.read(self.replies[0]).kind == "observation", "the session does not go on"

    def feed_version_2(self, form: Format, frames: list[bytes]) -> None:
        """Each frame is answered, and the connection and another's session go on."""
        other, others = self._greeted(form)
        theirs = self._ask(form, other, others, type="open")["sessions"][0]["session"]
        assert self._ask(form, other, others, type="reset", session=theirs, seq=1)["type"] == "observation"
        connection, replies = self._greeted(form)
        session = self._ask(form, connection, replies, type="open")["sessions"][0]
        # The name that the frames know, for a session that would have got another.
        connection._sessions[SESSION] = connection._sessions[session["session"]]
        assert self._ask(form, connection, replies, type="reset", session=SESSION, seq=1)["type"] == "observation"
        for raw in frames:
            replies.clear()
            self.loop.settle(lambda raw=raw: connection.received(raw))
            assert not self.loop.failures, self.loop.failures
            if self.closed:  # a hello for another version
                assert self.closed == [1002]
                break
            assert replies, f"no answer to {raw!r}"
            assert all(isinstance(form.read(reply).data, dict) for reply in replies)
        else:
            assert self._ask(form, connection, replies, type="ping")["type"] == "pong"
        step = self._ask(form, other, others, type="step", session=theirs, seq=2, data={})
        assert step["data"]["observation"]["total"] == 1, "the others are harmed"

    def _greeted(self, form: Format) -> tuple[MultiplexConnection, deque[bytes]]:
        replies: deque[bytes] = deque()
        connection = MultiplexConnection(
            self.manager, SERVER_V2, form, replies.append, self.closed.append, max_size=10**6
        )
        self.loop.settle(connection.opened)
        assert self._ask(form, connection, replies, type="hello", version=2)["type"] == "welcome"
        return connection, replies

    def _ask(self, form: Format, connection: MultiplexConnection, replies: deque[bytes], **frame: Any) -> Any:
        replies.clear()
        number = 10**12  # no mutated frame has it
        self.loop.settle(lambda: connection.received(form.encode({"id": number, **frame})))
        answers = [answer for answer in (form.read(raw).data for raw in replies) if answer.get("id") == number]
        assert len(answers) == 1, (frame, answers)
        return answers[0]


class ClientWorld:
    """A client that waits for answers, and gets frames instead."""

    def __init__(self, form: Format) -> None:
        self._form = form

    def __enter__(self) -> Self:
        from unittest import mock

        self.world = World(Place, Deed, self._form, budgets=Budgets(lease=5.0))
        self.world.client.options.__dict__["message_timeout_s"] = 20.0
        self._patch = mock.patch("openenv.client.socket.Socket.open", self.world.connect)
        self._patch.start()
        return self

    def __exit__(self, *_error: Any) -> None:
        self._patch.stop()
        self.world.loop.close()

    def feed(self, frames: list[bytes]) -> None:
        """Whatever comes, a request ends in an answer or a typed error, and nothing fails unseen."""
        world = self.world
        world.do(world.client.connect())
        [session] = world.do(world.client.open_sessions(1))
        nothing = self._form.pack({}, "arguments")
        tasks = [world.begin(world.client.request(session, "reset", nothing))]
        tasks.append(world.begin(world.client.request(session, "state")))
        tasks.append(world.begin(world.client.open_sessions(1)))
        for raw in frames:
            cable = world.cables[-1]
            cable.replies.append(raw)
            world.loop.settle(lambda cable=cable: self._carry(cable))
        for _ in range(30):
            world.carry_everything()
            world.loop.advance(1.0)
        for task in tasks:
            assert task.done(), "a request without an end"
            error = None if task.cancelled() else task.exception()
            assert error is None or isinstance(error, OpenEnvError), repr(error)
        world.begin(world.client.close())
        world.carry_everything()
        world.loop.advance(60.0)
        assert not world.loop.failures, world.loop.failures
        assert not asyncio.all_tasks(world.loop)

    def _carry(self, cable: Cable) -> None:
        """Do what the socket does with a frame that its owner refuses: end the connection."""
        try:
            cable.carry_reply()
        except RequestError:
            cable.unplug()
            cable.drop()
