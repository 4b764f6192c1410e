"""A light and three buttons, by tools: openenv serve lights:app

What colour the light has is drawn in the reset, and only a look tells it. One button is to be pressed: that of the
light's colour.
"""

from random import Random

from openenv.mcp import MCPEnvironment, tool
from openenv.models import Observation, State
from openenv.server import create_app

COLOURS = ("red", "green", "blue")


class Lights(MCPEnvironment):
    """One light in an episode. The reward is 1 for the button of its colour, else 0."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed: int | None = None) -> Observation:
        """Switch a light on."""
        self.colour = Random(seed).choice(COLOURS)
        self.looks = 0
        return Observation()

    @tool
    def look(self) -> str:
        """Look at the light."""
        self.looks += 1
        return self.colour

    @tool
    def press(self, button: str) -> str:
        """Press a button, which ends the episode.

        Args:
            button: red, green or blue.
        """
        self.end_episode(reward=float(button == self.colour))
        return "Done."

    @property
    def state(self) -> State:
        """How often the agent has looked."""
        return State(step_count=self.looks)


app = create_app(Lights)
