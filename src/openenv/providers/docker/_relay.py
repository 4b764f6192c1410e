"""The process outside of a container without a network: it joins each client's connection with one to the server.

It is run by path in an interpreter of its own (`python -I -S _relay.py ...`) and ends with the program. The first
process of the container connects to the meeting point, once; it is asked for a connection for every client, and
sends one back as a descriptor. So the container's network is never left, and bytes pass through one process only.
Nothing that comes from the container is believed: what is no TCP socket is closed.
"""

from __future__ import annotations

import os
import resource
import select
import socket
import struct
import sys

BLOCK = 256 * 1024
PAIR = struct.Struct("Q")
LONGEST_ANSWER = 64
MOST_RIGHTS = 8
MOST_EVENTS = 256
BROKEN = select.EPOLLHUP | select.EPOLLERR
UNSEEN = -1

_buffer = memoryview(bytearray(BLOCK))


class Side:
    """One end of a joined pair: what is read here is written to the other side."""

    __slots__ = ("ended", "owed", "shown", "socket", "to")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.to = self
        self.owed = b""  # what the other side has sent and this one could not take yet
        self.ended = False  # there is nothing more to read here
        self.shown = UNSEEN  # the events that are waited for


class Relay:
    """All connections of one container.

    Args:
        listener: Where clients connect.
        control: The connection to the container's first process.
    """

    def __init__(self, listener: socket.socket, control: socket.socket) -> None:
        self._listener = listener
        self._control = control
        self._events = select.epoll()
        self._sides: dict[int, Side] = {}
        self._clients: dict[bytes, socket.socket] = {}  # those that wait for their connection
        self._count = 0

    def run(self) -> None:
        """Serve until the container's end."""
        events, sides = self._events, self._sides
        listener, control = self._listener.fileno(), self._control.fileno()
        events.register(listener, select.EPOLLIN)
        events.register(control, select.EPOLLIN)
        while True:
            for descriptor, what in events.poll(maxevents=MOST_EVENTS):
                side = sides.get(descriptor)
                if side is not None:
                    self._pass_on(side, what)
                elif descriptor == listener:
                    self._accept()
                elif descriptor == control and not self._answered():
                    return

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:  # gone again, or too many
            return
        self._count += 1
        request = PAIR.pack(self._count)
        try:
            self._control.send(request, socket.MSG_DONTWAIT)
        except OSError:
            client.close()
        else:
            self._clients[request] = client

    def _answered(self) -> bool:
        """Take what the first process sent; return whether it is there."""
        rights: list[int] = []
        try:
            answer, ancillary, _, _ = self._control.recvmsg(
                LONGEST_ANSWER, socket.CMSG_SPACE(4 * MOST_RIGHTS), socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return True
        except OSError:
            return False
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                rights += struct.unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4])
        client = self._clients.pop(answer, None)
        server = _checked(rights)
        if client is not None and server is not None:
            self._join(client, server)
        else:
            for one in (client, server):
                if one is not None:
                    one.close()
        return bool(answer)

    def _join(self, client: socket.socket, server: socket.socket) -> None:
        sides = Side(client), Side(server)
        for side, other in (sides, sides[::-1]):
            side.to = other
            side.socket.setblocking(False)
            if side.socket.family != socket.AF_UNIX:
                side.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sides[side.socket.fileno()] = side
        for side in sides:
            self._show(side)

    def _pass_on(self, side: Side, what: int) -> None:
        try:
            if what & select.EPOLLOUT:
                self._pay(side)
            if what & select.EPOLLIN:
                self._read(side)
            elif what & BROKEN:
                self._broken(side)
        except BlockingIOError:  # what was told is no longer so
            pass
        except OSError:
            self._close(side)

    def _broken(self, side: Side) -> None:
        """Close the pair, once the other side has all that this one had sent before.

        What was told may be older than that: so it is read to its end first, where a reset is an error.
        """
        if side.to.owed:
            if side.shown != UNSEEN:
                self._events.unregister(side.socket)
                side.shown = UNSEEN
        elif side.ended:
            self._close(side)
        else:
            self._read(side)

    def _read(self, side: Side) -> None:
        other = side.to
        if other.owed or side.ended:  # shown before that was known
            return
        count = side.socket.recv_into(_buffer)
        if not count:
            side.ended = True
            self._settle(other)
            self._show(side)
            return
        try:
            sent = other.socket.send(_buffer[:count])
        except BlockingIOError:
            sent = 0
        if sent < count:
            other.owed = bytes(_buffer[sent:count])
            self._show(other)
            self._show(side)

    def _pay(self, side: Side) -> None:
        if side.owed:
            side.owed = side.owed[side.socket.send(side.owed) :]
        if not side.owed:
            self._settle(side)
            if side.socket.fileno() >= 0:
                self._show(side)
                self._show(side.to)

    def _settle(self, side: Side) -> None:
        """Tell this side that nothing more comes, if so; when both have been told, the pair is closed."""
        if side.owed or not side.to.ended:
            return
        if side.ended and not side.to.owed:
            self._close(side)
            return
        side.socket.shutdown(socket.SHUT_WR)

    def _show(self, side: Side) -> None:
        """Wait for what this side can do now."""
        if side.socket.fileno() < 0:
            return
        shown = 0
        if not side.ended and not side.to.owed:
            shown |= select.EPOLLIN
        if side.owed:
            shown |= select.EPOLLOUT
        if shown != side.shown:
            change = self._events.register if side.shown == UNSEEN else self._events.modify
            change(side.socket, shown)
            side.shown = shown

    def _close(self, side: Side) -> None:
        for one in (side, side.to):
            if one.socket.fileno() >= 0:
                del self._sides[one.socket.fileno()]
                if one.shown != UNSEEN:  # closing is not enough: the container may hold a copy of the descriptor
                    self._events.unregister(one.socket)
                one.socket.close()


def _checked(rights: list[int]) -> socket.socket | None:
    """Return the one TCP socket that was sent, and close everything else."""
    found = None
    for descriptor in rights:
        try:
            candidate = socket.socket(fileno=descriptor)
        except OSError:  # no socket at all
            os.close(descriptor)
            continue
        family, kind = candidate.family, candidate.type
        if found is None and family in (socket.AF_INET, socket.AF_INET6) and kind == socket.SOCK_STREAM:
            found = candidate
        else:
            candidate.close()
    return found


def meet(meeting: socket.socket) -> socket.socket:
    """Return the connection of the container's first process, and leave nothing to connect to."""
    control, _ = meeting.accept()
    path = meeting.getsockname()
    meeting.close()
    for remove, name in ((os.unlink, path), (os.rmdir, os.path.dirname(path))):
        try:
            remove(name)
        except OSError:  # the program has begun to clean up
            pass
    return control


def main(listening: int, met: int) -> None:
    """Serve one container.

    Args:
        listening: Descriptor of the socket that clients connect to.
        met: Descriptor of the socket that the first process connects to.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listener = socket.socket(fileno=listening)
    control = meet(socket.socket(fileno=met))
    listener.setblocking(False)
    Relay(listener, control).run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
