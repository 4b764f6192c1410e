"""Small environments for tests of what makes something else of an environment."""

from typing import Literal

from pydantic import Field

from openenv.environment import Environment
from openenv.errors import InvalidRequestError
from openenv.models import Action, Observation, Outcome, State, StepResult
from openenv.outcomes import Cause
from openenv.server import create_app

Move = Literal["left", "stay", "right"]


class Walk(Action):
    """A step on a line."""

    move: Move


class Place(Observation):
    """Where one is."""

    at: int = Field(ge=0, le=6, description="From 0 to 6; 6 is the goal.")
    legal_actions: list[Move] = Field(default_factory=list)
    warm: bool = Field(description="Whether the goal is near.")


class Corridor(Environment[Walk, Place, State]):
    """A line of seven fields. Its goal is at the right end; one is cut off after ten steps, or `limit`."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        self._draws = 0

    def reset(
        self, seed: int | None = None, at: int | None = None, broken: str = "", limit: int = 10
    ) -> StepResult[Place]:
        """Start at a field that the seed says, or `at`."""
        if broken == "reset":
            raise RuntimeError("the reset was told to fail")
        self._steps, self._broken, self._limit = 0, broken, limit
        self._at = ((seed or 0) % 5 if at is None else at) + 0
        return StepResult(self._seen(), info={"started": self._at})

    def step(self, action: Walk) -> StepResult[Place]:
        """Move, if there is no wall."""
        if action.move not in self._legal():
            raise InvalidRequestError("there is a wall")
        self._steps += 1
        if self._broken == "step":
            raise RuntimeError("the step was told to fail")
        if self._broken == "told":
            return StepResult(self._seen(), 1.0, outcome=Outcome.infra_fault(Cause.ENVIRONMENT_ERROR))
        if self._broken == "shape":
            return StepResult(Place.model_construct(at=[1, 2], warm=False, legal_actions=["left"]), 0.0)
        self._at += {"left": -1, "stay": 0, "right": 1}[action.move]
        if self._at == 6:
            return StepResult(self._seen(), 1.0, terminated=True, truncated=self._steps == self._limit)
        reward = None if self._broken == "ungraded" else -0.1
        return StepResult(self._seen(), reward, truncated=self._steps == self._limit)

    def _legal(self) -> list[Move]:
        return ["stay", "right"] if self._at == 0 else ["left", "stay", "right"]

    def _seen(self) -> Place:
        legal = [] if self._at == 6 else self._legal()
        return Place(at=self._at, warm=self._at > 3, legal_actions=legal)

    @property
    def state(self) -> State:
        """Where the episode stands."""
        return State()


corridor = create_app(Corridor)
