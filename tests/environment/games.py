"""Games of several agents: in turn, all at once, for a single agent, and one that fails."""

import random
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from openenv.environment.multi_agent import MultiAgentGame, seats
from openenv.errors import InvalidRequestError
from openenv.models import Action, Observation

LINES = ("012", "345", "678", "036", "147", "258", "048", "246")


class Mark(Action):
    square: int


class Board(Observation):
    squares: str = ""
    legal: list[int] = Field(default_factory=list)


class TicTacToe(MultiAgentGame[Mark, Board]):
    """Three in a row win."""

    agents = ("x", "o")

    def reset(self, seed: int | None = None, first: Literal["x", "o", "any"] = "x") -> None:
        if first not in ("x", "o", "any"):
            raise InvalidRequestError("first is x, o or any")
        self.squares = ["."] * 9
        self.agent_selection = random.Random(seed).choice("xo") if first == "any" else first
        self.rewards, self.terminated = {}, False

    def step(self, action: Mark) -> None:
        square, mover = action.square, self.agent_selection
        if not 0 <= square < 9 or self.squares[square] != ".":
            raise InvalidRequestError(f"{square} is not a free square")
        other = "o" if mover == "x" else "x"
        self.squares[square] = mover
        if any(all(self.squares[int(each)] == mover for each in line) for line in LINES):
            self.rewards, self.terminated = {mover: 1.0, other: -1.0}, True
        elif "." not in self.squares:
            self.rewards, self.terminated = {mover: 0.0, other: 0.0}, True
        self.agent_selection = other

    def observe(self, agent: str) -> Board:
        mine = agent == self.agent_selection and not self.terminated
        legal = [n for n, square in enumerate(self.squares) if square == "." and mine]
        return Board(squares="".join(self.squares), legal=legal)


class Throw(Action):
    hand: str


class Hands(Observation):
    last: dict[str, str] = Field(default_factory=dict)


BEATS = {"rock": "scissors", "paper": "rock", "scissors": "paper"}


class RockPaperScissors(MultiAgentGame[Throw, Hands]):
    """All throw at once, three times."""

    agents = ("ann", "bob")

    def reset(self, seed: int | None = None) -> None:
        self.last, self.round = {}, 0
        self.rewards, self.truncated = {}, False

    def check(self, agent: str, action: Throw) -> None:
        if action.hand not in BEATS:
            raise InvalidRequestError(f"{agent} throws rock, paper or scissors")

    def step_all(self, actions: Mapping[str, Throw]) -> None:
        self.last = {agent: action.hand for agent, action in actions.items()}
        ann, bob = self.last["ann"], self.last["bob"]
        won = (BEATS[ann] == bob) - (BEATS[bob] == ann)
        self.rewards = {"ann": float(won), "bob": float(-won)}
        self.round += 1
        self.truncated = self.round == 3

    def observe(self, agent: str) -> Hands:
        return Hands(last=self.last)


class Add(Action):
    number: int


class Sum(Observation):
    total: int
    target: int


class Adding(MultiAgentGame[Add, Sum]):
    """One or more agents add numbers in turn, and each gets what it has added, until a target is reached."""

    def __init__(self, agents: tuple[str, ...] = ("only",)) -> None:
        self.agents = agents
        self.closed = 0

    def reset(self, seed: int | None = None) -> None:
        self.total, self.target = 0, random.Random(seed).randint(10, 20)
        self.rewards, self.terminated, self.agent_selection = {}, False, self.agents[0]

    def step(self, action: Add) -> None:
        if not 0 < action.number < 10:
            raise InvalidRequestError("A number is from 1 to 9")
        mover = self.agents.index(self.agent_selection)
        self.total += action.number
        others = len(self.agents) - 1
        self.rewards = {agent: -1.0 for agent in self.agents if others} | {self.agents[mover]: float(action.number)}
        self.terminated = self.total >= self.target
        self.agent_selection = self.agents[(mover + 1) % len(self.agents)]

    def observe(self, agent: str) -> Sum:
        return Sum(total=self.total, target=self.target)

    def close(self) -> None:
        self.closed += 1


class Failing(Adding):
    """Fails where its action says so."""

    def step(self, action: Add) -> None:
        if action.number == 99:
            raise LookupError("a bug of the game")
        if action.number == 98:
            self.agent_selection = "nobody"
            return
        super().step(action)


TicTacToeSeat = seats(TicTacToe)
RockPaperScissorsSeat = seats(RockPaperScissors)
AddingSeat = seats(Adding)
