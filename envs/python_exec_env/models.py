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
    """Empty the work folder and start counting anew, within the session."""


class PyExecObservation(Observation):
    """What the program did.

    Attributes:
        stdout: What it wrote, up to a limit.
        stderr: What it wrote there, up to a limit.
        exit_code: Its exit code; -1 after a timeout, minus the signal number if it was killed.
        execution_time_ms: How long it ran, in milliseconds.
        files_changed: Files it made, changed or removed, relative to the work folder.
    """

    stdout: str
    stderr: str
    exit_code: int
    execution_time_ms: float
    files_changed: list[str] = Field(default_factory=list)
