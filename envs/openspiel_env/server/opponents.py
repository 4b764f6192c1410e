"""Who plays the other players: each is a function from a position to a move.

All random numbers come from the episode's generator, so that an opponent does the same in the same episode.
"""

import math
from collections.abc import Callable
from itertools import count
from random import Random

import pyspiel

from openenv.errors import InvalidRequestError

Opponent = Callable[[pyspiel.State], int]

EXPLORATION = 1.4
MEMORY_MB = 64
MOST_POSITIONS = 20_000


def opponent_named(name: str, game: pyspiel.Game, rng: Random, simulations: int) -> Opponent:
    """Return an opponent.

    Args:
        name: `random`, `first` or `last` of the legal moves, `mcts` or `minimax`.
        game: What is played.
        rng: The episode's generator of random numbers.
        simulations: Games that `mcts` plays in its head before each move.

    Raises:
        InvalidRequestError: There is no such opponent, or it does not play this game.
    """
    if name == "random":
        return lambda state: rng.choice(state.legal_actions())
    if name == "first":
        return lambda state: int(state.legal_actions()[0])
    if name == "last":
        return lambda state: int(state.legal_actions()[-1])
    if name == "mcts":
        return _searching(game, rng, simulations)
    if name == "minimax":
        return Minimax(game, rng)
    raise InvalidRequestError(f"There is no opponent {name!r:.100}: random, first, last, mcts, minimax or self")


def _searching(game: pyspiel.Game, rng: Random, simulations: int) -> Opponent:
    """Return Monte Carlo tree search; over what the player knows, where something is hidden."""
    evaluator = pyspiel.RandomRolloutEvaluator(1, rng.getrandbits(31))
    seed = rng.getrandbits(31)
    try:
        if game.get_type().information == pyspiel.GameType.Information.PERFECT_INFORMATION:
            bot = pyspiel.MCTSBot(game, evaluator, EXPLORATION, simulations, MEMORY_MB, True, seed, False)
        else:
            bot = pyspiel.ISMCTSBot(seed, evaluator, EXPLORATION, simulations)
            bot.step(_first_decision(game, rng))
    except RuntimeError as error:
        line = str(error).partition("\n")[0][:200]
        raise InvalidRequestError(f"mcts does not play {game}: {line}") from None

    def search(state: pyspiel.State) -> int:
        return int(bot.step(state))

    return search


def _first_decision(game: pyspiel.Game, rng: Random) -> pyspiel.State:
    state = game.new_initial_state()
    while state.is_chance_node():
        state.apply_action(draw(state, rng))
    return state


def draw(state: pyspiel.State, rng: Random) -> int:
    """Return what chance does next."""
    outcomes: list[tuple[int, float]] = state.chance_outcomes()
    point = rng.random()
    for outcome, likely in outcomes:
        point -= likely
        if point < 0:
            return outcome
    return outcomes[-1][0]


class Minimax:
    """Plays perfectly where a game has 20,000 positions at most; looks as many of them ahead where it has more.

    It draws among its best moves.

    Raises:
        InvalidRequestError: The game is not one of two players, all open, without chance and zero-sum.
    """

    def __init__(self, game: pyspiel.Game, rng: Random) -> None:
        kind = game.get_type()
        suits = (
            game.num_players() == 2
            and kind.information == pyspiel.GameType.Information.PERFECT_INFORMATION
            and kind.chance_mode == pyspiel.GameType.ChanceMode.DETERMINISTIC
            and kind.utility == pyspiel.GameType.Utility.ZERO_SUM
            and kind.reward_model == pyspiel.GameType.RewardModel.TERMINAL
        )
        if not suits:
            raise InvalidRequestError(f"minimax plays open games of two without chance; {game} is none")
        self._rng = rng
        self._values = _solved(game)

    def __call__(self, state: pyspiel.State) -> int:
        """Return one of the best moves."""
        if self._values is None:
            values = _looked_ahead(state)
        else:
            values = {action: self._values[_key(state.child(action))] for action in state.legal_actions()}
        best = (max if state.current_player() == 0 else min)(values.values())
        return self._rng.choice([action for action, value in values.items() if value == best])


_SOLVED: dict[str, dict[str, float] | None] = {}
_MOST_SOLVED = 8


class _TooManyError(Exception):
    """There are more positions than may be looked at."""


def _solved(game: pyspiel.Game) -> dict[str, float] | None:
    """Return what each position is worth to the first player, None if there are too many of them.

    Games that were looked at lately are remembered.
    """
    name = str(game)
    if name not in _SOLVED:
        values: dict[str, float] | None = {}
        try:
            _solve(game.new_initial_state(), values)
        except _TooManyError:
            values = None
        while len(_SOLVED) >= _MOST_SOLVED:
            _SOLVED.pop(next(iter(_SOLVED)), None)
        _SOLVED[name] = values
    return _SOLVED[name]


def _solve(state: pyspiel.State, values: dict[str, float]) -> float:
    key = _key(state)
    if key not in values:
        if len(values) >= MOST_POSITIONS or state.move_number() > 200:
            raise _TooManyError
        if state.is_terminal():
            values[key] = state.returns()[0]
        else:
            values[key] = -math.inf  # a place for it, so that positions under way count
            better = max if state.current_player() == 0 else min
            values[key] = better(_solve(state.child(action), values) for action in state.legal_actions())
    return values[key]


def _looked_ahead(state: pyspiel.State) -> dict[int, float]:
    """Return what each move is worth to the first player, as far as it can be seen; what cannot is a draw.

    As many moves ahead as a number of positions allows, and not as some time does: the same position has the same
    answer on any machine.
    """
    values: dict[int, float] = dict.fromkeys(state.legal_actions(), 0.0)
    search = _Search()
    try:
        for depth in count():
            search.sees_all = True
            values = {action: search.value(state.child(action), depth) for action in values}
            if search.sees_all:
                return values
    except _TooManyError:
        pass
    return values


class _Search:
    """Alpha-beta search.

    Attributes:
        sees_all: Nothing was too far ahead to be seen.
    """

    def __init__(self) -> None:
        self.sees_all = True
        self._left = MOST_POSITIONS

    def value(self, state: pyspiel.State, depth: int, low: float = -math.inf, high: float = math.inf) -> float:
        """Return what a position is worth to the first player, exactly if it is between two bounds."""
        self._left -= 1
        if self._left < 0:
            raise _TooManyError
        if state.is_terminal():
            return float(state.returns()[0]) * (1 + depth / 1000)  # to win soon, and to lose late
        if depth == 0:
            self.sees_all = False
            return 0.0
        is_first = state.current_player() == 0
        best = -math.inf if is_first else math.inf
        for action in state.legal_actions():
            value = self.value(state.child(action), depth - 1, low, high)
            best = max(best, value) if is_first else min(best, value)
            low, high = (max(low, best), high) if is_first else (low, min(high, best))
            if low >= high:
                break
        return best


def _key(state: pyspiel.State) -> str:
    return f"{state.current_player()} {state}"
