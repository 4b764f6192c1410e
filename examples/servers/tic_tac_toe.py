"""Tic-tac-toe for two clients, as an app: openenv serve tic_tac_toe:app"""

from openenv.client import EnvClient
from openenv.environment.multi_agent import MultiAgentGame, SeatState, seats
from openenv.errors import InvalidRequestError
from openenv.models import Action, Observation
from openenv.server import create_app

LINES = ("012", "345", "678", "036", "147", "258", "048", "246")


class Mark(Action):
    square: int


class Board(Observation):
    squares: str
    free: list[int]


class TicTacToe(MultiAgentGame[Mark, Board]):
    """Three in a row win."""

    agents = ("x", "o")

    def reset(self, seed: int | None = None) -> None:
        self.squares = ["."] * 9
        self.agent_selection = "x"
        self.rewards, self.terminated = {}, False

    def step(self, action: Mark) -> None:
        mover, other = ("x", "o") if self.agent_selection == "x" else ("o", "x")
        if action.square not in self.free():
            raise InvalidRequestError(f"{action.square} is not a free square")
        self.squares[action.square] = mover
        self.agent_selection = other
        if any(all(self.squares[int(each)] == mover for each in line) for line in LINES):
            self.rewards, self.terminated = {mover: 1.0, other: -1.0}, True
        elif not self.free():
            self.rewards, self.terminated = {mover: 0.0, other: 0.0}, True

    def free(self) -> list[int]:
        return [square for square, mark in enumerate(self.squares) if mark == "."]

    def observe(self, agent: str) -> Board:
        return Board(squares="".join(self.squares), free=self.free())


class TicTacToeEnv(EnvClient[Mark, Board, SeatState]):
    pass


app = create_app(seats(TicTacToe))
