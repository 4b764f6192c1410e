"""The server's side of a worker's fork: from being asked for to being the runner of a worker of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from openenv.errors import RequestError
from openenv.server.worker.messages import FORK, packed

if TYPE_CHECKING:
    from openenv.server.worker.runner import WorkerRunner

CAN_FORK = sys.platform == "linux"
"""Whether a worker can be forked in the middle of an episode; see `worker.forking`."""

FLUSH_S = 0.001
"""Seconds between looks whether what was written to a worker before has left."""

OnFork = Callable[["WorkerRunner | None", RequestError | None], None]


class Fork:
    """One fork of a worker.

    Args:
        original: The runner of the worker.
        twin: The runner of its fork to be.
        done: Called once on the loop, with the runner of the fork or with why there is none.

    Attributes:
        is_asked: Whether the worker has been told, so that its next word is the answer.
    """

    def __init__(self, original: WorkerRunner, twin: WorkerRunner, done: OnFork) -> None:
        self._original = original
        self._twin = twin
        self._done = done
        self._ours: socket.socket | None = None
        self._started = 0
        self.is_asked = False

    def begin(self) -> None:
        """Tell the worker, with both of the fork's lines. They can not go through an asyncio transport."""
        transport = self._original.transport
        if transport is None:
            if self._original.gone:
                self._original.next_fork()
                self.failed(self._original.death())
            return  # else how it has ended is about to be told, to all forks that are wanted of it
        if transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(FLUSH_S, self.begin_if_next)
            return
        self.is_asked = True
        self._started = self._original.forks.started
        self._ours, theirs, output = self._twin.lines()
        try:
            with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as line:
                line.sendall(packed({"verb": "fork"}))
                socket.send_fds(line, [FORK], [theirs.fileno(), output])
        except OSError:  # it is ending, or waits for what will not come: its end is the answer
            self._original.stop()
        finally:
            theirs.close()
            os.close(output)

    def begin_if_next(self) -> None:
        """Begin, unless it has failed meanwhile."""
        if self._original.is_next(self) and not self.is_asked:
            self.begin()

    def answered(self, message: dict[str, Any]) -> None:
        """Take the worker's answer; it goes on with what it is asked next."""
        self._original.next_fork()
        if "error" in message:
            self.failed(RequestError.from_wire(message["error"]))
            return
        ours, self._ours = self._ours, None
        assert ours is not None
        self._twin.take_in(ours, message["forked"], self._started, self._taken_in)

    def failed(self, error: RequestError) -> None:
        """There is no fork; if there was one a moment ago, it ends with its line."""
        if self._ours is not None:
            self._ours.close()
        self._twin.drop()
        self._done(None, error)

    def _taken_in(self, error: RequestError | None) -> None:
        self._done(self._twin if error is None else None, error)
