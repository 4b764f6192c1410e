"""What goes to the terminal environment and what comes back.

An action says what it is in its `type`, so each kind is a form, or a tool, of its own.
"""

from typing import Literal

from pydantic import BaseModel, Field

from openenv.models import Action, Observation, State

Key = Literal[
    "enter", "nothing", "ctrl-c", "ctrl-d", "ctrl-z", "tab", "escape", "backspace", "up", "down", "left", "right"
]

_SHELL = Field(
    default="main",
    pattern=r"^[A-Za-z0-9_-]{1,32}$",
    description="Which shell; a new name starts a new one, with a folder and variables of its own.",
)


class RunCommand(Action):
    """Run a command line in a shell, and see its output once it has ended."""

    type: Literal["run"] = "run"
    command: str = Field(
        max_length=100_000,
        description="The command line, or several; for bash, in a terminal.",
    )
    shell: str = _SHELL
    timeout_s: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="Seconds after which what still runs is interrupted, as by Ctrl-C; or is left to run.",
    )
    leave_running: bool = Field(
        default=False, description="Do not interrupt what still runs then, so that keys can be sent to it."
    )


class SendKeys(Action):
    """Type into the program that a shell has been left running, and see what it writes."""

    type: Literal["keys"] = "keys"
    keys: str = Field(default="", max_length=4000, description="Text to type.")
    then: Key = Field(default="enter", description="The key to press after the text.")
    shell: str = _SHELL
    wait_s: float = Field(
        default=0.5, ge=0, le=600, description="Seconds to wait for output; less if the program ends."
    )


class ReadFile(Action):
    """Get a file out of the work folder."""

    type: Literal["read"] = "read"
    path: str = Field(description="Relative to the work folder.")


class WriteFile(Action):
    """Put a file into the work folder, and make the folders it is in."""

    type: Literal["write"] = "write"
    path: str = Field(description="Relative to the work folder.")
    text: str = Field(default="", description="What is written, as UTF-8.")
    data: bytes | None = Field(default=None, description="Bytes to write in place of the text; base64 in JSON.")


class Submit(Action):
    """Say that the task is done. Its tests are run, and the episode ends."""

    type: Literal["submit"] = "submit"


TerminalAction = RunCommand | SendKeys | ReadFile | WriteFile | Submit
"""Whatever an agent can do."""


class TestOutcome(BaseModel):
    """What came of one of a task's tests."""

    __test__ = False  # no test for pytest

    name: str
    passed: bool
    message: str = ""


class TerminalObservation(Observation):
    """What the terminal shows. Which fields are set depends on the action."""

    task_id: str = Field(default="", description="Which task this is; after a reset.")
    instruction: str = Field(default="", description="What is to be done; after a reset.")
    output: str = Field(default="", description="What was written since the action began; the text of a file.")
    exit_code: int | None = Field(default=None, description="Of the command, if it has ended by itself.")
    timed_out: bool = Field(default=False, description="The command was interrupted since its time was up.")
    running: bool = Field(default=False, description="The command still runs, and can be sent keys.")
    shell_lost: bool = Field(default=False, description="The shell has ended; its name now means a new one.")
    data: bytes | None = Field(default=None, description="The bytes of the file that was read; base64 in JSON.")
    files_changed: list[str] = Field(
        default_factory=list, description="Files that were made, changed or removed in the work folder."
    )
    error: str = Field(default="", description="Why the action could not be done.")
    tests: list[TestOutcome] = Field(default_factory=list, description="The task's tests, at the end.")


class TerminalState(State):
    """Where the episode stands."""

    task_id: str = ""
