"""What goes to the git environment and what comes back.

An action says what it is in its `type`, so each kind is a form, or a tool, of its own.
"""

from typing import Literal

from pydantic import BaseModel, Field

from openenv.models import Action, Observation, State


class GitAction(Action):
    """Run a command line in the repository, such as `git log --oneline | head`."""

    type: Literal["command"] = "command"
    command: str = Field(
        max_length=100_000,
        description="The command line, for /bin/sh; it begins in the folder that the task names.",
    )
    timeout_s: float = Field(default=10.0, gt=0, le=600, description="Seconds after which it is ended.")


class ReadFile(Action):
    """Look at a file of the working tree."""

    type: Literal["read"] = "read"
    path: str = Field(description="Relative to the folder that commands begin in.")


class WriteFile(Action):
    """Write a file of the working tree, and the folders it is in."""

    type: Literal["write"] = "write"
    path: str = Field(description="Relative to the folder that commands begin in.")
    text: str = Field(default="", description="All that is in the file afterwards, as UTF-8.")


class Submit(Action):
    """Say that the task is done. Its checks are made, and the episode ends."""

    type: Literal["submit"] = "submit"


AnyAction = GitAction | ReadFile | WriteFile | Submit
"""Whatever an agent can do."""


class CheckOutcome(BaseModel):
    """What came of one of a task's checks."""

    name: str
    passed: bool
    message: str = ""


class GitObservation(Observation):
    """What a command has said. Which fields are set depends on the action."""

    task_id: str = Field(default="", description="Which task this is; after a reset.")
    instruction: str = Field(default="", description="What is to be done; after a reset.")
    stdout: str = Field(default="", description="What was written there; the text of a file.")
    stderr: str = Field(default="", description="What was written there.")
    exit_code: int | None = Field(default=None, description="Of the command, if it has ended by itself.")
    timed_out: bool = Field(default=False, description="The command was ended since its time was up.")
    error: str = Field(default="", description="Why the action could not be done.")
    checks: list[CheckOutcome] = Field(default_factory=list, description="The task's checks, at the end.")


class GitState(State):
    """Where the episode stands."""

    task_id: str = ""
