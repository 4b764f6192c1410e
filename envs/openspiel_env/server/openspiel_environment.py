"""The OpenSpiel environment: one agent in a game, with chance and the other players played around it.

A step is a move of the agent, then everything that happens until it is the agent's turn again. Whatever is drawn is
drawn from one generator for each episode, so the same seed and moves give the same game.
"""

from collections.abc import Mapping
from random import Random
from typing import Annotated, Any
from uuid import uuid4

import pyspiel
from pydantic import Field

from openenv.environment import Environment
from openenv.errors import InvalidRequestError, NotResetError
from openenv.models import unchecked

from ..models import OpenSpielAction, OpenSpielObservation, OpenSpielState, OpponentPolicy
from . import trials
from .games import NAMED, load_game
from .opponents import Opponent, draw, opponent_named
from .view import View

SIMULATIONS = 100
MOST_SIMULATIONS = 10_000
THINKING = frozenset({"mcts", "minimax"})

CHANCE, TERMINAL = int(pyspiel.PlayerId.CHANCE), int(pyspiel.PlayerId.TERMINAL)


class OpenSpielEnvironment(Environment[OpenSpielAction, OpenSpielObservation, OpenSpielState]):
    """Any game of OpenSpiel by name. The reward is what the agent's player gets in the game.

    Every argument is a default that `reset` can change for an episode.

    Args:
        game_name: Which game, such as `catch`, `connect_four` or `leduc_poker`.
        game_params: Its parameters, such as `{"rows": 5}` for `catch`.
        agent_player: Which player the agent is, from 0.
        opponent_policy: Who plays the others: `random`, `first`, `last`, `mcts`, `minimax`; or `self`: the agent
            plays all of them.
        simulations: Games that `mcts` plays in its head before each move, 1 to 10,000.
        text: Whether observations have the game and the legal moves in words.
        tries: Whether a game that a reset chooses is tried in a process of its own before it is played in this one:
            for a process that serves several clients. See `server.trials`.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True
    NON_BLOCKING = True

    def __init__(
        self,
        game_name: str = "catch",
        game_params: Mapping[str, Any] | None = None,
        agent_player: int = 0,
        opponent_policy: str = "random",
        simulations: int = SIMULATIONS,
        text: bool = True,
        tries: bool = False,
    ) -> None:
        super().__init__()
        self._default = OpenSpielState(
            game_name=game_name,
            game_params=dict(game_params or {}),
            agent_player=agent_player,
            opponent_policy=opponent_policy,
        )
        self._simulations, self._words, self._tries = simulations, text, tries
        self._unseeded = Random()
        self._setting = self._default
        self._view: View | None = None
        self._position: pyspiel.State | None = None
        self._takes_long = False

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        game_name: Annotated[str | None, Field(examples=list(NAMED))] = None,
        game_params: dict[str, Any] | None = None,
        agent_player: int | None = None,
        opponent_policy: OpponentPolicy | None = None,
        simulations: int | None = None,
        text: bool | None = None,
    ) -> OpenSpielObservation:
        """Start a game.

        Args:
            seed: Fixes chance and the opponent.
            episode_id: The id that the episode shall have.
            game_name: Another game for this episode, with its own parameters.
            game_params: Parameters for this episode.
            agent_player: Which player the agent is, this time.
            opponent_policy: Who plays the others, this time.
            simulations: How much `mcts` thinks, this time.
            text: Whether this episode's observations have words.

        Raises:
            InvalidRequestError: There is no such game, parameter, player or opponent, or its trial has failed.
        """
        setting = self._chosen(game_name, game_params, agent_player, opponent_policy)
        if self._tries:
            self._try(setting)
        view = self._loaded(setting, seed)
        rng = self._unseeded if seed is None else Random(seed)
        thinks = self._simulations if simulations is None else simulations
        self._opponent = _opponent(setting, view.game, rng, thinks)
        self._setting, self._view, self._rng = setting, view, rng
        thinking = self._opponent is not None and setting.opponent_policy in THINKING
        self._takes_long = thinking or _verdict(setting).step_s > trials.AT_ONCE_S
        self._text = self._words if text is None else text
        self._episode_id = episode_id
        self._answer: int | None = None
        self._steps = 0
        self._position = view.game.new_initial_state()
        self._player = self._play_on(self._position)
        self._returns = [0.0] * setting.num_players  # what is scored before the first move comes with it
        return self._seen(self._position, setting.agent_player)

    def step(self, action: OpenSpielAction) -> OpenSpielObservation:
        """Make a move.

        Raises:
            InvalidRequestError: The move is not legal; nothing has happened.
        """
        position = self._position
        if position is None:
            raise NotResetError("There is no game yet: call reset() before step()")
        if action.action_id not in self._legal:
            legal = str(self._legal)
            raise InvalidRequestError(f"{action.action_id!r:.50} is no legal move; these are: {legal:.1000}")
        mover = self._player
        position.apply_action(action.action_id)
        self._steps += 1
        self._player = self._play_on(position)
        return self._seen(position, mover)

    def takes_long(self, verb: str, arguments: Mapping[str, Any]) -> bool:
        """Say whether an opponent thinks, or the game is slow, or nobody knows yet how slow it is."""
        if verb == "step":
            return self._takes_long
        get = arguments.get
        try:
            setting = self._chosen(
                get("game_name"), get("game_params"), get("agent_player"), get("opponent_policy")
            )
            return setting.opponent_policy in THINKING or _verdict(setting).reset_s > trials.AT_ONCE_S
        except InvalidRequestError:
            return False  # the reset refuses it at once

    @property
    def state(self) -> OpenSpielState:
        """Which game, who plays, and how many moves the agent has made."""
        if self._position is None:
            return self._default
        if self._episode_id is None:
            self._episode_id = uuid4().hex
        return self._setting.model_copy(update={"episode_id": self._episode_id, "step_count": self._steps})

    def _chosen(
        self, name: str | None, params: dict[str, Any] | None, agent: int | None, opponent: str | None
    ) -> OpenSpielState:
        """Return the setting of an episode. Parameters belong to a game, so another game does without them."""
        default = self._default
        if name is None and params is None and agent is None and opponent is None:
            return default
        if params is None:
            params = default.game_params if name in (None, default.game_name) else {}
        try:
            return OpenSpielState(
                game_name=default.game_name if name is None else name,
                game_params=params,
                agent_player=default.agent_player if agent is None else agent,
                opponent_policy=default.opponent_policy if opponent is None else opponent,
            )
        except ValueError as error:
            raise InvalidRequestError(f"The game cannot be set up like that: {error}") from None

    def _try(self, setting: OpenSpielState) -> None:
        """Refuse a game whose trial has failed, unless it is the one that whoever runs the server has chosen."""
        name, params, opponent = setting.game_name, setting.game_params, setting.opponent_policy
        verdict = trials.tried(name, params, opponent)
        default = self._default
        is_own = (name, params, opponent) == (default.game_name, default.game_params, default.opponent_policy)
        if verdict.fault and not is_own:
            raise InvalidRequestError(verdict.fault)

    def _loaded(self, setting: OpenSpielState, seed: int | None) -> View:
        """Return the game of a setting, the one at hand if it is that, and put down how many play it."""
        view = self._view
        before = self._setting
        same = setting.game_name == before.game_name and setting.game_params == before.game_params
        if view is None or not same or view.draws_itself:
            view = View(load_game(setting.game_name, setting.game_params, seed))
        if not 0 <= setting.agent_player < view.players:
            raise InvalidRequestError(f"{view.game} has players from 0 to {view.players - 1}")
        if setting.num_players != view.players:
            setting.num_players = view.players
        return view

    def _play_on(self, position: pyspiel.State) -> int:
        """Play for chance and the others until it is the agent's turn, or the game is over; say whose it is."""
        while (player := position.current_player()) != TERMINAL:
            if player == CHANCE:
                position.apply_action(draw(position, self._rng))
            elif self._opponent is not None and player != self._setting.agent_player:
                self._answer = self._opponent(position)
                position.apply_action(self._answer)
            else:
                break
        return player

    def _seen(self, position: pyspiel.State, mover: int) -> OpenSpielObservation:
        """Return what the player whose turn it is sees, and what the move has brought the one who made it."""
        player = self._player
        over = player == TERMINAL
        viewer = mover if over else player
        before, self._returns = self._returns, position.returns()
        legal = self._legal = [] if over else position.legal_actions()
        return unchecked(
            OpenSpielObservation,
            info_state=self._view.tensor(position, viewer),
            legal_actions=list(legal),
            game_phase="terminal" if over else "playing" if self._steps else "initial",
            current_player_id=player,
            opponent_last_action=self._answer,
            text=self._view.text(position, viewer) if self._text else "",
            action_names=[position.action_to_string(viewer, each) for each in legal] if self._text else [],
            returns=self._returns if over else [],
            metadata={},
            done=over,
            # Without a minus before a zero. Before the first move there is nothing to grade.
            reward=self._returns[mover] - before[mover] + 0.0 if self._steps or over else None,
        )


def _verdict(setting: OpenSpielState) -> trials.Verdict:
    """Return what is known of how long a game takes; of one that was not tried it may be any time."""
    verdict = trials.known(setting.game_name, setting.game_params, setting.opponent_policy)
    return trials.UNKNOWN if verdict is None else verdict


def _opponent(setting: OpenSpielState, game: pyspiel.Game, rng: Random, simulations: Any) -> Opponent | None:
    """Return who plays the others; None where the agent does, or is alone."""
    if not isinstance(simulations, int) or not 1 <= simulations <= MOST_SIMULATIONS:
        raise InvalidRequestError(f"simulations is from 1 to {MOST_SIMULATIONS:,}, not {simulations!r:.50}")
    alone = setting.num_players == 1 or setting.opponent_policy == "self"
    return None if alone else opponent_named(setting.opponent_policy, game, rng, simulations)
