"""Tools, as every client has them.

Asking which tools there are is a question about the session, and no step. Calling one is a step: it goes the way of
`step`, under the same numbers, budgets and errors.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

from openenv.client.core import Core
from openenv.client.faces import Faces
from openenv.client.results import Results
from openenv.client.tool_results import (
    lists_no_tools,
    own_result,
    reads_calls,
    returned,
    rpc_result,
    step_result,
    takes_tool_actions,
    tools_of,
)
from openenv.errors import InvalidRequestError, RequestError, SessionLost
from openenv.mcp.types import CallToolAction, McpMethod, Tool
from openenv.models import StepResult
from openenv.protocol.client_codec import ClientCodec, reply_data

if TYPE_CHECKING:
    from openenv.client.link import Link
    from openenv.client.progress import OnProgress

_numbers = count(1)


class ToolCalls(Faces):
    """The part of `EnvClient` that lists and calls tools."""

    _core: Core
    _codec: ClientCodec
    _quick: ClassVar[bool] = True
    _typed_payload: bool
    _typed_result: bool
    _tools: tuple[object, list[Tool]] | None = None  # of what, and which
    last_result: StepResult[Any] | None = None
    """The result of the last call of a tool: its reward, `done` and outcome; None if it came to nothing."""

    if TYPE_CHECKING:

        def _step_payload(self, action: Any) -> dict[str, Any]: ...

        def _parse_result(self, payload: dict[str, Any]) -> StepResult[Any]: ...

    def list_tools(self, use_cache: bool = True) -> Results[Tool]:
        """Return the tools of the environment; none, if it has none.

        They are asked for once in an episode. If the session is lost, the server is connected to again to ask it;
        a step needs a `reset` all the same.

        Args:
            use_cache: False asks again, for an environment that changes its tools during an episode.

        Raises:
            ConnectionFailedError: Nobody answers at the address.
            RequestError: The server refused it.
        """
        return self._call(lambda: self._list_tools(use_cache))

    def get_tool(self, name: str) -> Any:
        """Return the tool of a name, or None."""
        return self._call(lambda: self._get_tool(name))

    def has_tool(self, name: str) -> Any:
        """Return whether there is a tool of a name."""
        return self._call(lambda: self._has_tool(name))

    def call_tool(self, name: str, /, **arguments: Any) -> Any:
        """Call a tool, which is a step, and return what it returned.

        Reward, `done` and outcome of the step are in `last_result`. The call of an action class by its tool name
        returns the observation.

        Args:
            name: Of the tool.
            **arguments: Its arguments.

        Raises:
            ToolCallError: The tool says that the call has failed: it does not exist, its arguments are wrong, or
                it raised. The step was taken; its result is the error's `result`.
            RequestError: See `step`.
        """
        return self._call(lambda: self._call_tool(name, arguments), quick=self._quick)

    def openai_tools(self) -> Results[dict[str, Any]]:
        """Return the tools as the `tools` of a request to OpenAI's API."""
        return self._call(self._openai_tools)

    def anthropic_tools(self) -> Results[dict[str, Any]]:
        """Return the tools as the `tools` of a request to Anthropic's API."""
        return self._call(self._anthropic_tools)

    # --- the async core --------------------------------------------------------------------------

    async def _list_tools(self, use_cache: bool = True) -> Results[Tool]:
        link = await self._core.asked()
        try:
            return Results(await self._tools_over(link, use_cache))
        except SessionLost:
            if link.connected:
                raise
            return Results(await self._tools_over(await self._core.asked(), use_cache))

    def _forget_tools(self) -> None:
        """Another episode begins here, which may have other tools."""
        self._tools = None

    async def _get_tool(self, name: str) -> Tool | None:
        return next((tool for tool in await self._list_tools() if tool.name == name), None)

    async def _has_tool(self, name: str) -> bool:
        return await self._get_tool(name) is not None

    async def _openai_tools(self) -> Results[dict[str, Any]]:
        return Results(tool.to_openai() for tool in await self._list_tools())

    async def _anthropic_tools(self) -> Results[dict[str, Any]]:
        return Results(tool.to_anthropic() for tool in await self._list_tools())

    async def _call_tool(self, name: str, arguments: dict[str, Any]) -> Any:
        if not isinstance(name, str):
            raise InvalidRequestError(f"The name of a tool is text, not {type(name).__name__}")
        self.last_result = None  # a call that comes to nothing must not be taken for the one before
        result = await self._tool_step(CallToolAction(tool_name=name, arguments=arguments))
        self.last_result = result
        return returned(name, result)

    async def _tools_over(self, link: Link, use_cache: bool) -> list[Tool]:
        source = (link, link.tool_changes)
        if not use_cache or self._tools is None or self._tools[0] != source:
            self._tools = source, await _ask(link)
        return self._tools[1]

    async def _tool_step(
        self, action: Any, limit: float | None = None, on_progress: OnProgress | None = None
    ) -> StepResult[Any]:
        """Take a step with one of `TOOL_ACTIONS`, which a wire form of one's own need not know."""
        link = self._core.link or await self._core.live()
        if self._typed_payload or not takes_tool_actions(self._codec):
            data = self._codec.pack_action(action, link.format)
        else:
            data = link.format.pack(self._step_payload(action), "action")
        reply = await link.request("step", data, limit, on_progress)
        if self._typed_result:
            return step_result(self._codec, type(action), reply)
        payload = reply_data(reply.raw)
        if reads_calls(self._codec):
            return self._parse_result(payload)
        return own_result(type(action), payload, self._parse_result)


async def _ask(link: Link) -> list[Tool]:
    """Return the tools there are, from as many answers as the server gives."""
    tools: list[Tool] = []
    params: dict[str, Any] = {}
    while True:
        request = {"jsonrpc": "2.0", "id": next(_numbers), "method": McpMethod.TOOLS_LIST.value, "params": params}
        reply = await link.request("mcp", link.format.pack(request, "question for tools"))
        try:
            result = rpc_result(reply_data(reply.raw))
        except RequestError as error:
            if lists_no_tools(error):
                return tools
            raise
        tools += tools_of(result)
        if not result.get("nextCursor"):
            return tools
        params = {"cursor": result["nextCursor"]}
