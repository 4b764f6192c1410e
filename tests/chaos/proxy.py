"""A loopback proxy that does to connections what networks do, at a byte of its choosing.

It knows nothing of frames: a fault strikes after so many bytes in one direction, and so in the middle of a
handshake, of a frame, of a reply, or between two of them.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.chaos.tally import Tally

LONGEST_GAP = 4000
"""Bytes after which a connection has met its fault."""

HALF_DEAD_S = 0.15
"""Seconds for which one end of a connection believes in it after the other end is gone."""

CHUNK = 65536


@dataclass
class Way:
    """One direction of a connection.

    Attributes:
        name: `request` or `reply`.
        source: Whom it reads.
        sink: Whom it writes to.
    """

    name: str
    source: socket.socket
    sink: socket.socket


class Over(Exception):
    """The connection is over.

    Args:
        aborted: The ends that are closed with a reset, now.
        then_s: Seconds until the others are closed.
    """

    def __init__(self, *aborted: socket.socket, then_s: float = 0.0) -> None:
        super().__init__()
        self.aborted = aborted
        self.then_s = then_s


class Proxy:
    """Stands between clients and a port.

    Args:
        port: Where the server listens.
        seed: Decides what befalls whom.
        tally: Counts the faults.

    Attributes:
        calm: Let everything pass from now on.
    """

    def __init__(self, port: int, seed: int, tally: Tally) -> None:
        self._target = ("127.0.0.1", port)
        self._random = random.Random(seed)
        self._tally = tally
        self.calm = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self._listener.setblocking(False)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._strikes: list[Callable[[Way, bytes], Awaitable[bytes]]] = [
            self._cut,
            self._cut,
            self._reset,
            self._half_close,
            self._lose_for_the_sender,
            self._lose_for_the_receiver,
            self._stall,
            self._trickle,
        ]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="chaos-proxy", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Cut every connection and end."""
        self._loop.call_soon_threadsafe(self._accepting.cancel)
        self._thread.join()

    # --- connections -----------------------------------------------------------------------------

    def _run(self) -> None:
        with (
            asyncio.Runner(loop_factory=lambda: self._loop) as runner,
            contextlib.suppress(asyncio.CancelledError),
        ):
            runner.run(self._accept())
        self._listener.close()

    async def _accept(self) -> None:
        self._accepting = asyncio.current_task()
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(self._listener)
            task = loop.create_task(self._serve(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: socket.socket) -> None:
        server = socket.socket()
        with client, server:
            if not self.calm and self._random.random() < 0.03:
                self._tally("connection refused")
                _abort(client)
                return
            for one in (client, server):
                one.setblocking(False)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                await asyncio.get_running_loop().sock_connect(server, self._target)
            except OSError:
                return
            there, back = Way("request", client, server), Way("reply", server, client)
            struck = self._random.choice((there, back))
            ways = [asyncio.create_task(self._carry(way, way is struck)) for way in (there, back)]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
            finally:
                for task in ways:
                    task.cancel()
                ends = await asyncio.gather(*ways, return_exceptions=True)
            # Only now does nothing wait for these sockets any more, so that they can be closed one by one.
            for end in ends:
                if isinstance(end, Over):
                    for one in end.aborted:
                        _abort(one)
                    await asyncio.sleep(end.then_s)

    async def _carry(self, way: Way, struck: bool) -> None:
        """Bring bytes from one side to the other until the fault, or the end."""
        loop = asyncio.get_running_loop()
        left = self._random.randrange(LONGEST_GAP)
        while data := await loop.sock_recv(way.source, CHUNK):
            if struck and left < len(data) and not self.calm:
                await loop.sock_sendall(way.sink, data[:left])
                strike = self._random.choice(self._strikes)
                data, left = await strike(way, data[left:]), self._random.randrange(LONGEST_GAP)
            left = max(left - len(data), 0)
            await loop.sock_sendall(way.sink, data)
        way.sink.shutdown(socket.SHUT_WR)

    # --- faults; one that returns says what is still to be sent -----------------------------------

    async def _cut(self, way: Way, rest: bytes) -> bytes:
        """Both ends are told that it is over, in the middle of what was said."""
        self._tally(f"cut in a {way.name}")
        raise Over

    async def _reset(self, way: Way, rest: bytes) -> bytes:
        self._tally(f"reset in a {way.name}")
        raise Over(way.source, way.sink)

    async def _half_close(self, way: Way, rest: bytes) -> bytes:
        """Whoever listens is told that no more will come, and may go on talking for a while."""
        self._tally(f"half-closed in a {way.name}")
        way.sink.shutdown(socket.SHUT_WR)
        await asyncio.sleep(HALF_DEAD_S)
        raise Over

    async def _lose_for_the_sender(self, way: Way, rest: bytes) -> bytes:
        """Whoever listens believes in the connection for a while."""
        self._tally(f"lost for the sender of a {way.name}")
        raise Over(way.source, then_s=HALF_DEAD_S)

    async def _lose_for_the_receiver(self, way: Way, rest: bytes) -> bytes:
        self._tally(f"lost for the receiver of a {way.name}")
        raise Over(way.sink, then_s=HALF_DEAD_S)

    async def _stall(self, way: Way, rest: bytes) -> bytes:
        self._tally(f"delay in a {way.name}")
        await asyncio.sleep(self._random.uniform(0.01, 0.2))
        return rest

    async def _trickle(self, way: Way, rest: bytes) -> bytes:
        """What follows comes byte by byte."""
        self._tally(f"trickle in a {way.name}")
        loop = asyncio.get_running_loop()
        for place in range(min(len(rest), 200)):
            await loop.sock_sendall(way.sink, rest[place : place + 1])
            await asyncio.sleep(0)
        return rest[200:]


def _abort(end: socket.socket) -> None:
    """Close with a reset instead of a goodbye."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
