"""The TextArena environment: one agent in a text game, the other players played around it.

A step is a message of the agent, then those of the opponents, until it is the agent's turn again. What is no valid
move is the game's own affair: it says so and asks again, and takes the game away from who goes on like that.
"""

from collections.abc import Sequence
from random import Random
from uuid import uuid4

from openenv.environment import Environment
from openenv.errors import InvalidRequestError, NotResetError
from openenv.models import Outcome, StepResult
from openenv.outcomes import Cause

from ..models import LONGEST_MESSAGE as LONGEST
from ..models import TextArenaAction, TextArenaObservation, TextArenaState
from .games import GameFailed, TextGame
from .moves import are_known

POLICIES = ("random", "first", "last", "script")
MOST_TURNS = 10_000
"""Messages of opponents between two turns of the agent; a game that wants more has lost its way."""

Result = StepResult[TextArenaObservation]


class TextArenaEnvironment(Environment[TextArenaAction, TextArenaObservation, TextArenaState]):
    """Any text game of TextArena that can be played offline. The reward is what the game gives at its end.

    Every argument is a default that `reset` can change for an episode.

    Args:
        env_id: Which game, such as `Wordle-v0`.
        num_players: How many play; None for the fewest that the game takes.
        agent_player: Which player the agent is, from 0.
        opponent_policy: Who plays the others: `random`, `first` or `last` of the legal moves, or a `script`.
        opponent_script: What the opponents say with `script`, one message after the other, and from the beginning
            again.
        max_steps: Messages of the agent after which the episode is cut off; None for no limit but the game's.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(
        self,
        env_id: str = "Wordle-v0",
        num_players: int | None = None,
        agent_player: int = 0,
        opponent_policy: str = "random",
        opponent_script: Sequence[str] = (),
        max_steps: int | None = None,
    ) -> None:
        super().__init__()
        self._defaults = env_id, num_players, agent_player, opponent_policy, list(opponent_script), max_steps
        self._game: TextGame | None = None
        self._setting = TextArenaState(
            env_id=env_id,
            num_players=num_players or 1,
            agent_player=agent_player,
            opponent_policy=opponent_policy,
            max_steps=max_steps,
        )

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        env_id: str | None = None,
        num_players: int | None = None,
        agent_player: int | None = None,
        opponent_policy: str | None = None,
        opponent_script: list[str] | None = None,
        max_steps: int | None = None,
    ) -> Result:
        """Start a game.

        Args:
            seed: Fixes what the game draws, and the opponents.
            episode_id: The id that the episode shall have.
            env_id: Another game for this episode.
            num_players: How many play, this time.
            agent_player: Which player the agent is, this time.
            opponent_policy: Who plays the others, this time.
            opponent_script: What they say.
            max_steps: Messages of the agent after which this episode is cut off.

        Raises:
            InvalidRequestError: There is no such game, player or opponent, or the game cannot be played here.
        """
        given = (env_id, num_players, agent_player, opponent_policy, opponent_script, max_steps)
        chosen = [old if new is None else new for old, new in zip(self._defaults, given, strict=True)]
        name, players, agent, policy, script, limit = chosen
        if env_id is not None and num_players is None:
            players = None  # the default belongs to the other game
        _check(players, agent, policy, script, limit)
        rng = Random(seed)
        game = TextGame(name, players, rng.getrandbits(31))
        if agent >= game.num_players:
            raise InvalidRequestError(f"{game.env_id} has players from 0 to {game.num_players - 1}")
        if game.num_players > 1 and policy != "script" and not are_known(game.env_id):
            raise InvalidRequestError(
                f"The legal moves of {game.env_id} are not known, so no policy plays it: give "
                "opponent_policy='script' and opponent_script, or let a second client play (see the README)"
            )
        self._game, self._rng, self._script, self._said, self._steps = game, rng, script, 0, 0
        self._setting = TextArenaState(
            episode_id=episode_id or uuid4().hex,
            env_id=game.env_id,
            num_players=game.num_players,
            agent_player=agent,
            opponent_policy=policy,
            max_steps=limit,
        )
        return self._answered(game)

    def step(self, action: TextArenaAction) -> Result:
        """Say something, and hear what comes of it."""
        if self._game is None:
            raise NotResetError("There is no game yet: call reset() before step()")
        self._steps += 1
        return self._answered(self._game, action.message)

    @property
    def state(self) -> TextArenaState:
        """Which game, who plays, and how many messages the agent has sent."""
        return self._setting.model_copy(update={"step_count": getattr(self, "_steps", 0)})

    def _answered(self, game: TextGame, message: str | None = None) -> Result:
        """Play on until it is the agent's turn, or the game is over; return what the agent sees."""
        agent, invalid = self._setting.agent_player, False
        try:
            if message is not None:
                game.say(message)
                invalid = game.invalid
            for _ in range(MOST_TURNS):
                if game.player in (agent, -1):
                    break
                game.say(self._opponent(game))
        except GameFailed as failure:
            seen = TextArenaObservation(current_player_id=-1, reason=f"The game has failed: {failure}")
            return StepResult(seen, None, outcome=Outcome.infra_fault(Cause.ENVIRONMENT_ERROR))
        seen = look(game, agent, invalid)
        if not game.is_over:
            cut = self._setting.max_steps is not None and self._steps >= self._setting.max_steps
            return StepResult(seen, None, truncated=cut)
        reward = game.rewards.get(agent)
        if game.breaker == agent:
            return StepResult(seen, reward, outcome=Outcome.policy_fault(reward_valid=reward is not None))
        return StepResult(seen, reward, terminated=True)

    def _opponent(self, game: TextGame) -> str:
        policy = self._setting.opponent_policy
        if policy == "script":
            self._said += 1
            return str(self._script[(self._said - 1) % len(self._script)])
        moves = game.legal_actions() or [""]
        return self._rng.choice(moves) if policy == "random" else moves[0 if policy == "first" else -1]


def look(game: TextGame, player: int, invalid: bool = False) -> TextArenaObservation:
    """Return what a player sees."""
    return TextArenaObservation(
        prompt=game.prompt(player),
        messages=game.new_messages(player),
        legal_actions=game.legal_actions() if game.player == player else [],
        current_player_id=game.player,
        invalid=invalid or game.breaker == player,
        reason=game.reason,
    )


def _check(players: object, agent: object, policy: object, script: object, limit: object) -> None:
    for name, value, least in (("num_players", players, 1), ("agent_player", agent, 0), ("max_steps", limit, 1)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise InvalidRequestError(f"{name} is a whole number from {least} on, not {value!r:.50}")
    if policy not in POLICIES:
        raise InvalidRequestError(f"There is no opponent {policy!r:.100}: {', '.join(POLICIES)}")
    fits = isinstance(script, list) and all(isinstance(each, str) and len(each) <= LONGEST for each in script)
    if not fits or (policy == "script" and not script):
        raise InvalidRequestError("opponent_script is a list of messages, at least one for the policy `script`")
