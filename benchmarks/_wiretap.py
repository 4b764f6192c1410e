"""Counts the bytes that two programs exchange over TCP, by standing between them."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

from benchmarks._processes import HOST


class Wiretap:
    """Passes everything on between whoever connects and a port.

    Args:
        port: Where to pass it on to.

    Attributes:
        port: Where to connect to.
        sent: Bytes that went to the server.
        received: Bytes that came from it.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listening = socket.create_server((HOST, 0))
        self._sockets: list[socket.socket] = []
        self.port: int = self._listening.getsockname()[1]
        self.sent = self.received = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self._listening, *self._sockets):
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:  # closed
                return
            server = socket.create_connection((HOST, self._target))
            self._sockets += [client, server]
            threading.Thread(target=self._pass_on, args=(client, server, "sent"), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(server, client, "received"), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, counter: str) -> None:
        try:
            while data := source.recv(1 << 18):
                setattr(self, counter, getattr(self, counter) + len(data))  # no other thread has this counter
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:  # the other side is gone
            return
