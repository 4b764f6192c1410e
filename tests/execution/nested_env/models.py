"""A piece of Python for several workspaces at once, and what came of it in each."""

from typing import Any

from openenv.models import Action, Observation


class Given(Action):
    """What to run.

    Attributes:
        backend: A class of `openenv.execution`; empty for the one that is taken by itself.
        code: Python; empty for none.
        before: A line for a shell, of which only the end is waited for.
        command: A line for the same shell after it.
        workspaces: In how many.
        timeout_s: For each call.
        reset: Whether to reset them in between.
    """

    backend: str = ""
    code: str = ""
    before: str = ""
    command: str = ""
    workspaces: int = 1
    timeout_s: float = 20.0
    reset: bool = False


class Came(Observation):
    """What came of it.

    Attributes:
        layers: What holds the workspaces, or why they cannot be had.
        python: Of each workspace: the output, and what ended it.
        shell: Likewise.
    """

    layers: list[str] = []  # noqa: RUF012 - pydantic copies it
    absent: dict[str, Any] = {}  # noqa: RUF012
    weaknesses: list[str] = []  # noqa: RUF012
    python: list[list[Any]] = []  # noqa: RUF012
    shell: list[list[Any]] = []  # noqa: RUF012
    folders: list[str] = []  # noqa: RUF012
