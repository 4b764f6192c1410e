"""What goes to the notebook environment and what comes back."""

from typing import Literal

from pydantic import Field

from openenv.models import Action, Model, Observation


class JupyterAction(Action):
    """Run cells of a notebook; restart the kernel before them, hand the work in after them, if that is asked for.

    Attributes:
        code: A cell. The last line's value is shown, as in any notebook; `%magic` and `!command` work.
        cells: More cells, run after it until one fails.
        restart: Start a new kernel first: variables are forgotten, files stay, counting begins at 1.
        submit: Hand in what there is when the cells have run: it is graded, and the episode ends.
        timeout_s: Seconds that each cell may take before it is interrupted.
    """

    code: str = Field(default="", description="A cell of Python; the value of its last line is shown.")
    cells: list[str] = Field(
        default_factory=list, max_length=100, description="More cells, run in order until one fails."
    )
    restart: bool = Field(default=False, description="Start a new kernel first; variables are forgotten.")
    submit: bool = Field(default=False, description="Hand the work in after the cells: the episode ends.")
    timeout_s: float = Field(
        default=30.0, gt=0, le=600, description="Seconds each cell may take; then it is interrupted."
    )


class Output(Model):
    """One output of a cell, as notebooks have them.

    Attributes:
        type: `stream` is printed text, `execute_result` the value of the last line, `display_data` what was
            displayed, `error` an exception. `update_display_data` replaces a display of an earlier cell.
        name: `stdout` or `stderr` of a stream; the name of the exception's class.
        text: What was printed; the plain text of a value; the exception's message.
        traceback: Of an error, without colours.
        data: Other forms of a value that are text, by MIME type, such as `text/html`.
        images: Forms that are bytes, by MIME type, such as `image/png`.
        display_id: Of a display that may be updated.
        execution_count: The number of the cell, of an `execute_result`.
    """

    type: Literal["stream", "execute_result", "display_data", "update_display_data", "error"]
    name: str = ""
    text: str = ""
    traceback: str = ""
    data: dict[str, str] = Field(default_factory=dict)
    images: dict[str, bytes] = Field(default_factory=dict)
    display_id: str = ""
    execution_count: int | None = None


class Cell(Model):
    """What came of one cell.

    Attributes:
        status: `ok`; `error` after an exception; `timeout` if it was interrupted because its time was up, `died` if
            the kernel ended with it, `skipped` if an earlier cell of the same action failed.
        execution_count: Its number; None if it was not run to an end.
        outputs: What it showed, in order; what `clear_output` took away is not there.
        bytes_cut: How much of its output is missing, for there was too much.
        files_changed: Files that were made, changed or removed, relative to the work folder; the first 1000.
        seconds: How long it took.
    """

    status: Literal["ok", "error", "timeout", "died", "skipped"]
    execution_count: int | None = None
    outputs: list[Output] = Field(default_factory=list)
    bytes_cut: int = 0
    files_changed: list[str] = Field(default_factory=list)
    seconds: float = 0.0


class JupyterObservation(Observation):
    """What the notebook shows.

    Attributes:
        task_id: The task of the episode.
        instructions: What is to be done; after a reset only.
        files: The files of the task, in the work folder; after a reset only.
        cells: What came of each cell, in order.
        kernel_restarted: The kernel is a new one, so variables of earlier actions are gone.
        message: What else there is to say, such as why the kernel ended or how the work was graded.
    """

    task_id: str = Field(default="", description="The task of the episode.")
    instructions: str = Field(default="", description="What is to be done; after a reset only.")
    files: list[str] = Field(default_factory=list, description="The files of the task; after a reset only.")
    cells: list[Cell] = Field(default_factory=list, description="What came of each cell, in order.")
    kernel_restarted: bool = Field(default=False, description="Variables of earlier actions are gone.")
    message: str = Field(default="", description="What else there is to say.")
