"""The server's end of the fork server: it is started when first needed, and asked for a worker for each session."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from openenv.models import Observation, State
from openenv.protocol.client_codec import ClientCodec
from openenv.protocol.unions import members
from openenv.server.worker.messages import ADOPT, FORK, Frames, packed
from openenv.server.worker.target import Target

Forked = Callable[[int, str | None], None]


class ForkServer:
    """A process that forks workers for one environment; started when first needed, and again if it dies.

    Args:
        target: The environment's class or factory.
        action: Its action type.

    Attributes:
        started: How often the process has been started.
    """

    def __init__(self, target: Target, action: Any) -> None:
        self._target = target
        self._action = action
        self.started = 0
        self.codec = ClientCodec(action, Observation, State)
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._frames = Frames()
        self._ready = False
        self._waiting: deque[_Birth | _Adoption] = deque()
        self._forking: deque[Forked] = deque()
        self._exits: dict[int, Callable[[int], None]] = {}

    def fork(self, connection: socket.socket, output: int, done: Forked) -> None:
        """Fork a worker.

        Args:
            connection: The worker's end of its socket; given away.
            output: Where its output goes; given away.
            done: Called with its pid, or with 0 and why there is none.
        """
        if self._process is None:
            self._start()
        self._waiting.append(_Birth(connection, output, done))
        if self._ready:
            self._send_waiting()

    def adopt(self, pid: int, started: int, done: Forked) -> None:
        """Have the fork server take in a worker that was forked by another.

        Args:
            pid: The worker.
            started: What `started` was when that was asked to fork.
            done: Called with its pid, or with 0 and why it was not taken in.
        """
        if self._process is None or started != self.started:
            done(0, "The fork server died")
            return
        self._waiting.append(_Adoption(pid, done))
        self._send_waiting()

    def on_exit(self, pid: int, told: Callable[[int], None]) -> None:
        """Call a function with the exit status when a worker has ended: negative for a signal."""
        self._exits[pid] = told

    def close(self) -> None:
        """End it, and with it every worker."""
        self._drop("The server is shutting down")

    def _start(self) -> None:
        self.started += 1
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "openenv.server.worker.forkserver", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        theirs.close()
        self._socket = ours
        self._frames = Frames()
        self._ready = False
        action = [Target.of(member) for member in members(self._action)]
        ours.sendall(
            packed(
                {
                    "target": self._target.to_wire(),
                    "action": [one.to_wire() for one in action if one is not None],
                    "path": list(sys.path),
                }
            )
        )
        asyncio.get_running_loop().add_reader(ours, self._readable)

    def _readable(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop("The fork server died; its own output has the reason")
            return
        for message in self._frames.feed(data):
            self._message(message)

    def _message(self, message: dict[str, Any]) -> None:
        if "forked" in message or "adopted" in message:
            self._forking.popleft()(message.get("forked") or message["adopted"], None)
            self._send_waiting()
        elif "exited" in message:
            told = self._exits.pop(message["exited"], None)
            if told is not None:
                told(message["status"])
        elif "ready" in message:
            self._ready = True
            self._send_waiting()
        elif "failed" in message:
            self._drop(f"The environment could not be imported by a worker: {message['failed']}")

    def _send_waiting(self) -> None:
        """Ask for as many forks as there is room for. Whoever waits here may be who the fork server waits for."""
        assert self._socket is not None
        while self._waiting:
            try:
                self._waiting[0].send(self._socket)
            except OSError:  # it is full, and the next answer makes room; or broken, as reading is about to tell
                return
            sent = self._waiting.popleft()
            self._forking.append(sent.done)
            sent.drop()

    def _drop(self, why: str) -> None:
        process, self._process = self._process, None
        connection, self._socket = self._socket, None
        self._ready = False
        if connection is not None:
            asyncio.get_running_loop().remove_reader(connection)
            connection.close()
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=2)
            if process.poll() is None:
                process.kill()
                process.wait()
        waiting, self._waiting = self._waiting, deque()
        forking, self._forking = self._forking, deque()
        exits, self._exits = self._exits, {}
        for one in waiting:
            one.drop()
            one.done(0, why)
        for done in forking:
            done(0, why)
        for pid, told in exits.items():  # a fork server that was killed could not take its workers along
            kill(pid)
            told(-signal.SIGKILL)


@dataclass
class _Birth:
    """A worker that the fork server is to be asked for."""

    connection: socket.socket
    output: int
    done: Forked

    def send(self, server: socket.socket) -> None:
        socket.send_fds(server, [FORK], [self.connection.fileno(), self.output])

    def drop(self) -> None:
        self.connection.close()
        os.close(self.output)


@dataclass
class _Adoption:
    """A worker that the fork server is to take in."""

    pid: int
    done: Forked

    def send(self, server: socket.socket) -> None:
        server.send(ADOPT + self.pid.to_bytes(4))

    def drop(self) -> None:
        """There is nothing that was given away."""


def kill(pid: int) -> None:
    """Kill a worker and everything it has started."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:  # it has ended, or is so new that it leads no group yet
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
