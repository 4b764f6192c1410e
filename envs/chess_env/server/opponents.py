"""Who plays against the agent, and how strongly."""

import asyncio
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import chess

from .engine import Engine, stockfish
from .search import best_move, greedy_move

SELF = "self"
NAMES = ("random", "greedy", "minimax", "stockfish", SELF)
RANGES = {"depth": (1, 4), "nodes": (1, 10_000_000), "skill": (0, 20)}


@dataclass(frozen=True)
class Strength:
    """How strong an opponent is.

    Attributes:
        opponent: One of `NAMES`.
        depth: Half-moves that `minimax` looks ahead.
        nodes: Positions that Stockfish looks at for a move.
        skill: Stockfish's level, 0 to 20; None for all it can.
        elo: The rating that Stockfish plays at, within bounds of its own; None for all it can.
    """

    opponent: str = "random"
    depth: int = 2
    nodes: int = 10_000
    skill: int | None = None
    elo: int | None = None

    def unfit(self, engine: str | None) -> str:
        """Return what is wrong with it; empty if nothing is.

        Args:
            engine: Where Stockfish is.
        """
        if self.opponent not in NAMES:
            return f"The opponent can be {', '.join(NAMES)}, and not {self.opponent!r:.100}"
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and (type(value) is not int or not low <= value <= high):
                return f"{name} is from {low} to {high:,}, and not {value!r:.100}"
        if self.elo is not None and (type(self.elo) is not int or self.elo < 1):
            return f"elo is a whole number above 0, and not {self.elo!r:.100}"
        if self.skill is not None and self.elo is not None:
            return "skill and elo are two ways to say the same; give one of them"
        if self.opponent == "stockfish" and engine is None:
            return "Stockfish is not installed here (apt-get install stockfish)"
        return ""

    @property
    def options(self) -> dict[str, Any]:
        """Stockfish's own options."""
        if self.skill is not None:
            return {"Skill Level": self.skill, "UCI_LimitStrength": False}
        if self.elo is not None:
            return {"UCI_LimitStrength": True, "UCI_Elo": self.elo}
        return {"Skill Level": 20, "UCI_LimitStrength": False}


class Opponents:
    """The opponents of a session; the engine is started when it is first asked for something.

    Args:
        engine: Where Stockfish is; None to look for it.
    """

    def __init__(self, engine: str | None = None) -> None:
        self.path = engine or stockfish()
        self.engine: Engine | None = None

    async def unfit(self, strength: Strength) -> str:
        """Return what an engine says is wrong with a strength; empty if nothing is.

        Raises:
            WorkspaceLostError: The engine cannot be started.
        """
        if strength.opponent != "stockfish" or strength.elo is None:
            return ""
        bounds = await self._engine().bounds("UCI_Elo")
        if bounds is None:
            return "This engine cannot be weakened by elo"
        low, high = bounds
        return (
            "" if low <= strength.elo <= high else f"elo is from {low:,} to {high:,} here, and not {strength.elo}"
        )

    async def move(self, board: chess.Board, strength: Strength, draw: random.Random, game: object) -> chess.Move:
        """Return the opponent's move.

        Args:
            board: The position, which is left as it is.
            strength: Who plays, and how strongly.
            draw: What is drawn is drawn from here.
            game: Another object for another game.

        Raises:
            WorkspaceLostError: The engine has ended.
        """
        if strength.opponent == "stockfish":
            return await self._engine().move(board, strength.nodes, strength.options, game)
        if strength.opponent == "minimax":
            # In a thread: it takes tens of milliseconds, and others are to be served meanwhile.
            given_up = threading.Event()
            try:
                return await asyncio.to_thread(best_move, board.copy(), strength.depth, draw, given_up)
            finally:
                given_up.set()  # a thread cannot be cancelled; without this it would think on for nobody
        choose: Callable[[chess.Board, random.Random], chess.Move] = {"random": _any_move, "greedy": greedy_move}[
            strength.opponent
        ]
        return choose(board, draw)

    def _engine(self) -> Engine:
        assert self.path is not None
        if self.engine is None:
            self.engine = Engine(self.path)
        return self.engine

    async def close(self) -> None:
        """End the engine."""
        engine, self.engine = self.engine, None
        if engine is not None:
            await engine.close()


def _any_move(board: chess.Board, draw: random.Random) -> chess.Move:
    return draw.choice(list(board.legal_moves))
