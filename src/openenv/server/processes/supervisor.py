"""The parent of a server's processes: it accepts connections and hands each on, and starts again what died.

It hands a connection to the process that has least to do, which the kernel would not: processes that share a
listening socket take connections as they happen to wake up, and a vector client makes only a few. It looks into no
connection, and runs none of the environment's code.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from types import FrameType

from openenv.server.processes.control import Kind, receive, send
from openenv.server.processes.ledger import Ledger, load_of
from openenv.server.worker.messages import packed

logger = logging.getLogger("uvicorn.error")

STOP_GRACE_S = 12.0
"""Seconds that processes get to end in good order."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""Seconds before a process that died is started again: doubled each time, unless it had lived for long."""

LONG_LIFE_S = 30.0
REST_S = 0.1
"""Seconds without accepting, when there are no descriptors left."""

ACCEPTED_AT_ONCE = 64


class Supervisor:
    """Runs the processes of a server. Use it in the main thread, for it takes the signals.

    Args:
        app: Import string of the application, `module:attribute`.
        count: How many processes.
        listener: The listening socket, of TCP or a Unix domain socket; closed at the end.
        log_level: See `openenv.server.serve`.
    """

    def __init__(self, app: str, count: int, listener: socket.socket, log_level: str) -> None:
        self._app = app
        self._log_level = log_level
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._ledger = Ledger.make(count)
        self._children = [Child(index) for index in range(count)]
        self._accepting = False
        self._was_ready = False
        self._stopping = False
        self._status = 0

    def run(self) -> int:
        """Serve until told to end by SIGINT or SIGTERM; return the exit status.

        It is 0 after an orderly end, else that of a process that could not even be started once.
        """
        self._listener.setblocking(False)
        logger.info("Serving with %d processes", len(self._children))
        with self._signals() as woken:
            self._selector.register(woken, selectors.EVENT_READ, self._woken)
            try:
                for child in self._children:
                    self._start(child)
                while not self._stopping:
                    self._turn()
            finally:
                self._listener.close()
                self._end_all()
                self._selector.close()
        return self._status

    # --- one turn --------------------------------------------------------------------------------

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._pause()):
            if isinstance(key.fileobj, socket.socket) and key.fileobj.fileno() >= 0:  # else it was closed just now
                key.data()
        now = time.monotonic()
        for child in self._children:
            if child.process is None and not self._stopping and now >= child.again_at:
                self._start(child)
        self._accept_if_possible()

    def _pause(self) -> float | None:
        now = time.monotonic()
        pauses = [max(0.0, child.again_at - now) for child in self._children if child.process is None]
        return min(pauses, default=None)

    def _accept_if_possible(self) -> None:
        """Accept while there is somebody to hand connections to; till then they wait in the listener's queue."""
        ready = [child.ready for child in self._children]
        self._was_ready = self._was_ready or all(ready)  # the first ones are to be spread over all
        possible = self._was_ready and any(ready) and not self._stopping
        if possible and not self._accepting:
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        elif self._accepting and not possible:
            self._selector.unregister(self._listener)
        self._accepting = possible

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:
                logger.warning("No connection can be accepted: %s", error)
                time.sleep(REST_S)
                return
            with connection:
                self._hand_on(connection)

    def _hand_on(self, connection: socket.socket) -> None:
        rows = self._ledger.rows()
        ready = [child for child in self._children if child.ready]
        for child in sorted(ready, key=lambda child: (load_of(rows[child.index], child.handed), child.handed)):
            try:
                send(child.control, Kind.CLIENT, handing=connection)
            except OSError:  # it does not read, or is gone: the next
                continue
            child.handed += 1
            return

    # --- processes -------------------------------------------------------------------------------

    def _start(self, child: Child) -> None:
        number = self._ledger.begin(child.index)
        control, theirs = socket.socketpair()
        table = self._ledger.descriptor
        with theirs:
            theirs.set_inheritable(True)
            child.process = subprocess.Popen(
                [sys.executable, "-m", "openenv.server.processes.child", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), table),
            )
        options = {
            "parent": os.getpid(),
            "path": sys.path,
            "ledger": table,
            "index": child.index,
            "number": number,
            "app": self._app,
            "log_level": self._log_level,
        }
        child.began(control, number)
        with contextlib.suppress(OSError):  # it ended at once, which is noticed elsewhere
            control.sendall(packed(options))
        control.setblocking(False)
        self._selector.register(control, selectors.EVENT_READ, lambda: self._heard(child, control))

    def _heard(self, child: Child, control: socket.socket) -> None:
        try:
            while (message := receive(control)) is not None:
                if message.kind is Kind.READY:
                    child.ready = True
                elif message.kind is Kind.CALL:
                    self._connect(child, message.a, message.b)
        except BlockingIOError:
            return
        self._selector.unregister(control)  # it ends; the signal of its death follows
        child.ready = False

    def _connect(self, caller: Child, request: int, number: int) -> None:
        """Make a line between two processes."""
        called = next((child for child in self._children if child.ready and child.number == number), None)
        with contextlib.suppress(OSError):  # the caller does not read, or is gone
            if called is None:
                send(caller.control, Kind.GONE, request)
                return
            one, other = socket.socketpair()
            with one, other:
                try:
                    send(called.control, Kind.PEER, handing=other)
                except OSError:
                    send(caller.control, Kind.GONE, request)
                else:
                    send(caller.control, Kind.ANSWER, request, handing=one)

    def _reap(self) -> None:
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                self._died(child, child.process.returncode)

    def _died(self, child: Child, status: int) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(child.control)
        sessions = self._ledger.rows()[child.index].sessions
        self._ledger.clear(child.index)
        child.ended()
        if self._stopping:
            return
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit code {status}"
        if not self._was_ready:
            logger.error("A server process %s before it could serve", how)
            self._stopping, self._status = True, status if status > 0 else 1
            return
        logger.error("Server process %d %s; %d sessions are lost. Starting another", child.number, how, sessions)

    # --- the end ---------------------------------------------------------------------------------

    def _end_all(self) -> None:
        for child in self._children:
            if child.process is not None:
                child.process.terminate()
        deadline = time.monotonic() + STOP_GRACE_S
        for child in self._children:
            if child.process is None:
                continue
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                logger.error("Server process %d did not end within %g s and is killed", child.number, STOP_GRACE_S)
                child.process.kill()
                child.process.wait()
            child.ended()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        """Yield what is readable after a signal."""
        woken, wake = socket.socketpair()
        woken.setblocking(False)
        wake.setblocking(False)

        def asked_to_end(_number: int, _frame: FrameType | None) -> None:
            self._stopping = True

        handlers = {signal.SIGINT: asked_to_end, signal.SIGTERM: asked_to_end, signal.SIGCHLD: lambda *_: None}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        before_wakeup = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        try:
            with woken, wake:
                self._wake = woken
                yield woken
        finally:
            signal.set_wakeup_fd(before_wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake.recv(4096)
        self._reap()


class Child:
    """One server process, as its parent sees it.

    Args:
        index: Its row in the ledger.

    Attributes:
        process: It; None while there is none.
        control: The socket to it.
        number: Its number, never used twice.
        ready: Whether connections can be handed to it.
        handed: How many were.
        again_at: Monotonic time when it is to be started again.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.process: subprocess.Popen[bytes] | None = None
        self.control: socket.socket
        self.number = 0
        self.ready = False
        self.handed = 0
        self.again_at = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._born = 0.0

    def began(self, control: socket.socket, number: int) -> None:
        """Take note of its start."""
        self.control = control
        self.number = number
        self.handed = 0
        self._born = time.monotonic()

    def ended(self) -> None:
        """Take note of its end."""
        self.control.close()
        self.process = None
        self.ready = False
        now = time.monotonic()
        if now - self._born >= LONG_LIFE_S:
            self._pause_s, self.again_at = FIRST_PAUSE_S, now
        else:
            self.again_at = now + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
