"""An environment of one tool, for libraries that find tools by themselves."""

from openenv.mcp import MCPEnvironment, tool
from openenv.models import Observation, State


class Shop(MCPEnvironment):
    """Buy three apples."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed: int | None = None) -> Observation:
        self.apples = 0
        return Observation()

    @tool
    def buy(self, count: int = 1) -> int:
        """Buy apples.

        Args:
            count: How many.
        """
        self.apples += count
        if self.apples >= 3:
            self.end_episode(reward=float(self.apples == 3))
        return self.apples

    @property
    def state(self) -> State:
        return State()
