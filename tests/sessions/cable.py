"""A real client and a real server joined by a cable that a test holds in its hands: no sockets, no real time.

Frames lie on the cable until the test carries them over, in either direction; it can cut the cable on one end or
both, and carry a frame twice. The client is a `Multiplexer`, the server a `MultiplexConnection`.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tests.sessions.simulated import SimulatedLoop, Threads

from openenv.client.link import LinkOptions
from openenv.client.mux import Multiplexer
from openenv.protocol.codec_v2 import ServerCodecV2
from openenv.protocol.formats import Format
from openenv.protocol.messages import ConcurrencyConfig
from openenv.server.budgets import Budgets
from openenv.server.manager import SessionManager
from openenv.server.multiplex import MultiplexConnection

NO_LIMIT_S = 1e9
MAX_SIZE = 10**6


class Cable:
    """One connection. To the client it is its `Socket`.

    Attributes:
        requests: Frames on their way to the server.
        replies: Frames on their way to the client.
        carried: Requests that the server has got, oldest first.
        plugged_in: Whether the client's end is whole.
        served: Whether the server's end is.
    """

    def __init__(
        self, world: "World", received: Callable[[bytes], None], lost: Callable[[int | None, str], None]
    ) -> None:
        self._world = world
        self._received = received
        self._lost = lost
        self.requests: deque[bytes] = deque()
        self.replies: deque[bytes] = deque()
        self.carried: list[bytes] = []
        self.plugged_in = self.served = True
        self.connection = MultiplexConnection(
            world.manager, world.codec, world.format, self.replies.append, self._close, max_size=MAX_SIZE
        )
        self.connection.opened()

    # --- what a `Socket` does --------------------------------------------------------------------

    def send(self, raw: bytes, *, binary: bool = False) -> None:
        assert binary is self._world.format.binary
        if self.plugged_in:
            self.requests.append(raw)

    def abort(self) -> None:
        self.unplug()

    def rebind(self, received: Callable[[bytes], None], lost: Callable[[int | None, str], None]) -> None:
        self._received, self._lost = received, lost

    @property
    def gone(self) -> bool:
        return not self.plugged_in

    def response_header(self, _name: str) -> str:
        return self._world.format.subprotocol

    async def close(self) -> None:
        self._lost = lambda _code, _reason: None
        while self.requests:
            self.carry_request()
        self.unplug()
        self.drop()

    # --- what a test does; all of it on the loop -------------------------------------------------

    def carry_request(self) -> None:
        """Bring the next request to the server."""
        if self.requests:
            self.carried.append(self.requests.popleft())
            self.repeat(-1)

    def repeat(self, place: int) -> None:
        """Bring the server a request that it has got before."""
        if self.served:
            self.connection.received(self.carried[place])

    def carry_reply(self) -> None:
        """Bring the next reply to the client."""
        if self.replies:
            raw = self.replies.popleft()
            if self.plugged_in:
                self._received(raw)

    def unplug(self) -> None:
        """Let the client lose the connection, with all that it has sent and that was not carried over."""
        if self.plugged_in:
            self.plugged_in = False
            self.requests.clear()
            self._lost(None, "")

    def drop(self) -> None:
        """Let the server lose the connection."""
        if self.served:
            self.served = False
            self.replies.clear()
            self.connection.lost()

    def _close(self, _code: int) -> None:
        self._world.loop.call_soon(self.drop)
        self._world.loop.call_soon(self.unplug)


class World:
    """A server, a client, and every cable there ever was between them; and a clock.

    Args:
        environment: Its class.
        action: Its action class.
        format_: What the two speak.
        sessions: How many there may be.
        budgets: Of the server.
    """

    def __init__(
        self, environment: Any, action: Any, format_: Format, *, sessions: int = 4, budgets: Budgets | None = None
    ) -> None:
        self.loop = SimulatedLoop()
        self.threads = Threads(self.loop)
        self.format = format_
        self.codec = ServerCodecV2(action)
        self.manager = SessionManager(
            environment,
            ConcurrencyConfig(max_concurrent_envs=sessions),
            budgets=budgets,
            clock=self.loop.time,
        )
        self.manager._pool = self.threads  # type: ignore[assignment]  # real ones would not wait for the clock
        self.cables: list[Cable] = []
        self.reachable = True
        self.last_frame_at = 0.0
        self.client = self.new_client()

    def new_client(self) -> Multiplexer:
        """Put another client in the place of the last one."""
        self.client = Multiplexer("ws://nowhere/ws", LinkOptions(message_timeout_s=NO_LIMIT_S), self.format)
        return self.client

    async def connect(
        self,
        _url: str,
        *,
        received: Callable[[bytes], None],
        lost: Callable[[int | None, str], None],
        headers: Mapping[str, str],
        **_limits: Any,
    ) -> Cable:
        """Do what `Socket.open` does."""
        if not self.reachable:
            raise ConnectionRefusedError("nobody listens")
        assert headers["Sec-WebSocket-Protocol"] == self.format.subprotocol
        self.cables.append(Cable(self, received, lost))
        return self.cables[-1]

    def begin(self, awaitable: Awaitable[Any]) -> "asyncio.Future[Any]":
        """Start something; no frame moves."""
        return self.loop.settle(lambda: asyncio.ensure_future(awaitable, loop=self.loop))

    def do(self, awaitable: Awaitable[Any]) -> Any:
        """Do something for which frames have to move, but no time has to pass."""
        task = self.begin(awaitable)
        self.carry_everything()
        return task.result()

    def carry_everything(self) -> None:
        """Carry frames to and fro until there are none."""
        while any(cable.requests or cable.replies for cable in self.cables):
            self.last_frame_at = self.loop.time()
            for cable in self.cables:
                self.loop.settle(cable.carry_request)
                self.loop.settle(cable.carry_reply)
