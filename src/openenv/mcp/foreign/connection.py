"""One conversation with an MCP server, from `initialize` to its end.

The SDK's client has to be entered and left in the same task, and the environment is called from many. So a task of
its own holds the client; calls go through it from wherever they are made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Literal

import httpx2
import mcp_types as types
from mcp import Client, MCPError
from mcp.shared.dispatcher import ProgressFnT

from openenv._version import __version__
from openenv.errors import EnvironmentDiedError, OpenEnvError
from openenv.mcp.foreign.address import ServerAddress
from openenv.mcp.foreign.child import ChildTransport
from openenv.mcp.foreign.remote import wires
from openenv.providers.redaction import redact

__all__ = ["Connection"]

Mode = Literal["legacy", "auto"]

# A session as of the revisions up to 2025-11-25 comes first, since an episode is one; then whatever the server has.
MODES: tuple[Mode, ...] = ("legacy", "auto")
_OTHER_MODE = (types.UNSUPPORTED_PROTOCOL_VERSION, types.METHOD_NOT_FOUND)

MOST_PAGES = 100
"""Pages of a list of tools; one that never ends is cut off."""

# What the SDK says in the server's place when an HTTP server did not, by code and beginning of the message.
_NO_ANSWER = (
    (types.CONNECTION_CLOSED, "Connection closed"),
    (types.CONNECTION_CLOSED, "SSE stream"),
    (types.INVALID_REQUEST, "Session terminated"),
    (types.INVALID_REQUEST, "Unexpected content type"),
    (types.INTERNAL_ERROR, "Server returned an error response"),
    (types.METHOD_NOT_FOUND, "Not Found"),
    (types.PARSE_ERROR, "Failed to parse JSON response"),
)


class Connection:
    """A server that is spoken to. Made without effect; `open` starts it.

    Attributes:
        listeners: Called when the server says that its list of tools is another one.

    Args:
        address: The server.
        start_timeout_s: Seconds until it has to have answered `initialize`.
    """

    def __init__(self, address: ServerAddress, start_timeout_s: float) -> None:
        self.listeners: set[Callable[[], None]] = set()
        self._address = address
        self._start_timeout_s = start_timeout_s
        self._child: ChildTransport | None = None
        self._client: Client | None = None
        self._owner: asyncio.Task[None] | None = None
        self._opened = asyncio.Event()
        self._over = asyncio.Event()
        self._fault: OpenEnvError | None = None
        self._forgotten = False

    @property
    def over(self) -> bool:
        """Whether it has been closed or lost: nothing more can be asked."""
        return self._over.is_set() or (self._owner is not None and self._owner.done())

    @property
    def server_info(self) -> types.Implementation | None:
        """Name and version of the server, if it has told them."""
        return self._client.server_info if self._client is not None and not self.over else None

    @property
    def complaint(self) -> str:
        """What is odd about the server and may explain that it does not answer, as the end of a sentence."""
        noise = self._child.noise if self._child is not None else 0
        return f"; the server has written {noise} lines to its standard output that are no messages" * bool(noise)

    async def open(self) -> None:
        """Start the server, or connect to it, and shake hands. May be called by several, and again.

        Raises:
            EnvironmentDiedError: It could not be reached, ended, or did not answer in time.
            ConfigurationError: The command can not be started as it is given.
            ProviderStartError: No process could be made.
        """
        if self._owner is None:
            self._owner = asyncio.create_task(self._own(), name=f"mcp {self._address.name:.40}")
        await self._opened.wait()
        await self.alive()

    async def close(self) -> None:
        """End it, and the server if it is a command; return when that is gone. May be called at any time."""
        self._over.set()
        if self._owner is None or self._owner.done():
            return
        if not self._opened.is_set():
            self._owner.cancel()
        await asyncio.wait({self._owner})

    async def list_tools(self, timeout_s: float) -> list[types.Tool]:
        """Return the server's tools, all pages of them.

        Raises:
            EnvironmentDiedError: It is lost, or did not answer in time, or with nonsense.
        """
        tools: list[types.Tool] = []
        client = await self.alive()
        try:
            async with asyncio.timeout(timeout_s):
                cursor = None
                for _ in range(MOST_PAGES):
                    page = await client.list_tools(cursor=cursor)
                    tools += page.tools
                    cursor = page.next_cursor
                    if cursor is None:
                        break
        except TimeoutError as error:
            raise self._unusable(f"did not list its tools within {timeout_s:g} s") from error
        except MCPError as error:
            await self._raise_if_lost(error)
            if error.code == types.METHOD_NOT_FOUND:  # it has resources or prompts only
                return []
            raise self._unusable(f"does not list its tools: {_said(error)}") from error
        except ValueError as error:
            raise self._unusable(f"lists its tools in a form that is none: {error}") from error
        return tools

    async def call(
        self, name: str, arguments: dict[str, Any], timeout_s: float, on_progress: ProgressFnT | None = None
    ) -> types.CallToolResult:
        """Call a tool; if the time runs out or the caller is cancelled, the server is told.

        Raises:
            EnvironmentDiedError: The server is lost; whether the tool has run is not known.
            MCPError: It answered with an error.
            TimeoutError: It did not answer in time. The connection goes on.
            ValueError: The arguments have no JSON form, or the answer is no result of a tool.
            RuntimeError: The result is not what the tool's own output schema says.
        """
        client = await self.alive()
        try:
            async with asyncio.timeout(timeout_s):
                return await client.call_tool(name, arguments, progress_callback=on_progress)
        except MCPError as error:
            await self._raise_if_lost(error)
            raise

    async def alive(self) -> Client:
        """Return the client, if there is still somebody at the other end.

        Raises:
            EnvironmentDiedError: There is not; a process's last words are in the message.
        """
        if self.over or self._client is None:
            await self.close()
            raise self._fault or EnvironmentDiedError(f"The MCP server {self._address.name} was closed")
        return self._client

    async def _raise_if_lost(self, error: MCPError) -> None:
        """Give it up if the answer did not come from the server: nobody knows then what that has done."""
        if not (self.over or self._forgotten or (self._child is None and _is_synthetic(error))):
            return
        await self.close()
        self._fault = self._fault or self._unusable(f"was lost: {_said(error)}")
        raise self._fault from error

    def _unusable(self, why: str) -> EnvironmentDiedError:
        last_words = self._child.last_words() if self._child is not None else ""
        return EnvironmentDiedError(f"The MCP server {self._address.name} {why}{last_words}")

    # --- the task that holds the client ------------------------------------------------------------------------

    async def _own(self) -> None:
        try:
            await self._converse()
            if self._child is not None and self._child.died:
                self._fault = EnvironmentDiedError(f"The MCP server {self._address.name} {self._child.farewell()}")
        except Exception as error:
            self._fault = self._fault or self._explained(error)
        finally:
            self._over.set()
            self._opened.set()

    async def _converse(self) -> None:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(self._start_timeout_s):
                self._client = await self._begin(stack)
            self._opened.set()
            await self._over.wait()

    async def _begin(self, stack: AsyncExitStack) -> Client:
        """Shake hands over the first wire and in the first mode that the server takes."""
        failures: list[BaseException] = []
        for wire in [self._start_child] if self._address.url is None else wires(self._address, self._forget):
            for mode in MODES:
                try:
                    return await stack.enter_async_context(self._make_client(wire(), mode))
                except Exception as error:
                    failures.append(_innermost(error))
                    if not isinstance(failures[-1], MCPError | httpx2.HTTPStatusError | httpx2.SSEError):
                        raise
                    if getattr(failures[-1], "code", None) not in _OTHER_MODE:
                        break
        if self._child is not None and self._child.died:
            raise failures[0]
        raise self._unusable(f"does not begin a session: {'; '.join(dict.fromkeys(map(_said, failures)))}")

    def _start_child(self) -> ChildTransport:
        self._child = ChildTransport(self._address, on_end=self._over.set)
        return self._child

    def _make_client(self, wire: AbstractAsyncContextManager[Any], mode: Mode) -> Client:
        return Client(
            wire,
            mode=mode,
            cache=None,
            client_info=types.Implementation(name="openenv", version=__version__),
            message_handler=self._heard,
        )

    def _forget(self) -> None:
        self._forgotten = True

    async def _heard(self, message: object) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            for listener in list(self.listeners):
                listener()

    def _explained(self, error: Exception) -> OpenEnvError:
        cause = _innermost(error)
        if isinstance(cause, OpenEnvError):
            return cause
        if self._child is not None and self._child.died:
            return EnvironmentDiedError(f"The MCP server {self._address.name} {self._child.farewell()}")
        if isinstance(cause, TimeoutError) and self._client is None:
            return self._unusable(f"did not answer initialize within {self._start_timeout_s:g} s (start_timeout_s)")
        return self._unusable(f"{'can not be reached' if self._client is None else 'was lost'}: {_said(cause)}")


def _is_synthetic(error: MCPError) -> bool:
    """Whether the SDK says it in the server's place."""
    return any(error.code == code and error.message.startswith(text) for code, text in _NO_ANSWER)


def _innermost(error: BaseException) -> BaseException:
    """Return what went wrong inside of groups of exceptions."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _said(error: BaseException) -> str:
    if isinstance(error, MCPError):
        return redact(f"{error.message} (code {error.code})")
    return redact(f"{type(error).__name__}: {error}")
