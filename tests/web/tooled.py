"""Environments that are played by calling tools."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, Field

from openenv.environment import Environment
from openenv.mcp import CallToolAction, CallToolObservation, ListToolsAction, MCPEnvironment, Tool, tool
from openenv.models import Observation, State


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


class Address(BaseModel):
    street: str = Field(min_length=1)
    number: int = Field(ge=1, description="Of the house.")


class Bakery(MCPEnvironment):
    """Sells cakes; who has the key has one tool more."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed: int | None = None, task: Literal["buy", "bake"] = "buy") -> Observation:
        self.task = task
        self.sold = 0
        return Observation()

    async def list_tools(self) -> list[Tool]:
        hidden = {"buy": "bake", "bake": "order"}[self.task]
        return [one for one in await super().list_tools() if one.name != hidden]

    @tool
    def order(
        self, to: Address, size: Size, count: int = 1, wishes: list[str] | None = None, metadata: str = ""
    ) -> dict[str, Any]:
        """Order cakes.

        Args:
            to: Where they are brought.
            size: How large.
            count: How many.
            wishes: What is written on them.
            metadata: For the books.
        """
        self.sold += count
        self.add_reward(float(count))
        said = {"street": to.street, "number": to.number, "size": size.value, "wishes": wishes}
        return said | {"count": count, "metadata": metadata}

    @tool
    def bake(self) -> str:
        """Bake one."""
        return "baked"

    @tool
    def pay(self, amount: float) -> str:
        """Pay, and go."""
        if amount < self.sold:
            raise ValueError("too little")
        self.end_episode(reward=5.0)
        return "Thank you!"

    @tool
    def shut(self) -> str:
        """Shut the shop: there is nothing more to order."""
        self.task = "bake"
        self.tools_changed()
        return "shut"

    @property
    def state(self) -> State:
        return State(sold=self.sold)


class IsolatedBakery(Bakery):
    """The same, in a process for each session."""

    SUPPORTS_CONCURRENT_SESSIONS = False


class Odd(Environment[CallToolAction | ListToolsAction, CallToolObservation, State]):
    """Tools with schemas as servers of others have them."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    schemas: tuple[dict[str, Any], ...] = (
        {},
        {"type": "object", "additionalProperties": True},
        {"properties": {"x": {"type": "integer"}}, "required": True},
        {"properties": {"tree": {"$ref": "#/definitions/node"}}, "definitions": {"node": {"type": "string"}}},
        {"properties": None, "required": ["a"]},
        {"properties": {"a": {"anyOf": 5}, "b": {"enum": []}, "c": {"type": "array", "items": True}}},
    )

    def reset(self) -> CallToolObservation:
        return CallToolObservation(tool_name="")

    def step(self, action: CallToolAction | ListToolsAction) -> CallToolObservation:
        assert isinstance(action, CallToolAction)
        return CallToolObservation(tool_name=action.tool_name, result=action.arguments)

    def list_tools(self) -> list[Tool]:
        return [Tool(name=f"odd_{at}", input_schema=schema) for at, schema in enumerate(self.schemas)]

    @property
    def state(self) -> State:
        return State()
