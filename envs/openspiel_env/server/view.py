"""What a player sees of a game: what OpenSpiel shows that player, never all of a position that hides something."""

import pyspiel


class View:
    """How one game is shown.

    Args:
        game: The game.

    Attributes:
        game: The same.
    """

    def __init__(self, game: pyspiel.Game) -> None:
        self.game = game
        kind = game.get_type()
        self._informed = kind.provides_information_state_tensor
        self._observed = kind.provides_observation_tensor
        self._observed_text = kind.provides_observation_string
        self._informed_text = kind.provides_information_state_string

    def tensor(self, position: pyspiel.State, player: int) -> list[float]:
        """Return the information state, the observation where there is none, or nothing."""
        if self._informed:
            return position.information_state_tensor(player)
        return position.observation_tensor(player) if self._observed else []

    def text(self, position: pyspiel.State, player: int) -> str:
        """Return the observation in words, the information state where there is none, or nothing."""
        if self._observed_text:
            return position.observation_string(player)
        return position.information_state_string(player) if self._informed_text else ""
