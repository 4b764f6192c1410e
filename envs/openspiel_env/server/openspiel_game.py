"""A game of OpenSpiel that several clients play with one another: each has a seat, and chance plays itself."""

from collections.abc import Mapping
from random import Random
from typing import Any, ClassVar

from openenv.environment.multi_agent import MultiAgentGame
from openenv.errors import InvalidRequestError

from ..models import OpenSpielAction, OpenSpielObservation
from . import trials
from .games import load_game
from .openspiel_environment import CHANCE, TERMINAL
from .opponents import draw
from .view import View


class OpenSpielGame(MultiAgentGame[OpenSpielAction, OpenSpielObservation]):
    """Any game of OpenSpiel, for as many clients as it has players: `player_0`, `player_1` and so on.

    Args:
        game_name: Which game, where the players do not say.
        game_params: Its parameters.
        text: Whether observations have the game and the legal moves in words.

    Attributes:
        tries: Whether a game that the players choose has to have been tried; see `server.trials`.
    """

    tries: ClassVar[bool] = False

    def __init__(
        self, game_name: str = "tic_tac_toe", game_params: Mapping[str, Any] | None = None, text: bool = True
    ) -> None:
        self._default = game_name, dict(game_params or {})
        self._words = text

    def reset(
        self, seed: int | None = None, game_name: str | None = None, game_params: dict[str, Any] | None = None
    ) -> None:
        """Set a game up.

        Args:
            seed: Fixes chance.
            game_name: Another game, with its own parameters.
            game_params: Its parameters.

        Raises:
            InvalidRequestError: There is no such game or parameter, or its trial has failed.
            UntriedError: It has to have been tried, and was not.
        """
        name, params = self._default
        if game_name not in (None, name):
            name, params = str(game_name), {}
        if game_params is not None and not isinstance(game_params, dict):
            raise InvalidRequestError("game_params is a mapping of names to values")
        if game_params is not None:
            params = game_params
        if self.tries and (name, params) != self._default:
            self._check_trial(name, params)
        self._rng = Random(seed)
        game = load_game(name, params, self._rng.getrandbits(31))
        self.agents = [f"player_{number}" for number in range(game.num_players())]
        self._view, self._position = View(game), game.new_initial_state()
        self._returns = [0.0] * len(self.agents)
        self._last: list[tuple[int, int]] = []
        self._go_on()
        self.rewards = {}

    def step(self, action: OpenSpielAction) -> None:
        """Make a move, if it is legal."""
        position = self._position
        if action.action_id not in position.legal_actions():
            legal = str(position.legal_actions())
            raise InvalidRequestError(f"{action.action_id!r:.50} is no legal move; these are: {legal:.1000}")
        self._last = [*self._last[-len(self.agents) :], (position.current_player(), action.action_id)]
        position.apply_action(action.action_id)
        self._go_on()
        before, self._returns = self._returns, position.returns()
        # Without a minus before a zero.
        gains = (now - then + 0.0 for now, then in zip(self._returns, before, strict=True))
        self.rewards = dict(zip(self.agents, gains, strict=True))

    def observe(self, agent: str) -> OpenSpielObservation:
        """Return what a player sees."""
        position, player = self._position, self.agents.index(agent)
        current = position.current_player()
        legal = position.legal_actions() if current == player else []
        return OpenSpielObservation(
            info_state=self._view.tensor(position, player),
            legal_actions=legal,
            game_phase="terminal" if current == TERMINAL else "playing" if self._last else "initial",
            current_player_id=current,
            opponent_last_action=next((move for who, move in reversed(self._last) if who != player), None),
            text=self._view.text(position, player) if self._words else "",
            action_names=[position.action_to_string(player, each) for each in legal] if self._words else [],
            returns=self._returns if current == TERMINAL else [],
        )

    @staticmethod
    def _check_trial(name: str, params: Mapping[str, Any]) -> None:
        verdict = trials.known(name, params, "self")
        if verdict is None:
            raise trials.UntriedError(name, params)
        if verdict.fault:
            raise InvalidRequestError(verdict.fault)

    def _go_on(self) -> None:
        """Play for chance, and see whose turn it is."""
        while (player := self._position.current_player()) == CHANCE:
            self._position.apply_action(draw(self._position, self._rng))
        self.terminated = player == TERMINAL
        if not self.terminated:
            self.agent_selection = self.agents[player]
