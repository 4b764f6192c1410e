"""An environment that misbehaves when it is told to, for tests of what plays environments.

Its task is trivial: repeat, twice, the number that the last observation names. What matters is what a row asks for
by its `trouble`. The same game is served in four forms, because adapters differ in what they can say: `tools` (a
tool call), `text` (an action of one text field), `number` (an action of one small integer) and `answer` (one text,
the number of the task, which is the whole episode and needs no observation).

Nothing of the task is known before a reset: not the number, and not the tools, of which there are none until then.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field

from openenv.environment import Environment
from openenv.errors import InvalidRequestError, WorkspaceLostError
from openenv.mcp import MCPEnvironment
from openenv.mcp.toolbox import Toolbox
from openenv.models import Action, Observation, State, StepResult
from openenv.outcomes import Cause, Outcome
from openenv.server import create_app

__all__ = ["FAILING", "FIRST_REWARD", "FOLDER", "TURNS", "answer", "number", "text", "tools"]

TURNS = 2
FIRST_REWARD = 0.25
"""Reward of the first of the two turns; that of the second makes it up to the number of the task."""
FOLDER = "OPENENV_TROUBLE_FOLDER"
"""Environment variable of the server: the folder in which environments count and call out; none of both without."""
FAILING = "construction-fails"
"""A file of that folder: while it is there, every other construction fails."""


class Game:
    """What the three forms share: one episode, in words and numbers."""

    def __init__(self) -> None:
        self.steps = 0
        self.secret = 0
        self.task = 0.0
        self.trouble = "none"
        count = _counted()
        if count % 2 == 0 and _folder() and (Path(_folder()) / FAILING).exists():
            raise RuntimeError(f"construction number {count} fails, as every other one here does")

    def begin(self, task: float, trouble: str) -> None:
        """Begin an episode."""
        self.steps, self.task, self.trouble = 0, float(task), trouble
        self.draw()
        if trouble == "reset_raises":
            raise RuntimeError("the reset was told to raise")
        if trouble == "reset_refused":  # as of a row that is no task
            raise InvalidRequestError("there is no such task")
        _break(trouble, "reset")

    def draw(self) -> None:
        """Draw the next number to be repeated."""
        self.secret = random.randint(1, 9)  # noqa: S311 - a game

    @property
    def tool(self) -> str:
        """Name of the tool that this task is played with."""
        return "whisper" if self.trouble == "other_tools" else "say"

    @property
    def prompt(self) -> str:
        """What the player is to do next."""
        return f"next: {self.tool} {self.secret}"

    def move(self, number: int) -> tuple[str, Any, dict[str, Any]]:
        """Make a move; return what the player is told, the reward, and the end as `StepResult` takes it."""
        told = self._move(number)
        reward = told.pop("reward")
        return "over" if told else self.prompt, reward, told

    def _move(self, number: int) -> dict[str, Any]:
        self.steps += 1
        if number != self.secret:
            return {"reward": 0.0, "terminated": True}
        self.draw()
        if self.steps < TURNS:
            return {"reward": None if self.trouble in ("ungraded", "graded_late") else FIRST_REWARD}
        _break(self.trouble, "step")
        return _ENDS.get(self.trouble, _usual)(self.task)


def _usual(task: float) -> dict[str, Any]:
    return {"reward": task - FIRST_REWARD, "terminated": True}


def _raises(_task: float) -> dict[str, Any]:
    raise WorkspaceLostError("the step was told to raise")  # which is no answer to the agent, also of a tool


_ENDS: dict[str, Callable[[float], dict[str, Any]]] = {
    "step_raises": _raises,
    "ungraded": lambda _task: {"reward": None, "terminated": True},
    "graded_late": lambda task: {"reward": task, "terminated": True},
    "wrong_reward": lambda _task: {"reward": "plenty", "terminated": True},
    "not_a_number": lambda _task: {"reward": float("nan"), "terminated": True},
    "tells_fault": lambda task: {"reward": task, "outcome": Outcome.infra_fault(Cause.ENVIRONMENT_ERROR)},
    "illegal": lambda _task: {"reward": -1 - FIRST_REWARD, "outcome": Outcome.policy_fault()},
    "cut_off": lambda task: {"reward": task - FIRST_REWARD, "truncated": True},
}


def _break(trouble: str, verb: str) -> None:
    """Die, hang, or call for a restart of the server, if that is the trouble of this reset or step."""
    if trouble == f"{verb}_dies":
        os._exit(3)
    if trouble == f"{verb}_calls":
        (Path(_folder()) / "called").touch()
    if trouble in (f"{verb}_hangs", f"{verb}_calls"):
        time.sleep(3600)


def _folder() -> str:
    return os.environ.get(FOLDER, "")


def _counted() -> int:
    """Return how many environments this server has constructed, in all its processes."""
    if not _folder():
        return 1
    with (Path(_folder()) / "constructed").open("ab") as file:
        file.write(b"x")
        file.flush()
        return file.tell()


# --- as tool calls -----------------------------------------------------------------------------------


class Heard(Observation):
    """What the player is told."""

    text: str = ""


class ToolTrouble(MCPEnvironment):
    """The game as tool calls. Which tool there is depends on the task."""

    def __init__(self) -> None:
        super().__init__()
        self.game = Game()

    def reset(self, task: float = 0.0, trouble: str = "none") -> Heard:
        """Begin an episode."""
        self.game.begin(task, trouble)
        self._toolbox = Toolbox()
        self.tool(name=self.game.tool)(self._repeat)
        return Heard(text=self.game.prompt)

    def _repeat(self, number: int) -> StepResult[str]:
        """Repeat a number.

        Args:
            number: The number that was named last.
        """
        told, reward, ends = self.game.move(number)
        if reward is not None:
            self.add_reward(reward)
        return StepResult(told, **ends)

    @property
    def state(self) -> State:
        """Where the episode stands."""
        return State(step_count=self.game.steps)


# --- as text -----------------------------------------------------------------------------------------


class Say(Action):
    """One number, in digits."""

    text: str


class TextTrouble(Environment[Say, Heard, State]):
    """The game as text."""

    def __init__(self) -> None:
        self.game = Game()

    def reset(self, task: float = 0.0, trouble: str = "none") -> Heard:
        """Begin an episode."""
        self.game.begin(task, trouble)
        return Heard(text=self.game.prompt)

    def step(self, action: Say) -> StepResult[Heard]:
        """Repeat a number."""
        number = int(action.text) if action.text.strip().isdigit() else -1
        told, reward, ends = self.game.move(number)
        return StepResult(Heard(text=told), reward, **ends)

    @property
    def state(self) -> State:
        """Where the episode stands."""
        return State(step_count=self.game.steps)


class AnswerTrouble(TextTrouble):
    """The game as one answer: whoever says the number of the task has both turns played."""

    def step(self, action: Say) -> StepResult[Heard]:
        """Say the number of the task, in digits."""
        if action.text.strip() != f"{self.game.task:g}":
            return StepResult(Heard(text="over"), 0.0, terminated=True)
        first = super().step(Say(text=str(self.game.secret)))
        last = super().step(Say(text=str(self.game.secret)))
        if first.reward is not None and isinstance(last.reward, float):
            last.reward += first.reward
        return last


# --- as numbers --------------------------------------------------------------------------------------


class Choose(Action):
    """One number."""

    number: int = Field(ge=0, le=9)


class Seen(Observation):
    """The number to be repeated; 0 at the end."""

    number: int = Field(default=0, ge=0, le=9)


class NumberTrouble(Environment[Choose, Seen, State]):
    """The game as numbers."""

    def __init__(self) -> None:
        self.game = Game()

    def reset(self, task: float = 0.0, trouble: str = "none") -> Seen:
        """Begin an episode."""
        self.game.begin(task, trouble)
        return Seen(number=self.game.secret)

    def step(self, action: Choose) -> StepResult[Seen]:
        """Repeat a number."""
        _, reward, ends = self.game.move(action.number)
        return StepResult(Seen(number=0 if ends else self.game.secret), reward, **ends)

    @property
    def state(self) -> State:
        """Where the episode stands."""
        return State(step_count=self.game.steps)


# What dies takes its process with it, so each session gets one of its own.
tools = create_app(ToolTrouble, isolation="process")
text = create_app(TextTrouble, isolation="process")
answer = create_app(AnswerTrouble, isolation="process")
number = create_app(NumberTrouble, isolation="process")
