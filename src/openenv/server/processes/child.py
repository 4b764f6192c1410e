"""One server process of several: `python -m openenv.server.processes.child FD`; FD is the socket to the parent.

It listens nowhere. Connections come from the parent one by one, and are served as if they had been accepted here.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from typing import Any

import uvicorn
from uvicorn.importer import import_from_string

from openenv.server.config import ServerContext
from openenv.server.processes.ledger import Ledger, SharedSlots
from openenv.server.processes.line import BEGIN, FRAME, REQUEST, Line
from openenv.server.processes.peers import Peers, die_with_parent
from openenv.server.processes.pinned import Pinned, answer_on
from openenv.server.processes.relay import guest, spread
from openenv.server.serving import OrderlyServer, served, wire_options
from openenv.server.worker.messages import receive


def main() -> None:
    """Serve until told to end, or until the parent is gone."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.setblocking(True)
    options = receive(control)
    if options is None:
        return
    die_with_parent(options["parent"])
    sys.path[:] = options["path"]
    slots = SharedSlots(Ledger(options["ledger"]), options["index"], options["number"])
    app = import_from_string(options["app"])
    server = served(app)
    log_level = options["log_level"]
    if server is None:  # somebody else's application, which has no sessions of ours
        peers = Peers(control, slots, wire_options()["ws_max_size"])
        context, front = None, app
    else:
        context = server.join(slots)
        peers = Peers(control, slots, context.max_message_size)
        context.spread = spread(peers)
        front = Pinned(app, peers, context.max_message_size)
    config = uvicorn.Config(
        front, log_level=log_level, access_log=log_level in ("debug", "trace"), **wire_options()
    )
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has shut down in good order and raises it once more
        ChildServer(config, app, context, peers).run(sockets=[])


class ChildServer(OrderlyServer):
    """uvicorn, fed by the parent.

    Args:
        config: Its configuration.
        app: The application, to answer requests of other processes.
        context: Its server of sessions, if it has one.
        peers: The parent and the other processes.
    """

    def __init__(self, config: uvicorn.Config, app: Any, context: ServerContext | None, peers: Peers) -> None:
        super().__init__(config)
        self._app = app
        self._context = context
        self._peers = peers
        self._taken = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections."""
        await super().startup(sockets)
        self._peers.start(self._client_came, self._peer_came, self._orphaned)

    async def on_tick(self, counter: int) -> bool:
        """Tell the parent now and then how many connections are left."""
        self._count()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the sessions, tell everybody, and end."""
        for connection in list(self._peers.spread):
            connection.stop()
        await super().shutdown(sockets)
        self._peers.stop()

    def _orphaned(self) -> None:
        self.should_exit = True

    def _count(self) -> None:
        self._peers.slots.connections(self._taken, len(self.server_state.connections))

    async def _client_came(self, connection: socket.socket) -> None:
        def make_protocol() -> Any:
            protocol: Any = self.config.http_protocol_class
            return protocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

        self._taken += 1
        try:
            await asyncio.get_running_loop().connect_accepted_socket(make_protocol, connection)
        except OSError:  # it was gone before it came here
            connection.close()
        self._count()

    async def _peer_came(self, connection: socket.socket) -> None:
        guest = _Guest(self._app, self._context, self._peers, self.lifespan.state)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: guest.line, connection)


class _Guest:
    """What another process wants: one connection of the protocol, or one HTTP request."""

    def __init__(self, app: Any, context: ServerContext | None, peers: Peers, state: Any) -> None:
        self.line = Line(self._received, self._lost, peers.room)
        self._app = app
        self._context = context
        self._peers = peers
        self._state = state
        self._connection: Any = None

    def _received(self, kind: bytes, content: bytes) -> None:
        if kind == FRAME:
            self._connection.received(content)
        elif kind == BEGIN and self._context is not None:
            self._connection = guest(self._context, content, self.line)
            self._connection.opened()
        elif kind == REQUEST:
            self._peers.spawn(answer_on(self.line, self._app, content, self._state))

    def _lost(self) -> None:
        if self._connection is not None:
            self._connection.lost()


if __name__ == "__main__":
    main()
