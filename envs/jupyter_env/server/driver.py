"""The kernel inside a workspace. This file is sent there as source; the server never imports it.

It is ipykernel's in-process kernel: the same `IPythonKernel` as behind ZeroMQ, without the sockets and threads that
the workspace refuses. Each message that it would publish goes to the server by calling `publish`, a function of the
server; so what was shown before a kernel is killed is not lost. Only the main thread calls it, and only in a cell.
"""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings

CHUNK = 250_000
FLUSH_CHARACTERS = 32_768
FLUSH_S = 0.1

sys.modules["debugpy"] = None  # a debugger needs sockets
os.environ["IPYTHONDIR"] = os.environ["MPLCONFIGDIR"] = tempfile.mkdtemp()
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
startup = os.path.join(os.environ["IPYTHONDIR"], "profile_default", "startup")
os.makedirs(startup)
with open(os.path.join(startup, "README"), "w"):
    pass  # IPython would copy one with its permissions, and permissions may not be changed here

from ipykernel.inprocess.ipkernel import InProcessInteractiveShell, InProcessKernel  # noqa: E402
from IPython.core.compilerop import CachingCompiler  # noqa: E402
from jupyter_client.session import Session  # noqa: E402
from traitlets import Any, Type, default  # noqa: E402
from traitlets.config import Config  # noqa: E402


class Outbox:
    """What a cell shows, on its way to the server."""

    def __init__(self):
        self.printed = self.room = 0
        self.cut = 0
        self.busy = False
        self.interrupted = False
        self.in_cell = False
        self._lock = threading.RLock()
        self._waiting = []
        self._size = 0
        self._flushed = 0.0

    def begin(self, printed, room):
        """Take what a new cell shows: so many printed characters, and so many of other messages."""
        self.printed, self.room = printed, room
        self.cut, self.interrupted, self.in_cell = 0, False, True
        self._flushed = 0.0  # what is printed first is sent at once

    def interrupt(self, *_):
        """Interrupt the cell, but not in the middle of a call to the server."""
        if self.in_cell and not self.busy:
            raise KeyboardInterrupt
        self.interrupted = self.in_cell

    def write(self, name, text):
        """Take printed text, from any thread, and send it on when there is much of it or some time has passed."""
        with self._lock:
            kept = text[: self.printed]
            self.printed -= len(kept)
            self.cut += len(text) - len(kept)
            self._size += len(kept)
            if kept:
                self._waiting.append((name, kept))
        if self._size > FLUSH_CHARACTERS or time.monotonic() > self._flushed + FLUSH_S:
            self.flush()

    def flush(self):
        """Send on what was printed."""
        if not self.in_cell or threading.current_thread() is not threading.main_thread():
            return
        with self._lock:
            waiting, self._waiting, self._size = self._waiting, [], 0
        self._flushed = time.monotonic()
        merged = []
        for name, text in waiting:
            if merged and merged[-1][0] == name:
                merged[-1][1].append(text)
            else:
                merged.append((name, [text]))
        for name, texts in merged:
            self._publish("stream", {"name": name, "text": "".join(texts)})

    def send(self, kind, content):
        """Send a message, unless there is no room left for it."""
        self.flush()
        text = json.dumps([kind, content], default=str)
        if len(text) > self.room:
            self.cut += len(text)
            return
        self.room -= len(text)
        self._publish(kind, content)

    def _publish(self, kind, content):
        if not self.in_cell or threading.current_thread() is not threading.main_thread():
            return
        text = json.dumps([kind, content], default=str)
        self.busy = True
        try:
            for start in range(0, len(text), CHUNK):
                publish(text[start : start + CHUNK], start + CHUNK >= len(text))  # noqa: F821 - the server's
        finally:
            self.busy = False
        if self.interrupted:
            self.interrupted = False
            raise KeyboardInterrupt


class Recorder(Session):
    """Takes the messages of the kernel in place of a socket."""

    def send(self, stream, msg_or_type, content=None, *args, **kwargs):
        """Take a message that is shown, and leave the others."""
        if isinstance(msg_or_type, dict):
            msg_or_type, content = msg_or_type["header"]["msg_type"], msg_or_type["content"]
        if msg_or_type in ("display_data", "execute_result", "update_display_data", "clear_output", "error"):
            outbox.send(msg_or_type, content)


class Stream(io.TextIOBase):
    """Standard output or error of the cells."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, name):
        self.name = name
        self.parent_header = {}

    def write(self, text):
        """Take text."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        outbox.write(self.name, text)
        return len(text)

    def writable(self):
        """Whether it can be written to."""
        return True

    def flush(self):
        """Send on what was printed."""
        outbox.flush()

    def fileno(self):
        """Return the descriptor for programs that are started; what they write is seen, too."""
        return 1 if self.name == "stdout" else 2

    def set_parent(self, parent):
        """Take the request that runs; it is the same for all that is printed."""


class Shell(InProcessInteractiveShell):
    """The shell, with commands in pipes: there are no terminals here."""

    def system(self, cmd):
        """Run a command line, `!cmd`, and print what it writes."""
        program = subprocess.Popen(
            ["/bin/sh", "-c", self.var_expand(cmd, depth=1)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            while data := program.stdout.read1(65536):
                sys.stdout.write(data.decode("utf-8", "replace"))
            self.user_ns["_exit_code"] = program.wait()
        except BaseException:
            program.kill()
            raise
        finally:
            program.stdout.close()

    system_piped = system_raw = system

    def _get_exc_info(self, exc_tuple=None):
        """Leave out our own frame, from which an interruption is raised."""
        kind, error, trace = super()._get_exc_info(exc_tuple)
        at = trace
        while at is not None and at.tb_next is not None:
            if at.tb_next.tb_frame.f_code is Outbox.interrupt.__code__:
                at.tb_next = None
            at = at.tb_next
        return kind, error, trace


class Kernel(InProcessKernel):
    """The kernel, whose messages are taken by a `Recorder`."""

    iopub_thread = Any()
    iopub_socket = Any()
    shell_class = Type(Shell)
    compiler_class = Type(CachingCompiler)  # ipykernel's own hashes each character of a cell in Python

    @default("session")
    def _default_session(self):
        return Recorder(parent=self, key=b"")

    @default("stdout")
    def _default_stdout(self):
        return Stream("stdout")

    @default("stderr")
    def _default_stderr(self):
        return Stream("stderr")


def start():
    """Make the kernel."""
    for number in (signal.SIGINT, signal.SIGALRM):
        signal.signal(number, outbox.interrupt)
    warnings.filterwarnings("ignore", "To exit")
    asyncio.set_event_loop(asyncio.new_event_loop())
    settings = Config()
    settings.HistoryManager.enabled = False  # a file and a thread of its own
    settings.InteractiveShell.colors = "nocolor"
    made = Kernel(config=settings)
    if "matplotlib.pyplot" in sys.modules:
        made.shell.enable_matplotlib("inline")
    return made


def run_cell(code, timeout_s, printed, room):
    """Run a cell and tell how it went: its number, whether it succeeded, was interrupted, and what was cut."""
    outbox.begin(printed, room)
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = kernel.stdout, kernel.stderr
    ok = interrupted = False
    try:
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        try:
            kernel.do_execute(code, False).send(None)
        except StopIteration as done:
            ok = done.value["status"] == "ok"
            for page in done.value["payload"]:  # the help that `name?` asks for
                if page["source"] == "page":
                    outbox.send("display_data", {"data": page["data"]})
        finally:
            interrupted = signal.setitimer(signal.ITIMER_REAL, 0)[0] == 0.0
        outbox.flush()
    except KeyboardInterrupt:  # it came late
        interrupted = True
    finally:
        outbox.in_cell = False
        sys.stdout, sys.stderr = streams
    return kernel.shell.execution_count - 1, ok, interrupted, outbox.cut


def value_of(name):
    """Return a variable of the notebook, as plain a value as it can be had."""
    value = kernel.shell.user_ns.get(name)
    for method in ("tolist", "to_list", "item"):
        if hasattr(value, method):
            return getattr(value, method)()
    return value


outbox = Outbox()
kernel = start()
