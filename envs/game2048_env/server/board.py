"""The rules of 2048, in plain Python."""

from random import Random
from typing import get_args

from ..models import Move

SIZE = 4
FOURS = 0.1
MOVES: tuple[Move, ...] = get_args(Move)

Rows = list[list[int]]


def slid(line: list[int]) -> tuple[list[int], int]:
    """Return a line that was pushed to its beginning, and the points for the tiles that merged."""
    kept: list[int] = []
    points, mergeable = 0, False
    for tile in filter(None, line):
        if mergeable and kept[-1] == tile:
            kept[-1] = 2 * tile
            points += 2 * tile
            mergeable = False  # a tile merges once in a move
        else:
            kept.append(tile)
            mergeable = True
    return kept + [0] * (len(line) - len(kept)), points


class Board:
    """A board and the generator of what appears on it.

    Args:
        rng: Draws new tiles: a 2 nine times of ten, else a 4, on an empty field.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.rows: Rows = [[0] * SIZE for _ in range(SIZE)]
        self.score = self.moves = 0
        self._appear()
        self._appear()

    @property
    def highest(self) -> int:
        """The highest tile."""
        return max(map(max, self.rows))

    def legal(self) -> list[Move]:
        """Return the moves that change anything."""
        return [move for move in MOVES if self._after(move)[0] != self.rows]

    def play(self, move: Move) -> int | None:
        """Make a move, and return its points; None if it would change nothing, and nothing is done."""
        rows, points = self._after(move)
        if rows == self.rows:
            return None
        self.rows = rows
        self.score += points
        self.moves += 1
        self._appear()
        return points

    def text(self) -> str:
        """Return the board as text."""
        return "\n".join(" ".join(f"{tile or '.':>5}" for tile in row) for row in self.rows)

    def _after(self, move: Move) -> tuple[Rows, int]:
        upright, backwards = move in ("up", "down"), move in ("down", "right")
        lines = [list(line) for line in zip(*self.rows, strict=True)] if upright else self.rows
        points, pushed = 0, []
        for line in lines:
            done, scored = slid(line[::-1] if backwards else line)
            pushed.append(done[::-1] if backwards else done)
            points += scored
        return ([list(line) for line in zip(*pushed, strict=True)] if upright else pushed), points

    def _appear(self) -> None:
        empty = [(r, c) for r, row in enumerate(self.rows) for c, tile in enumerate(row) if not tile]
        row, column = self._rng.choice(empty)
        self.rows[row][column] = 4 if self._rng.random() < FOURS else 2
