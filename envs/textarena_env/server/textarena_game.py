"""A game of TextArena that several clients play with one another: each has a seat."""

from random import Random

from openenv.environment.multi_agent import MultiAgentGame
from openenv.errors import InvalidRequestError

from ..models import TextArenaAction, TextArenaObservation
from .games import TextGame
from .textarena_environment import look


class TextArenaGame(MultiAgentGame[TextArenaAction, TextArenaObservation]):
    """Any text game of TextArena for several clients, `player_0`, `player_1` and so on.

    Args:
        env_id: Which game, where the players do not say.
    """

    def __init__(self, env_id: str = "TicTacToe-v0") -> None:
        self._env_id = env_id

    def reset(self, seed: int | None = None, env_id: str | None = None, num_players: int | None = None) -> None:
        """Set a game up.

        Args:
            seed: Fixes what the game draws.
            env_id: Another game.
            num_players: How many play; by default the fewest that the game takes.

        Raises:
            InvalidRequestError: There is no such game, or it cannot be played here, or not by so many.
        """
        if num_players is not None and (not isinstance(num_players, int) or num_players < 1):
            raise InvalidRequestError(f"num_players is a whole number from 1 on, not {num_players!r:.50}")
        self._game = TextGame(env_id or self._env_id, num_players, Random(seed).getrandbits(31))
        self.agents = [f"player_{number}" for number in range(self._game.num_players)]
        self.rewards, self.terminated = {}, False
        self.agent_selection = self.agents[self._game.player]

    def step(self, action: TextArenaAction) -> None:
        """Say something for the player whose turn it is."""
        game = self._game
        game.say(action.message)
        self.terminated = game.is_over
        if game.is_over:
            self.rewards = {self.agents[player]: reward for player, reward in game.rewards.items()}
        else:
            self.agent_selection = self.agents[game.player]

    def observe(self, agent: str) -> TextArenaObservation:
        """Return what a player sees."""
        player = self.agents.index(agent)
        return look(self._game, player, self._game.invalid and self._game.player == player)
