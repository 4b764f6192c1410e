"""`MCPToolClient`: a client of an environment of which nothing is known but that it has tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Discriminator, GetCoreSchemaHandler, Tag
from pydantic_core import CoreSchema

from openenv.client.base import EnvClient
from openenv.mcp.types import CallToolAction, CallToolObservation, ListToolsAction, ListToolsObservation
from openenv.models import Observation, State


class GenericMCPObservation(Observation):
    """An observation that is no tool's, such as that of a reset: its fields are whatever the environment says."""

    model_config = ConfigDict(extra="allow")


ToolObservation = CallToolObservation | ListToolsObservation | GenericMCPObservation


class _ByFields:
    """Validates an observation as the one of `ToolObservation` whose fields it has."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(
            Annotated[
                Annotated[CallToolObservation, Tag("call_tool")]
                | Annotated[ListToolsObservation, Tag("list_tools")]
                | Annotated[GenericMCPObservation, Tag("generic")],
                Discriminator(_kind),
            ]
        )


def _kind(value: Any) -> str:
    names = set(value) if isinstance(value, Mapping) else set()
    if "tool_name" in names and names <= CallToolObservation.model_fields.keys():
        return "call_tool"
    return "list_tools" if "tools" in names and names <= ListToolsObservation.model_fields.keys() else "generic"


class MCPClientBase(EnvClient[CallToolAction | ListToolsAction, ToolObservation, State]):
    """The base of clients whose actions are calls of tools."""

    observation_type: ClassVar[Any] = _ByFields


class MCPToolClient(MCPClientBase):
    """A client of an environment of tools, whichever they are.

    ```python
    async with MCPToolClient(base_url="http://localhost:8000") as env:
        await env.reset()
        print(await env.list_tools())
        print(await env.call_tool("add", a=1, b=2))
        print(env.last_result.reward)
    ```
    """
