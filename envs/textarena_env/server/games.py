"""TextArena's games by name, each with random numbers of its own.

TextArena draws from Python's global generator. A game here swaps that for its own while one of its methods runs,
under a lock, so that games beside one another neither disturb nor repeat one another.
"""

import difflib
import importlib
import logging
import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import textarena as ta
from textarena.envs.registration import ENV_REGISTRY
from textarena.wrappers import ActionFormattingWrapper

from openenv.errors import InvalidRequestError

from ..models import TextArenaMessage
from .moves import moves_of
from .words import SHIPPED

logger = logging.getLogger("textarena_env")

MOST_PLAYERS = 15
GAME_ID = int(ta.GAME_ID)

_lock = threading.RLock()


class GameFailed(Exception):
    """A game of TextArena raised; what it is at now cannot be known."""


class TextGame:
    """One game under way.

    Args:
        env_id: Which, such as `TicTacToe-v0`.
        num_players: How many play; None for the fewest that it takes.
        seed: Fixes everything that is drawn.

    Raises:
        InvalidRequestError: There is no such game, it cannot be played here, or not by so many.
    """

    def __init__(self, env_id: str, num_players: int | None, seed: int) -> None:
        self.env_id = known_id(env_id)
        self._dice: tuple[Any, Any] = (random.Random(seed).getstate(), np.random.RandomState(seed).get_state())
        with self._own_dice():
            self._env = _made(self.env_id)
            self.num_players = self._set_up(num_players, seed)
        self._told: list[list[TextArenaMessage]] = [[] for _ in range(self.num_players)]
        self._new: list[list[TextArenaMessage]] = [[] for _ in range(self.num_players)]
        self.is_over = False
        self.rewards: dict[int, float] = {}
        self.reason = ""
        self.breaker: int | None = None
        """Who has ended the game by moves that are none, if somebody has."""
        self.invalid = False
        """Whether the last message was taken for no valid move."""
        self._gather()

    @property
    def player(self) -> int:
        """Whose turn it is, from 0; -1 at the end."""
        return -1 if self.is_over else int(self._env.state.current_player_id)

    def say(self, message: str) -> None:
        """Say something for the player whose turn it is.

        Raises:
            GameFailed: The game has failed.
        """
        mover, state = self.player, self._env.state
        try:
            with self._own_dice():
                done, _ = self._env.step(message)
        except Exception as error:
            logger.exception("%s failed", self.env_id)
            raise GameFailed(f"{type(error).__name__}: {error!s:.200}") from error
        self.invalid = getattr(state, "error_count", 0) > 0
        if done:
            self._end(mover)
        self._gather()

    def new_messages(self, player: int) -> list[TextArenaMessage]:
        """Return what a player has not been told yet, which is told by that."""
        new, self._new[player] = self._new[player], []
        return new

    def prompt(self, player: int) -> str:
        """Return all that a player was told, as TextArena gives it to a model."""
        return "\n".join(f"[{each.sender}] {each.content}" for each in self._told[player])

    def legal_actions(self) -> list[str]:
        """Return the moves of the player whose turn it is, where the game tells them."""
        return [] if self.is_over else moves_of(self.env_id, self._env, self._told[self.player])

    def _set_up(self, num_players: int | None, seed: int) -> int:
        counts = range(1, MOST_PLAYERS + 1) if num_players is None else [num_players]
        why = ""
        for count in counts:
            random.seed(seed)
            try:
                self._env.reset(num_players=count, seed=seed)
                return count
            except Exception as error:  # an assertion, as a rule
                why = why or f"{error!s:.200}"
        raise InvalidRequestError(f"{self.env_id} cannot be played by {num_players or 'anybody'}: {why}")

    def _end(self, mover: int) -> None:
        self.is_over = True
        rewards, info = self._env.close()
        self.rewards = {int(player): float(reward) for player, reward in (rewards or {}).items()}
        told = info.get(mover, {})
        self.reason = str(told.get("reason") or "")
        self.breaker = mover if told.get("invalid_move") else None

    def _gather(self) -> None:
        """Take what the game has to tell each player."""
        state = self._env.state
        for player in range(self.num_players):
            waiting, state.observations[player] = state.observations.get(player, []), []
            for sender, content, category in waiting:
                name = state.role_mapping.get(sender, "GAME" if sender == GAME_ID else f"Player {sender}")
                message = TextArenaMessage(
                    sender_id=sender, sender=str(name), content=str(content), category=category.name
                )
                self._told[player].append(message)
                self._new[player].append(message)

    @contextmanager
    def _own_dice(self) -> Iterator[None]:
        with _lock:
            before = random.getstate(), np.random.get_state()
            random.setstate(self._dice[0])
            np.random.set_state(self._dice[1])
            try:
                yield
            finally:
                self._dice = random.getstate(), np.random.get_state()
                random.setstate(before[0])
                np.random.set_state(before[1])


@cache
def names() -> tuple[str, ...]:
    """Return the ids of all games, without those that differ in nothing but what they show."""
    return tuple(each for each in ENV_REGISTRY if not each.endswith(("-raw", "-train")))


def known_id(env_id: Any) -> str:
    """Return the full id of a game; `Wordle` is `Wordle-v0`.

    Raises:
        InvalidRequestError: There is none of that name.
    """
    for full in (env_id, f"{env_id}-v0"):
        if full in names():
            return str(full)
    near = difflib.get_close_matches(str(env_id), names(), n=3) or ["Wordle-v0", "TicTacToe-v0", "Nim-v0"]
    raise InvalidRequestError(f"TextArena has no game {env_id!r:.100}; it has {', '.join(near)} among others")


def _made(env_id: str) -> Any:
    spec = ENV_REGISTRY[env_id]
    module, _, name = spec.entry_point.partition(":")
    shipped = SHIPPED.get(re.sub("-v[0-9].*", "", env_id))
    try:
        cls = shipped() if shipped is not None else getattr(importlib.import_module(module), name)
        env = cls(**spec.kwargs)
    except (Exception, SyntaxError) as error:
        why = str(error).strip("\n* ").partition("\n")[0]
        raise InvalidRequestError(f"{env_id} cannot be played here: {type(error).__name__}: {why:.200}") from None
    return ActionFormattingWrapper(env) if ActionFormattingWrapper in (spec.default_wrappers or ()) else env
