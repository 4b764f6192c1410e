"""One server process among the others: what the parent hands to it, and how it reaches the rest."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

from openenv.errors import SessionLost
from openenv.server.processes.control import Kind, Message, receive, send
from openenv.server.processes.ledger import DIED, SharedSlots
from openenv.server.processes.line import Line

AROUND = 1024 * 1024
"""Bytes that may wait on a line beyond one message of the largest size."""


class Peers:
    """The other processes of this server. Lives on the event loop.

    Args:
        control: The socket to the parent.
        slots: Counts the sessions of all, and knows who has which.
        max_message_size: Bytes of the largest message.
    """

    def __init__(self, control: socket.socket, slots: SharedSlots, max_message_size: int) -> None:
        self.slots = slots
        self.room = max_message_size + AROUND
        self.spread: weakref.WeakSet[Any] = weakref.WeakSet()  # connections with sessions in other processes
        self._control = control
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future[socket.socket]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_client: Callable[[socket.socket], Coroutine[Any, Any, None]] | None = None
        self._on_peer: Callable[[socket.socket], Coroutine[Any, Any, None]] | None = None
        self._orphaned: Callable[[], None] | None = None

    def start(
        self,
        on_client: Callable[[socket.socket], Coroutine[Any, Any, None]],
        on_peer: Callable[[socket.socket], Coroutine[Any, Any, None]],
        orphaned: Callable[[], None],
    ) -> None:
        """Tell the parent that connections can come.

        Args:
            on_client: Called with each connection of a client.
            on_peer: Called with each line from another process.
            orphaned: Called when the parent is gone.
        """
        self._on_client, self._on_peer, self._orphaned = on_client, on_peer, orphaned
        self._control.setblocking(False)
        asyncio.get_running_loop().add_reader(self._control.fileno(), self._readable)
        send(self._control, Kind.READY)

    def stop(self) -> None:
        """Take no more connections."""
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        self._control.close()

    def line(self, number: int, received: Callable[[bytes, bytes], None], lost: Callable[[], None]) -> Line:
        """Return a line to another process; it can be written to at once."""
        line = Line(received, lost, self.room)
        self.spawn(self._connect(number, line, lost))
        return line

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something in the background."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, number: int, line: Line, lost: Callable[[], None]) -> None:
        try:
            own = await self._call(number)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: line, own)
        except (SessionLost, OSError):
            lost()

    async def _call(self, number: int) -> socket.socket:
        request = next(self._numbers)
        self._calls[request] = asyncio.get_running_loop().create_future()
        try:
            send(self._control, Kind.CALL, request, number)
            return await self._calls[request]
        finally:
            del self._calls[request]

    # --- from the parent -------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            while (message := receive(self._control)) is not None:
                self._take(message)
        except BlockingIOError:
            return
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        assert self._orphaned is not None
        self._orphaned()

    def _take(self, message: Message) -> None:
        assert self._on_client is not None
        assert self._on_peer is not None
        if message.kind is Kind.GONE:
            self._answer(message.a, SessionLost(DIED))
            return
        if message.descriptor is None:  # pragma: no cover - the parent sends one with all other kinds
            return
        own = socket.socket(fileno=message.descriptor)
        own.setblocking(False)
        if message.kind is Kind.CLIENT:
            self.spawn(self._on_client(own))
        elif message.kind is Kind.PEER:
            self.spawn(self._on_peer(own))
        elif not self._answer(message.a, own):
            own.close()

    def _answer(self, request: int, given: socket.socket | SessionLost) -> bool:
        waiting = self._calls.get(request)
        if waiting is None or waiting.done():
            return False
        if isinstance(given, SessionLost):
            waiting.set_exception(given)
        else:
            waiting.set_result(given)
        return True


def die_with_parent(parent: int) -> None:
    """Have the system kill this process when its parent dies, however stuck it is; where there is no such thing,
    the end of the control socket has to do.
    """
    try:
        import ctypes

        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
    except (ImportError, OSError, AttributeError):
        return
    if os.getppid() != parent:
        os._exit(1)
