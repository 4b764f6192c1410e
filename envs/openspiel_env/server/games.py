"""Loads games of OpenSpiel by name, and refuses what would not be a game, or more than one.

OpenSpiel is given names and numbers from outside. Games that read files of the server, and sizes that would fill
its memory, are refused here, before OpenSpiel sees them or before a game of theirs begins.
"""

import difflib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from secrets import randbits
from typing import Any

import pyspiel

from openenv.errors import InvalidRequestError

NAMED = (
    "catch",
    "cliff_walking",
    "tic_tac_toe",
    "connect_four",
    "kuhn_poker",
    "leduc_poker",
    "blackjack",
    "2048",
)
"""Games that the web page suggests and this package's tests play; any other can be named."""

READ_FILES = frozenset({"efg_game", "nfg_game", "crossword"})
FILE_ENDINGS = ("file", "filename", "root", "path")
MOST_NUMBER = 1_000_000
MOST_TENSOR = 100_000
MOST_ACTIONS = 1_000_000
MOST_DEPTH = 4
LONGEST_NAME = 1000  # OpenSpiel crashes where a name of many has its brackets in brackets


def load_game(name: str, params: Mapping[str, Any], seed: int | None) -> pyspiel.Game:
    """Return a game whose players move one after the other.

    Those of a game in which all move at once are asked in turn, and do not see what the others have chosen.

    Args:
        name: Its short name, such as `catch`, or with parameters as OpenSpiel writes it: `misere(game=nim())`.
        params: Its parameters; one that is a game itself is a mapping with a `name`.
        seed: For a game that draws its random numbers itself; None for any.

    Raises:
        InvalidRequestError: There is no such game or parameter, it cannot be played here, or it is too large.
    """
    with _refusing(name):
        given = described(name, params, randbits(31) if seed is None else seed % 2**31)
        game = pyspiel.load_game_as_turn_based(given.pop("name"), given)
        _refuse_too_large(game)
        game.new_initial_state()
    return game


def described(name: str, params: Mapping[str, Any], seed: int | None = None) -> dict[str, Any]:
    """Return the parameters of a game, its short `name` among them, without loading it.

    Args:
        name: As `load_game` takes it.
        params: Likewise.
        seed: What a game that draws its random numbers itself is given, if not None.

    Raises:
        InvalidRequestError: There is no such game, or it cannot be played here.
    """
    with _refusing(name):
        if len(name) > LONGEST_NAME:
            raise InvalidRequestError(f"The name of a game has {LONGEST_NAME:,} characters at most")
        known = pyspiel.game_parameters_from_string(name)
        return _checked({**known, **params, "name": known.get("name", "")}, MOST_DEPTH, seed)


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Have what OpenSpiel raises known as a refusal."""
    try:
        yield
    except (RuntimeError, TypeError, ValueError, MemoryError) as error:
        if isinstance(error, InvalidRequestError):
            raise
        raise InvalidRequestError(f"OpenSpiel cannot load {name!r:.100}: {_first_line(error)}") from None


def draws_itself(game: pyspiel.Game) -> bool:
    """Return whether a game has random numbers of its own, and so plays on differently every time."""
    return bool(game.get_type().chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC)


def _checked(given: Mapping[str, Any], depth: int, seed: int | None) -> dict[str, Any]:
    """Return the parameters of a game, those of games within it among them."""
    name = given.get("name")
    if not depth or not isinstance(name, str):
        raise InvalidRequestError("A parameter that is a game is a mapping with its `name`")
    if _type(name).dynamics == pyspiel.GameType.Dynamics.MEAN_FIELD:
        raise InvalidRequestError(f"{name} is played by a population, not by players")
    if name in READ_FILES:
        raise InvalidRequestError(f"{name} reads files of the server, and is not played here")
    draws = seed is not None and "rng_seed" in _type(name).parameter_specification
    own = {"rng_seed": seed} if draws else {}
    return {**own, **{str(key): _value(str(key), value, depth, seed) for key, value in given.items()}}


def _value(key: str, value: Any, depth: int, seed: int | None) -> Any:
    if key.endswith(FILE_ENDINGS) and value:
        raise InvalidRequestError(f"The parameter {key} names a file of the server, and is not taken")
    if isinstance(value, Mapping):
        return _checked(value, depth - 1, seed)
    if isinstance(value, int | float) and not abs(value) <= MOST_NUMBER:
        raise InvalidRequestError(f"The parameter {key} is at most {MOST_NUMBER:,}, not {value!r:.50}")
    if not isinstance(value, bool | int | float | str):
        raise InvalidRequestError(f"The parameter {key} is a number, a text, a truth value or a game")
    return value


@cache
def _types() -> dict[str, pyspiel.GameType]:
    return {each.short_name: each for each in pyspiel.registered_games()}


def _type(name: str) -> pyspiel.GameType:
    names = _types()
    if name in names:
        return names[name]
    near = difflib.get_close_matches(name, names, n=3) or ["catch", "tic_tac_toe", "kuhn_poker"]
    raise InvalidRequestError(
        f"OpenSpiel has no game {name!r:.100}; it has {len(names)}, {', '.join(near)} among them"
    )


def _refuse_too_large(game: pyspiel.Game) -> None:
    kind = game.get_type()
    shapes = []
    if kind.provides_information_state_tensor:
        shapes.append(game.information_state_tensor_shape())
    if kind.provides_observation_tensor:
        shapes.append(game.observation_tensor_shape())
    small = all(min(shape, default=0) >= 0 and math.prod(shape) <= MOST_TENSOR for shape in shapes)
    if not small or not 0 <= game.num_distinct_actions() <= MOST_ACTIONS:
        raise InvalidRequestError(f"{game} is too large, or has no size at all")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__
