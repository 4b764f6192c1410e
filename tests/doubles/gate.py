"""What services put before a sandbox's port: a door that opens for requests with the right header."""

import contextlib
import socket
import threading
from collections.abc import Callable

HEAD = 65536
CLOSED = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Gate:
    """A listening port. The head of each connection's first request is shown to `admit`.

    Args:
        admit: Given a request's head, returns the head to pass on, or the status line it is refused with as `str`.
        backend: Returns the port to pass admitted connections on to, None while nothing listens.
    """

    def __init__(self, admit: Callable[[bytes], bytes | str], backend: Callable[[], int | None]) -> None:
        self._admit, self._backend = admit, backend
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections, and end those there are."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            _end(connection)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head and (part := connection.recv(HEAD)):
                head += part
            admitted, port = self._admit(head), self._backend()
            if isinstance(admitted, str) or port is None:
                status = admitted if isinstance(admitted, str) else "502 Bad Gateway"
                connection.sendall(CLOSED % status.encode())
                return
            with socket.create_connection(("127.0.0.1", port)) as server:
                self._open.add(server)
                server.sendall(admitted)
                back = threading.Thread(target=_pass_on, args=(server, connection), daemon=True)
                back.start()
                _pass_on(connection, server)
                back.join()
                self._open.discard(server)
        self._open.discard(connection)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(HEAD):
            sink.sendall(part)
    _end(sink)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
