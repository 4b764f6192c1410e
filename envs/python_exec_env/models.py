"""What goes to the Python execution environment and what comes back."""

from pydantic import Field

from openenv.models import Action, Observation


class RunCodeAction(Action):
    """Run a piece of Python."""

    code: str = Field(description="The program. Each runs in a new interpreter; files stay until the episode ends.")
    timeout_seconds: float = Field(default=10.0, gt=0, le=600, description="How long it may run.")


class ResetAction(Action):
    """Empty the work folder and count the steps anew, within the episode."""


class PyExecObservation(Observation):
    """What the program did."""

    stdout: str = Field(description="What it wrote: up to 256 KiB, the middle of longer output is cut.")
    stderr: str = Field(description="What it wrote there, up to 256 KiB.")
    exit_code: int = Field(
        description="Its exit code; minus the signal's number if a signal ended it; -1 if its time was up."
    )
    timed_out: bool = Field(default=False, description="Whether its time was up, which tells that from signal 1.")
    execution_time_ms: float = Field(description="How long it ran, in milliseconds.")
    files_changed: list[str] = Field(
        default_factory=list, description="Files it made, changed or removed; the first 1000 by name."
    )
