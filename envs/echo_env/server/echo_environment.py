"""The echo environment itself."""

from uuid import uuid4

from openenv.environment import Environment
from openenv.mcp import CallToolAction, CallToolObservation, ListToolsAction, Tool, Toolbox, tool
from openenv.models import State

from ..models import EchoAction, EchoObservation

REWARD_PER_CHARACTER = 0.1
TOOL_REWARD = 1.0


class EchoEnvironment(Environment[EchoAction | CallToolAction | ListToolsAction, EchoObservation, State]):
    """Says back what it is told: 0.1 reward a character of a message, 1.0 for a tool call that works."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    NON_BLOCKING = True

    def __init__(self) -> None:
        super().__init__()
        self._state = State()
        self._toolbox = Toolbox(self)

    def reset(self, seed: int | None = None, episode_id: str | None = None) -> EchoObservation:
        """Greet. The seed changes nothing, since nothing here is random."""
        self._state = State(episode_id=episode_id or str(uuid4()), step_count=0)
        return EchoObservation(echoed_message="Echo environment ready!")

    def step(self, action: EchoAction | CallToolAction | ListToolsAction) -> EchoObservation:
        """Echo a message, call a tool or list the tools."""
        self._state.step_count += 1
        if isinstance(action, CallToolAction):
            return self._call(action)
        if isinstance(action, ListToolsAction):
            return EchoObservation(tools=self.list_tools())
        return EchoObservation(
            echoed_message=action.message,
            message_length=len(action.message),
            reward=len(action.message) * REWARD_PER_CHARACTER,
        )

    @tool
    def echo_message(self, message: str) -> str:
        """Return the message as it is.

        Args:
            message: Any text.
        """
        return message

    @tool
    def echo_with_length(self, message: str) -> dict[str, str | int]:
        """Return the message and its length in characters.

        Args:
            message: Any text.
        """
        return {"message": message, "length": len(message)}

    def list_tools(self) -> list[Tool]:
        """Return the tools there are."""
        return self._toolbox.tools()

    @property
    def state(self) -> State:
        """The episode's id and its steps."""
        return self._state

    def _call(self, action: CallToolAction) -> EchoObservation:
        """Return what the tool says, or what is wrong with the call."""
        called = self._toolbox.call(action)
        assert isinstance(called, CallToolObservation)
        return EchoObservation(
            tool_name=action.tool_name,
            result=called.result,
            error=called.error,
            reward=TOOL_REWARD if called.error is None else 0.0,
        )
