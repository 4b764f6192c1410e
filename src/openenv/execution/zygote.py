"""This side of the zygote: one for each set of imports in a process, started when it is first needed."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from openenv.errors import WorkspaceLostError
from openenv.execution.backends import HASH_SEED, ISOLATED

__all__ = ["Zygote"]

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
READY_BUDGET_S = 60.0
END_BUDGET_S = 5.0
_SOURCE = Path(__file__).parents[2]


class Zygote:
    """Forks keepers.

    Args:
        search: Folders to import from.
        preload: Modules to import in advance.
    """

    _known: ClassVar[dict[tuple[tuple[str, ...], tuple[str, ...]], Zygote]] = {}

    def __init__(self, search: Sequence[str], preload: Sequence[str]) -> None:
        self._search, self._preload = search, preload
        self._lock = threading.Lock()
        self._owner = 0
        self._line: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def of(cls, search: Sequence[str], preload: Sequence[str]) -> Zygote:
        """Return that of this process for these imports."""
        key = (tuple(search), tuple(preload))
        if key not in cls._known:
            cls._known[key] = cls(*key)
        return cls._known[key]

    def keeper(self) -> socket.socket:
        """Return the line to a new keeper; blocks, for longer when it is the first one.

        Raises:
            WorkspaceLostError: None could be started.
        """
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            for attempt in (1, 2):  # one that was killed is replaced
                try:
                    socket.send_fds(self._running(), [b"k"], [theirs.fileno()])
                    return ours
                except OSError as error:
                    self._stop()
                    if attempt == 2:
                        ours.close()
                        raise WorkspaceLostError(f"No keeper of a workspace can be started: {error}") from error
        raise AssertionError  # the loop returns or raises

    def _running(self) -> socket.socket:
        if self._line is None or self._owner != os.getpid():  # a fork shares the line of its original
            self._start()
        assert self._line is not None
        return self._line

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        script = Path(__file__).with_name("inside") / "zygote.py"
        arguments = [str(_SOURCE), str(theirs.fileno()), os.pathsep.join(self._search), ",".join(self._preload)]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, *ISOLATED, str(script), *arguments],
                env={**HASH_SEED, "PATH": os.defpath, "LANG": "C.UTF-8", **ONE_THREAD},
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                cwd="/",
            )
        ours.settimeout(READY_BUDGET_S)
        if ours.recv(1) != b"!":
            raise OSError("the process that forks keepers has ended at once; its output says why")
        self._line, self._owner = ours, os.getpid()
        atexit.register(self._stop)

    def _stop(self) -> None:
        line, self._line = self._line, None
        process, self._process = self._process, None
        if line is not None:
            line.close()
        if process is not None and self._owner in (0, os.getpid()):
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_BUDGET_S)
                return
            process.kill()
            process.wait()
