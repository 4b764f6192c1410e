"""What goes to the Python execution environment and what comes back."""

from pydantic import Field

from openenv.models import Action, Observation


class RunCodeAction(Action):
    """Run a piece of Python.

    Attributes:
        code: The program. Each runs in a new interpreter; files stay until the episode ends.
        timeout_seconds: How long it may run.
    """

    code: str
    timeout_seconds: float = Field(default=10.0, gt=0, le=600)


class ResetAction(Action):
    """Empty the work folder and count the steps anew, within the episode."""


class PyExecObservation(Observation):
    """What the program did.

    Attributes:
        stdout: What it wrote, up to 256 KiB.
        stderr: What it wrote there, up to 256 KiB.
        exit_code: Its exit code; minus the signal's number if a signal ended it; -1 if its time was up.
        timed_out: Whether its time was up, which tells that from signal 1.
        execution_time_ms: How long it ran, in milliseconds.
        files_changed: Files it made, changed or removed, relative to the work folder; the first 1000 by name.
    """

    stdout: str
    stderr: str
    exit_code: int
    timed_out: bool = False
    execution_time_ms: float
    files_changed: list[str] = Field(default_factory=list)
