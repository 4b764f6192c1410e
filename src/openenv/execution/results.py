"""What came of running something."""

from __future__ import annotations

import signal
from dataclasses import dataclass

__all__ = ["CodeError", "Execution"]


@dataclass(frozen=True)
class CodeError:
    """The exception that ended a piece of Python.

    Attributes:
        type: The name of its class, such as `ZeroDivisionError`.
        message: What `str` makes of it.
        traceback: As an interpreter prints it.
    """

    type: str
    message: str
    traceback: str


@dataclass(frozen=True)
class Execution:
    """What came of one call.

    Attributes:
        stdout: What was written, or what the terminal showed. Bytes that are no UTF-8 are replaced.
        stderr: What was written to standard error; empty for a terminal.
        exit_code: The exit status; for Python 0, 1 after an exception, or what `sys.exit` was given. None if a
            signal ended it.
        signal: The signal that ended it, such as `SIGKILL`.
        timed_out: Its time was up.
        killed_for: `disk` if it was ended because it filled the disk, `processes` because there were too many; else
            empty.
        error: The exception that ended a piece of Python.
        value: `repr` of the value of the last line of a piece of Python, if that is an expression and not None.
        is_plain: Whether `value` is that of a value made of nothing but literals, for `ast.literal_eval`.
        context_lost: The interpreter or the shell has ended, and its variables with it; the next call has a new
            one.
        seconds: How long it took.
        peak_memory_bytes: The most memory the process had; 0 if that could not be told.
        files_changed: Files that were made, changed or removed since the call before, relative to the work folder;
            the first 1000.
        bytes_cut: What is missing of standard output and of standard error.
    """

    stdout: str = ""
    stderr: str = ""
    exit_code: int | None = 0
    signal: str | None = None
    timed_out: bool = False
    killed_for: str = ""
    error: CodeError | None = None
    value: str | None = None
    is_plain: bool = False
    context_lost: bool = False
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    files_changed: tuple[str, ...] = ()
    bytes_cut: tuple[int, int] = (0, 0)

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with exit code 0."""
        return self.exit_code == 0 and not self.timed_out and not self.killed_for

    @property
    def returncode(self) -> int:
        """The exit status, or minus the number of the signal that ended it, as `subprocess` has it."""
        if self.exit_code is not None:
            return self.exit_code
        return -next((number for number in range(1, 65) if signal_name(number) == self.signal), 1)


def signal_name(number: int) -> str:
    """Return the name of a signal, such as `SIGSEGV`."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
