"""Who plays the other players: each is a function from a position to a move.

All random numbers come from the episode's generator, so that an opponent does the same in the same episode.
"""

from collections.abc import Callable
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
    """Plays perfectly, by the value of every position of a small game; draws among its best moves.

    Raises:
        InvalidRequestError: The game is not one of two players, all open, without chance and zero-sum, or has more
            than 20,000 positions.
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
        sign = 1 if state.current_player() == 0 else -1
        worth = {action: sign * self._values[_key(state.child(action))] for action in state.legal_actions()}
        best = max(worth.values())
        return self._rng.choice([action for action, value in worth.items() if value == best])


_SOLVED: dict[str, dict[str, float]] = {}
_MOST_SOLVED = 8


def _solved(game: pyspiel.Game) -> dict[str, float]:
    """Return what each position is worth to the first player; games that were solved lately are remembered."""
    name = str(game)
    if name not in _SOLVED:
        values: dict[str, float] = {}
        _solve(game.new_initial_state(), values)
        while len(_SOLVED) >= _MOST_SOLVED:
            _SOLVED.pop(next(iter(_SOLVED)), None)
        _SOLVED[name] = values
    return _SOLVED[name]


def _solve(state: pyspiel.State, values: dict[str, float]) -> float:
    key = _key(state)
    if key not in values:
        if len(values) >= MOST_POSITIONS or state.move_number() > 200:
            raise InvalidRequestError(f"{state.get_game()} has too many positions for minimax; take mcts")
        if state.is_terminal():
            values[key] = state.returns()[0]
        else:
            values[key] = -float("inf")  # a place for it, so that positions under way count
            better = max if state.current_player() == 0 else min
            values[key] = better(_solve(state.child(action), values) for action in state.legal_actions())
    return values[key]


def _key(state: pyspiel.State) -> str:
    return f"{state.current_player()} {state}"
