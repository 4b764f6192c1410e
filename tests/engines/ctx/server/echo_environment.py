"""The echo environment itself."""

from uuid import uuid4

from openenv.environment import Environment
from openenv.mcp import CallToolAction, ListToolsAction, Tool, ToolError, ToolErrorType
from openenv.models import State

from ..models import EchoAction, EchoObservation

REWARD_PER_CHARACTER = 0.1
TOOL_REWARD = 1.0

TOOLS = [
    Tool(
        name="echo_message",
        description="Return the message as it is.",
        input_schema={
            "type": "object",
            "properties": {"message": {"type": "string", "description": "Any text."}},
            "required": ["message"],
        },
    ),
    Tool(
        name="echo_with_length",
        description="Return the message and its length in characters.",
        input_schema={
            "type": "object",
            "properties": {"message": {"type": "string", "description": "Any text."}},
            "required": ["message"],
        },
    ),
]


class EchoEnvironment(Environment[EchoAction | CallToolAction | ListToolsAction, EchoObservation, State]):
    """Says back what it is told: 0.1 reward a character of a message, 1.0 for a tool call that works."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    NON_BLOCKING = True

    def __init__(self) -> None:
        super().__init__()
        self._state = State()

    def reset(self, seed: int | None = None, episode_id: str | None = None) -> EchoObservation:
        """Greet. The seed changes nothing, since nothing here is random."""
        self._state = State(episode_id=episode_id or str(uuid4()), step_count=0)
        return EchoObservation(echoed_message="Echo environment ready!")

    def step(self, action: EchoAction | CallToolAction | ListToolsAction) -> EchoObservation:
        """Echo a message, call a tool or list the tools."""
        self._state.step_count += 1
        if isinstance(action, CallToolAction):
            return _call(action)
        if isinstance(action, ListToolsAction):
            return EchoObservation(tools=TOOLS)
        return EchoObservation(
            echoed_message=action.message,
            message_length=len(action.message),
            reward=len(action.message) * REWARD_PER_CHARACTER,
        )

    @property
    def state(self) -> State:
        """The episode's id and its steps."""
        return self._state


def _call(action: CallToolAction) -> EchoObservation:
    """Return what the tool says, or what is wrong with the call: a wrong call is an answer, not an exception."""
    message = action.arguments.get("message")
    if action.tool_name not in {tool.name for tool in TOOLS}:
        return _failed(action, ToolErrorType.TOOL_NOT_FOUND, f"There is no tool {action.tool_name!r}")
    if not isinstance(message, str) or set(action.arguments) != {"message"}:
        return _failed(action, ToolErrorType.INVALID_ARGS, "The tool takes one argument: message, a text")
    result = message if action.tool_name == "echo_message" else {"message": message, "length": len(message)}
    return EchoObservation(tool_name=action.tool_name, result=result, reward=TOOL_REWARD)


def _failed(action: CallToolAction, why: ToolErrorType, message: str) -> EchoObservation:
    return EchoObservation(tool_name=action.tool_name, error=ToolError(error_type=why, message=message), reward=0.0)
