"""What is tried, and what came of it."""

from typing import Any

from openenv.models import Action, Observation


class Attempt(Action):
    """One probe of `probes/`.

    Attributes:
        probe: `module.function`, such as `files.read`.
        arguments: Its arguments.
        budget_s: Seconds after which it is ended.
    """

    probe: str
    arguments: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it
    budget_s: float = 30.0


class Outcome(Observation):
    """What came of it.

    Attributes:
        reached: What the probe got hold of; None if it was stopped.
        error: By what it was stopped: an errno's name, a signal's name, or `TIMEOUT`.
        detail: The error's text.
    """

    reached: str | None = None
    error: str = ""
    detail: str = ""
