"""Runs a strategy in a workspace, where it can do no harm: it is shown boards and says moves, and that is all.

The board stays here. Each move is a call of a function of this process, so what the code does to its own copy of
the board, or says of its success, changes nothing.
"""

from collections.abc import Callable
from time import monotonic
from typing import Any

from openenv.execution import Execution, Limits, Workspace

from ..models import Move, RunStrategy, StrategyReport
from .board import Board, Rows

LIMITS = Limits(memory_bytes=512 * 1024 * 1024, processes=16, output_bytes=8 * 1024)
NAMES: dict[str, Move] = {"W": "up", "A": "left", "S": "down", "D": "right"} | {
    name.upper(): name for name in ("up", "left", "down", "right")
}
BEGIN = "import random as _random\n_random.seed({seed})\ndel _random"
PLAY = """
_board = _play(None)
while _board is not None:
    _board = _play(strategy(_board))
"""


class StrategyRun:
    """A strategy's turn at a board.

    Args:
        board: The board.
        action: The strategy.
        over: Says whether the game is over.
    """

    def __init__(self, board: Board, action: RunStrategy, over: Callable[[], bool]) -> None:
        self._board, self._action, self._over = board, action, over
        self._moves = self._points = 0
        self._begun = False
        self._ended = self._error = ""

    async def play(self, workspace: Workspace, seed: int) -> StrategyReport:
        """Run it in an empty workspace.

        Args:
            workspace: Where its code runs.
            seed: For the code's own `random`.

        Raises:
            WorkspaceLostError: The workspace has ended.
        """
        deadline = monotonic() + self._action.timeout_seconds
        await workspace.python(BEGIN.format(seed=seed))
        done = await workspace.python(self._action.code, timeout_s=deadline - monotonic())
        printed = done.stdout
        if not done.error and not done.timed_out and not done.context_lost:
            left = max(deadline - monotonic(), 0.001)
            done = await workspace.python(PLAY, timeout_s=left, functions={"_play": self._play})
            printed += done.stdout
        if not self._ended:
            self._failed(done)
        return StrategyReport(
            ended=self._ended, moves=self._moves, points=self._points, error=self._error, stdout=printed
        )

    def _play(self, said: Any) -> Rows | None:
        """Make a move, and return the board for the next one; None if there is none."""
        if self._ended:
            return None
        if self._begun:
            self._move(said)
        self._begun = True
        return None if self._ended else self._board.rows

    def _move(self, said: Any) -> None:
        move = NAMES.get(said.upper()) if isinstance(said, str) else None
        points = self._board.play(move) if move else None
        if points is None:
            why = "would move nothing" if move else "is no move: return W, A, S or D"
            self._end("illegal_move", f"{said!r:.100} {why}")
            return
        self._moves += 1
        self._points += points
        if self._over():
            self._end("game")
        elif self._moves >= self._action.max_moves:
            self._end("max_moves")

    def _failed(self, done: Execution) -> None:
        if done.timed_out:
            self._end("timeout", f"its {self._action.timeout_seconds:g} s were up")
        elif done.error:
            self._end("error", f"{done.error.type}: {done.error.message}"[:1000])
        else:
            self._end("error", f"its process ended: {done.stderr[-500:] or done.signal or done.exit_code}")

    def _end(self, how: str, error: str = "") -> None:
        self._ended, self._error = how, error.encode("utf-8", "replace").decode()  # half characters have no JSON
