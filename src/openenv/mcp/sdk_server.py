"""The tools of a server object of an MCP SDK in this process, called as a client would see them.

FastMCP (3 and 4) and the official SDK (`FastMCP` of 1.x, `MCPServer` of 2.x) all have the coroutines `list_tools()`
and `call_tool(name, arguments)`: no client between, no messages, and no import of any of them here. Only a tool of
FastMCP that asks for a context needs the session that a client opens; it gets one for the call.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from openenv.errors import (
    ConfigurationError,
    ExecutionError,
    InvalidRequestError,
    OpenEnvError,
    SerializationError,
)
from openenv.mcp.functions import reserved
from openenv.mcp.toolbox import caught, failed, unknown, wrong_arguments
from openenv.mcp.types import (
    RESERVED_TOOL_NAMES,
    CallToolAction,
    CallToolObservation,
    Prompt,
    PromptArgument,
    Tool,
    ToolErrorType,
)
from openenv.mcp.waiting import settled
from openenv.values import refuse_non_finite, text_of

_OF_SESSION = frozenset({"io.modelcontextprotocol/serverInfo"})


class SdkServer:
    """A server object whose tools are an environment's.

    Args:
        server: A `FastMCP` or `MCPServer`.
        report: Is told how far a call is, by tools that say so: a fraction, if it is known, and a message.

    Raises:
        ConfigurationError: It is not such an object.
    """

    def __init__(self, server: Any, report: Callable[[float | None, str], None]) -> None:
        for name in ("list_tools", "call_tool"):
            if not inspect.iscoroutinefunction(getattr(server, name, None)):
                raise ConfigurationError(
                    f"{type(server).__name__} is no MCP server that is known here: give a FastMCP (of fastmcp 3 or "
                    "later, or of mcp 1.x) or an MCPServer (of mcp 2.x)"
                )
        self.server = server
        self._report = report
        modules = [cls.__module__ for cls in type(server).__mro__]
        self._of_fastmcp = any(module.partition(".")[0] == "fastmcp" for module in modules)
        self._with_context: dict[str, bool] = {}

    async def check(self) -> None:
        """Refuse tools of reserved names.

        Raises:
            ConfigurationError: There are some.
        """
        if bad := [tool.name for tool in await self.server.list_tools() if tool.name in RESERVED_TOOL_NAMES]:
            raise ConfigurationError(reserved(bad))

    async def tools(self) -> list[Tool]:
        """Return what an agent is told of its tools."""
        return [Tool.from_mcp(_shown(tool)) for tool in await self.server.list_tools()]

    async def prompts(self) -> list[Prompt]:
        """Return what an agent is told of its prompts."""
        listing = getattr(self.server, "list_prompts", None)
        return [_prompt(_shown(one)) for one in await listing()] if listing is not None else []

    async def prompt(self, name: str, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the messages of a prompt, in MCP's form.

        Raises:
            InvalidRequestError: The server has no such prompt, or can not make it of these arguments.
        """
        make = getattr(self.server, "render_prompt", None) or getattr(self.server, "get_prompt", None)
        if make is None:
            raise InvalidRequestError(f"Unknown prompt: {name!r}")
        try:
            made = await make(name, dict(arguments))
        except OpenEnvError:
            raise
        except Exception as error:
            raise InvalidRequestError(text_of(error)) from error
        return [message.model_dump(mode="json", by_alias=True, exclude_none=True) for message in made.messages]

    async def functions(self) -> dict[str, Callable[..., Any]]:
        """Return the functions behind its tools; where it does not show one, a function that calls the tool."""
        tools = await self.server.list_tools()
        return {tool.name: getattr(tool, "fn", None) or partial(self._called, tool.name) for tool in tools}

    def _called(self, name: str, **arguments: Any) -> Any:
        answer = settled(self.call(CallToolAction(tool_name=name, arguments=arguments)))
        if answer.error is not None:
            raise ExecutionError(answer.error.message)
        return answer.result["data"]

    async def call(self, action: CallToolAction, others: Sequence[str] = ()) -> CallToolObservation:
        """Call a tool; whatever goes wrong is an answer.

        Args:
            action: The call.
            others: Names of tools that are had elsewhere, for the answer to a name that is not there.

        Raises:
            OpenEnvError: The tool raised it: something failed that the agent has no part in.
        """
        name = action.tool_name
        try:
            if await self._wants_context(name):
                returned = await self._by_client(action)
            else:
                returned = await self.server.call_tool(name, dict(action.arguments))
        except Exception as error:
            return await self._refused(name, error, others)
        result = _result(returned, self._of_fastmcp)
        try:
            refuse_non_finite(to_json(result["structured_content"]), what="result")
        except (SerializationError, ValueError) as error:
            why = error.message if isinstance(error, SerializationError) else text_of(error)
            return failed(name, ToolErrorType.EXECUTION_ERROR, f"Error calling tool {name!r}: {why}")
        if result["is_error"]:
            said = " ".join(part.get("text", "") for part in result["content"]).strip()
            return failed(name, ToolErrorType.EXECUTION_ERROR, said or f"Error calling tool {name!r}")
        return CallToolObservation(tool_name=name, result=result)

    async def _refused(self, name: str, error: Exception, others: Sequence[str]) -> CallToolObservation:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, OpenEnvError):
                raise cause
            cause = cause.__cause__
        tools = {tool.name: tool for tool in await self.tools()}
        if name not in tools:
            return unknown(name, [*others, *tools])
        behind = error.__cause__
        if isinstance(behind, ValidationError) and behind.title in (f"call[{name}]", f"{name}Arguments"):
            return failed(name, ToolErrorType.INVALID_ARGS, wrong_arguments(tools[name], behind))
        if behind is None:
            return failed(name, ToolErrorType.EXECUTION_ERROR, text_of(error))
        return caught(name, behind)

    async def _wants_context(self, name: str) -> bool:
        if not self._of_fastmcp:
            return False
        if name not in self._with_context:
            tools = await self.server.list_tools()
            self._with_context = {tool.name: _takes_context(getattr(tool, "fn", None)) for tool in tools}
        return self._with_context.get(name, False)

    async def _by_client(self, action: CallToolAction) -> Any:
        arguments = dict(action.arguments)
        async with sys.modules["fastmcp"].Client(self.server, progress_handler=self._progress) as client:
            return await client.call_tool(action.tool_name, arguments, raise_on_error=False)

    async def _progress(self, progress: float, total: float | None, message: str | None) -> None:
        self._report(progress / total if total else None, message or "")


def _takes_context(function: Any) -> bool:
    return any("Context" in str(hint) for hint in getattr(function, "__annotations__", {}).values())


def _shown(tool: Any) -> dict[str, Any]:
    """Return a tool or prompt as MCP's lists have it."""
    for convert in ("to_mcp_tool", "to_mcp_prompt"):
        if hasattr(tool, convert):
            tool = getattr(tool, convert)()
    shown: dict[str, Any] = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
    return shown


def _prompt(shown: Mapping[str, Any]) -> Prompt:
    arguments = [
        PromptArgument(name=a["name"], description=a.get("description", ""), required=a.get("required", False))
        for a in shown.get("arguments", ())
    ]
    return Prompt(
        name=shown["name"],
        description=shown.get("description", ""),
        arguments=arguments,
        title=shown.get("title"),
    )


def _result(returned: Any, of_fastmcp: bool) -> dict[str, Any]:
    """Return what a call returned in the one form, that of the releases before this one."""
    if isinstance(returned, tuple):  # mcp 1.x, of a tool that says what it returns
        content, structured, meta, is_error = returned[0], returned[1], None, False
    elif isinstance(returned, list):  # mcp 1.x, of one that does not
        content, structured, meta, is_error = returned, None, None, False
    else:
        content = returned.content
        structured = getattr(returned, "structured_content", None)
        meta = getattr(returned, "meta", None)
        is_error = bool(getattr(returned, "is_error", False))
    return {
        "content": [_part(part) for part in content],
        "structured_content": structured,
        "meta": {key: value for key, value in (meta or {}).items() if key not in _OF_SESSION} or None,
        "data": _data(structured, meta, of_fastmcp),
        "is_error": is_error,
    }


def _part(part: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = part.model_dump(mode="json", by_alias=True)
    if "_meta" in dumped:
        dumped["meta"] = dumped.pop("_meta")
    return dumped


def _data(structured: Any, meta: Any, of_fastmcp: bool) -> Any:
    """Return the value itself, which structured content of a value that is no object only wraps."""
    if not isinstance(structured, dict) or structured.keys() != {"result"}:
        return structured
    wrapped = (meta or {}).get("fastmcp", {}).get("wrap_result") if of_fastmcp else True
    return structured["result"] if wrapped else structured
