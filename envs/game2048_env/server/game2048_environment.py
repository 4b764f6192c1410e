"""The game 2048: the agent moves tiles itself, or hands in a strategy that does.

The rules and the board are this process's. A strategy runs elsewhere, held, and its reward is what the board says.
"""

from copy import deepcopy
from functools import cache
from random import Random
from uuid import uuid4

from openenv.environment import Environment
from openenv.errors import ConfigurationError, InvalidRequestError, NotResetError, WorkspaceLostError
from openenv.execution import Backend, Workspace, backend
from openenv.models import State

from ..models import Game2048Action, Game2048Observation, RunStrategy, StrategyReport
from .board import Board
from .strategy import LIMITS, StrategyRun

TARGET = 2048
MOST_TARGET = 2**17


@cache
def the_backend() -> Backend:
    """Return what opens the workspaces, the same one each time."""
    return backend(LIMITS)


class Game2048Environment(Environment[Game2048Action | RunStrategy, Game2048Observation, State]):
    """Slide tiles and merge equal ones until 2048 is reached. The reward of a step is the points it scored.

    Args:
        target: The tile that wins and ends the game: 8 to 131072, a power of two.

    Raises:
        ConfigurationError: The target is no such tile.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True
    NON_BLOCKING = True

    def __init__(self, target: int = TARGET) -> None:
        super().__init__()
        if not 8 <= target <= MOST_TARGET or target & (target - 1):
            raise ConfigurationError(f"The target is a power of two from 8 to {MOST_TARGET}, not {target}")
        self._target = target
        self._state = State()
        self._board: Board | None = None
        self._strategy_seed = 0
        self._workspace: Workspace | None = None

    def reset(self, seed: int | None = None, episode_id: str | None = None) -> Game2048Observation:
        """Begin with two tiles.

        Args:
            seed: Fixes where tiles appear, and which.
            episode_id: The id that the episode shall have.
        """
        rng = Random(seed)
        self._strategy_seed = rng.getrandbits(32)
        self._board = Board(rng)
        self._state = State(episode_id=episode_id or uuid4().hex, step_count=0)
        return self._observation(self._board)

    async def step(self, action: Game2048Action | RunStrategy) -> Game2048Observation:
        """Make a move, or as many as a strategy makes.

        Raises:
            InvalidRequestError: The move would change nothing; nothing has happened.
            WorkspaceLostError: Where the strategy ran has ended by itself. Nothing has changed; the step may be
                repeated.
            IsolationError: Nothing here can hold a strategy.
        """
        board = self._board
        if board is None:
            raise NotResetError("There is no board yet: call reset() before step()")
        before, report = board.score, None
        if isinstance(action, RunStrategy):
            board = deepcopy(board)  # a step that fails in the middle leaves no moves whose points nobody was given
            report = await self._run(board, action)
        elif board.play(action.move) is None:
            raise InvalidRequestError(
                f"{action.move!r} would move nothing; these would: {', '.join(board.legal())}"
            )
        self._board = board
        self._state.step_count += 1
        seen = self._observation(board)
        return seen.model_copy(
            update={
                "reward": float(board.score - before),
                "done": seen.won or not seen.legal_actions,
                "strategy": report,
            }
        )

    @property
    def state(self) -> State:
        """The episode's id and its steps: a strategy is one, however many moves it makes."""
        return self._state

    async def close(self) -> None:
        """End whatever a strategy has left."""
        workspace, self._workspace = self._workspace, None
        if workspace is not None:
            await workspace.close()

    async def _run(self, board: Board, action: RunStrategy) -> StrategyReport:
        run = StrategyRun(board, action, lambda: board.highest >= self._target or not board.legal())
        return await run.play(await self._emptied(), self._strategy_seed)

    async def _emptied(self) -> Workspace:
        """Return a workspace in which nothing of an earlier strategy is left."""
        if self._workspace is not None:
            try:
                await self._workspace.reset()
            except WorkspaceLostError:
                await self.close()
            else:
                return self._workspace
        self._workspace = await the_backend().open()
        return self._workspace

    def _observation(self, board: Board) -> Game2048Observation:
        won = board.highest >= self._target
        return Game2048Observation(
            board=[list(row) for row in board.rows],
            score=board.score,
            highest=board.highest,
            moves=board.moves,
            won=won,
            legal_actions=[] if won else board.legal(),
            text=board.text(),
        )
