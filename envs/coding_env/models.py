"""What goes to the coding environment and what comes back."""

from pydantic import BaseModel, Field

from openenv.models import Action, Observation, State


class CodeAction(Action):
    """Run a piece of Python in the episode's interpreter, whose variables stay from step to step."""

    code: str = Field(description="The Python source. Variables, functions and files of earlier steps are there.")
    timeout_s: float | None = Field(
        default=None,
        gt=0,
        le=600,
        description="Seconds it may run; the environment's own limit (10 s) if not given.",
    )
    submit: bool = Field(
        default=False, description="Whether this is the last step: the task's hidden tests are run after it."
    )


class CodeError(BaseModel):
    """The exception that ended a piece of Python."""

    type: str = Field(description="The name of its class, such as ZeroDivisionError.")
    message: str = Field(description="What str() makes of it.")


class CodeObservation(Observation):
    """What the code did, and what is to be done."""

    stdout: str = Field(default="", description="What it wrote: up to 256 KiB, the middle of longer output is cut.")
    stderr: str = Field(default="", description="What it wrote to standard error, and the traceback.")
    exit_code: int = Field(
        default=0,
        description="0; 1 after an exception; what sys.exit was given; minus a signal's number if one ended it.",
    )
    error: CodeError | None = Field(default=None, description="The exception that ended the code.")
    value: str | None = Field(default=None, description="repr() of the last line's value, if it is an expression.")
    timed_out: bool = Field(default=False, description="Whether its time was up.")
    context_lost: bool = Field(default=False, description="Whether the interpreter ended, with all variables.")
    killed_for: str = Field(default="", description="'disk' or 'processes' if it was ended since it used up those.")
    execution_time_ms: float = Field(default=0.0, description="How long it ran, in milliseconds.")
    peak_memory_bytes: int = Field(default=0, description="The most memory the interpreter had; 0 if unknown.")
    files_changed: list[str] = Field(
        default_factory=list, description="Files that were made, changed or removed; the first 1000 by name."
    )
    bytes_cut: tuple[int, int] = Field(default=(0, 0), description="What is missing of stdout and of stderr.")
    prompt: str = Field(
        default="", description="The task, with public examples; only after a reset, if there is one."
    )
    task_id: str | None = Field(default=None, description="The task's name; None if the episode has none.")
    tests_passed: int | None = Field(
        default=None, description="Hidden tests that passed; only after the last step."
    )
    tests_total: int | None = Field(default=None, description="Hidden tests there are; only after the last step.")


class CodeState(State):
    """Where the episode stands."""

    last_exit_code: int = Field(default=0, description="That of the latest step.")
    task_id: str | None = Field(default=None, description="The task's name; None if the episode has none.")
    interpreter: str = Field(default="python", description="What runs the code: python or smolagents.")
