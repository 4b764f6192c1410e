"""The server's end of a worker: a session's runner whose environment is in a process of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from openenv.errors import EnvironmentDiedError, EnvironmentFactoryError, InvalidRequestError, RequestError
from openenv.models import EnvironmentMetadata
from openenv.protocol.client_codec import ClientCodec
from openenv.protocol.formats import Format
from openenv.server.host import Answer, Operation, ResetOp, StateOp, StepOp
from openenv.server.progress import Relay, Tell
from openenv.server.runner import OnAnswer, OnClosed, OnStarted
from openenv.server.worker.forks import ForkServer, kill
from openenv.server.worker.messages import Frames, packed
from openenv.server.worker.twins import CAN_FORK, Fork, OnFork
from openenv.values import reason

if TYPE_CHECKING:
    from openenv.server.state_calls import Told

CLOSE_GRACE_S = 5.0
"""Seconds a worker has to close its environment before it is killed."""

OUTPUT_KEPT = 4096
"""Bytes of a worker's output that an error may quote."""

OUTPUT_BLOCK = 65536
OUTPUT_BLOCKS_LEFT = 64
"""Blocks that may be in the pipe of a worker that has ended: a pipe holds 1 MiB at most, unless root says more."""

logger = logging.getLogger("openenv.server")


class WorkerRunner(asyncio.Protocol):
    """Keeps an environment in a worker process; see `openenv.server.runner.Runner`.

    Args:
        forks: Forks the worker.
        codec: Encodes actions for it.
        strict: Refuse arguments the environment does not declare.
        expose_errors: Tell the other side the class and message of the environment's own exceptions.
        mode: Whom the environment serves.
        label: What log lines call the session.
    """

    kind = "process"

    def __init__(
        self, forks: ForkServer, codec: ClientCodec, *, strict: bool, expose_errors: bool, mode: str, label: str
    ) -> None:
        self.environment_type = ""
        self.allows_step_without_reset = False
        self.copies = ""
        self.reseeds = False
        self.forks = forks
        self._codec = codec
        self._options = {"strict": strict, "expose_errors": expose_errors, "mode": str(mode), "label": label}
        self._metadata: EnvironmentMetadata | None = None
        self._transport: asyncio.Transport | None = None
        self._frames = Frames()
        self._relay = Relay(asyncio.get_running_loop())
        self._pid = 0
        self._status: int | None = None
        self._output = b""
        self._output_fd = -1
        self._on_started: OnStarted | None = None
        self._on_answer: OnAnswer | None = None
        self._on_closed: list[OnClosed] = []
        self._hung_up = False
        self._unwanted = False
        self._is_fork = False
        self._on_fork: deque[Fork] = deque()

    # --- what a session asks -----------------------------------------------------------------------------

    def start(self, done: OnStarted) -> None:
        """See `Runner.start`."""
        self._on_started = done
        ours, theirs, output = self.lines()
        self.forks.fork(theirs, output, lambda pid, why: self._forked(ours, pid, why))

    def lines(self) -> tuple[socket.socket, socket.socket, int]:
        """Return our and the worker's end of its socket, and the worker's end of its output."""
        ours, theirs = socket.socketpair()
        self._output_fd, output = os.pipe()
        os.set_blocking(self._output_fd, False)
        asyncio.get_running_loop().add_reader(self._output_fd, self._more_output)
        return ours, theirs, output

    def run(self, operation: Operation, done: OnAnswer, progress: Tell | None = None) -> None:
        """See `Runner.run`."""
        if self._transport is None or self.gone:
            done(self.death())
            return
        if self._hung_up:  # how it has ended is about to be told, and with it whoever waits for an answer
            self._on_answer = done
            return
        try:
            frame = packed({**self._message(operation), "progress": progress is not None})
        except Exception as error:  # an integer of more than 64 bits, or whatever a value's own methods raise
            done(
                InvalidRequestError(
                    f"The {operation.verb} can not be handed to the environment's process: {reason(error)}"
                )
            )
            return
        self._on_answer = done
        self._relay.begin(progress)
        self._write(frame)

    def step_now(self) -> None:
        """See `Runner.step_now`."""

    def fork(self, label: str, done: OnFork) -> None:
        """See `Runner.fork`."""
        twin = WorkerRunner(
            self.forks,
            self._codec,
            strict=bool(self._options["strict"]),
            expose_errors=bool(self._options["expose_errors"]),
            mode=str(self._options["mode"]),
            label=label,
        )
        twin.environment_type, twin._metadata = self.environment_type, self._metadata
        twin.allows_step_without_reset = self.allows_step_without_reset
        twin.copies, twin.reseeds = self.copies, self.reseeds
        twin._is_fork = True
        self._on_fork.append(Fork(self, twin, done))
        if len(self._on_fork) == 1:
            self._on_fork[0].begin()

    # --- what a fork needs -------------------------------------------------------------------------------

    @property
    def transport(self) -> asyncio.Transport | None:
        """The line to the worker, unless it has hung up."""
        return None if self._hung_up or self._transport is None or self._transport.is_closing() else self._transport

    def is_next(self, fork: Fork) -> bool:
        """Return whether this is the fork that is to be made, or being made."""
        return bool(self._on_fork) and self._on_fork[0] is fork

    def next_fork(self) -> None:
        """One fork has been made, or refused."""
        self._on_fork.popleft()
        if self._on_fork:
            asyncio.get_running_loop().call_soon(self._on_fork[0].begin_if_next)

    def take_in(self, ours: socket.socket, pid: int, started: int, done: OnStarted) -> None:
        """Become the runner of a worker that was forked by another."""
        self._on_started = done
        self.forks.adopt(pid, started, lambda pid, why: self._forked(ours, pid, why))

    def drop(self) -> None:
        """There is no worker."""
        self._close_output()
        self._status, self._hung_up = 0, True

    def use(self, format_: Format) -> None:
        """See `Runner.use`."""
        if self._transport is not None:
            self._write(packed({"verb": "use", "format": format_.subprotocol}))

    def stop(self) -> bool:
        """See `Runner.stop`: kill the worker and everything it has started."""
        if self._status is None:
            self._unwanted = True  # if it is being forked, it is killed as soon as its pid is known
            if self._pid:
                kill(self._pid)
        return True

    def metadata(self) -> EnvironmentMetadata:
        """See `Runner.metadata`."""
        assert self._metadata is not None
        return self._metadata

    def close(self, done: OnClosed) -> None:
        """See `Runner.close`."""
        if self.gone:
            done()
            return
        self._on_closed.append(done)
        if self._transport is not None and not self._hung_up:
            self._write(packed({"verb": "close"}))
            asyncio.get_running_loop().call_later(CLOSE_GRACE_S, self.stop)

    # --- the worker --------------------------------------------------------------------------------------

    @property
    def gone(self) -> bool:
        """Whether the worker has ended, and how is known."""
        return self._status is not None and self._hung_up

    def _write(self, frame: bytes) -> None:
        """Send the worker a message; one that has hung up gets none, and `_ended` tells whoever waits."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)

    def _message(self, operation: Operation) -> dict[str, Any]:
        if isinstance(operation, StepOp):
            return {
                "verb": "step",
                "action": self._codec.payload_tree(operation.action),
                "timeout_s": operation.timeout_s,
                "options": operation.options,
            }
        if isinstance(operation, ResetOp):
            return {
                "verb": "reset",
                "seed": operation.seed,
                "episode_id": operation.episode_id,
                "options": operation.options,
                "notice": operation.notice,
            }
        if isinstance(operation, StateOp):
            return {"verb": "state", "known": operation.known, "forked": operation.forked}
        return cast("Told", operation).to_message()

    def _forked(self, ours: socket.socket, pid: int, why: str | None) -> None:
        if why is not None:
            ours.close()
            self._close_output()
            self._status, self._hung_up = 0, True
            self._finish_start(EnvironmentFactoryError(why))
            self._maybe_gone()
            return
        self._pid = pid
        self.forks.on_exit(pid, self._exited)
        if self._unwanted:
            self.stop()
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        self._connecting = loop.create_task(loop.connect_accepted_socket(lambda: self, ours))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tell the worker what it is for."""
        self._transport = cast("asyncio.Transport", transport)
        if self._is_fork:
            self._transport.write(packed({"verb": "be", "label": self._options["label"]}))
            self._finish_start(None)
        else:
            self._transport.write(packed(self._options))
        if self._on_closed:  # given up while it was being forked
            self._transport.write(packed({"verb": "close"}))

    def data_received(self, data: bytes) -> None:
        """Take the worker's answers."""
        for message in self._frames.feed(data):
            if message.get("log"):
                logger.error("%s", message["log"])
            if self._on_started is not None:
                self._begin(message)
            elif self._on_fork and self._on_fork[0].is_asked:
                self._on_fork[0].answered(message)
            elif "progress" in message:
                if message["progress"] is not None:
                    self._relay.take(message["progress"])
            elif self._on_answer is not None:
                done, self._on_answer = self._on_answer, None
                self._relay.end()
                if "error" in message:
                    done(RequestError.from_wire(message["error"]))
                else:
                    failed = RequestError.from_wire(message["failed"]) if "failed" in message else None
                    rest = message.get("episode_id"), message.get("tools_changed", False)
                    done(Answer(message["kind"], message["data"], failed, message["done"], *rest))

    def _begin(self, message: dict[str, Any]) -> None:
        if "error" in message:
            self._finish_start(RequestError.from_wire(message["error"]))
            return
        self.environment_type = message["type"]
        self.allows_step_without_reset = message["allows_step_without_reset"]
        self.copies = "state" if message["keeps_state"] else "fork" if CAN_FORK else ""
        self.reseeds = message["reseeds"]
        self._metadata = EnvironmentMetadata.model_validate(message["metadata"])
        self._finish_start(None)

    def connection_lost(self, _error: Exception | None) -> None:
        """The worker hung up: it is ending, or dead."""
        self._hung_up = True
        self._ended()

    def _exited(self, status: int) -> None:
        self._status = status
        for _ in range(OUTPUT_BLOCKS_LEFT):
            if not self._more_output():
                break
        self._ended()

    def _ended(self) -> None:
        """Once both the socket and the process are gone, tell whoever waits."""
        if not self.gone:
            return
        self._close_output()
        if self._on_started is not None:
            self._finish_start(EnvironmentFactoryError(f"The worker ended while starting. {self.death().message}"))
        if self._on_answer is not None:
            done, self._on_answer = self._on_answer, None
            done(self.death())
        while self._on_fork:
            self._on_fork.popleft().failed(self.death())
        self._maybe_gone()

    def _maybe_gone(self) -> None:
        closed, self._on_closed = self._on_closed, []
        for done in closed:
            done()

    def _finish_start(self, error: RequestError | None) -> None:
        started, self._on_started = self._on_started, None
        if started is not None:
            started(error)

    def _more_output(self) -> bool:
        """Read a block of output; return whether there may be more.

        A block at a time, for a worker may write faster than we read. At the end of the pipe, which can come
        before that of the worker, nobody looks for more.
        """
        if self._output_fd < 0:
            return False
        try:
            data = os.read(self._output_fd, OUTPUT_BLOCK)
        except BlockingIOError:
            return False
        self._output = (self._output + data)[-OUTPUT_KEPT:]
        if not data:
            self._close_output()
        return bool(data)

    def _close_output(self) -> None:
        descriptor, self._output_fd = self._output_fd, -1
        if descriptor >= 0:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)

    def death(self) -> EnvironmentDiedError:
        """Return the error that says how the worker has ended."""
        status = self._status
        if status is None:
            how = "is gone"
        elif status < 0:
            how = f"was killed by {signal.Signals(-status).name}"
        else:
            how = f"ended with exit code {status}"
        said = self._output.decode("utf-8", errors="replace").strip()
        lines = "\n".join(said.splitlines()[-10:])
        tail = f". Its last lines:\n{lines}" if lines and self._options["expose_errors"] else ""
        return EnvironmentDiedError(
            f"The environment's process {how}; reset() starts over on a new environment{tail}"
        )
