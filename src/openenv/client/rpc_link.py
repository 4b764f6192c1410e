"""The link to a server in production: JSON-RPC as MCP speaks it, over a WebSocket.

What a client asks and is answered has the form it has over every other link, and is translated here. So a tool call
is a step to the client there too, and what is neither a question for tools nor the call of one is refused here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from openenv import values
from openenv._version import __version__
from openenv.client.calls import late
from openenv.client.link import TOO_LARGE_CLOSE, LinkOptions, open_socket, slow_to_connect
from openenv.client.progress import Listening, OnProgress, Progress
from openenv.client.rpc_results import step_data
from openenv.client.tool_results import rpc_error, rpc_result, tools_of
from openenv.errors import (
    BudgetExceededError,
    InvalidReplyError,
    InvalidRequestError,
    MessageTooLargeError,
    RequestCancelledError,
    RequestError,
    SessionLost,
    ToolsOnlyError,
)
from openenv.mcp.types import McpMethod
from openenv.protocol.formats import JSON, Incoming
from openenv.settings import MIB

if TYPE_CHECKING:
    from openenv.client.socket import Socket

REVISION = "2025-11-25"
"""The revision of MCP to ask for."""

TIMEOUT = "openenv/timeout_s"
"""Key in the `_meta` of a call: seconds that it may take."""

_AGAIN = "connect() opens a new session"


class RpcLink:
    """One session of an agent, which lasts as long as its connection.

    Args:
        url: Address of the WebSocket.
        options: Budgets and limits.
        is_observation: Whether what a tool returned is an observation of the client's own type.
    """

    format = JSON

    def __init__(
        self, url: str, options: LinkOptions, is_observation: Callable[[dict[str, Any]], bool] = lambda _: False
    ) -> None:
        self.url = url
        self.late_replies = 0
        self.tool_changes = 0
        self.socket: Socket | None = None
        self._options = options
        self._is_observation = is_observation
        self._limit = int(options.max_message_size_mb * MIB)
        self._last_id = 0
        self._waiting: dict[int, _Asked] = {}
        self._why = "The client was closed, and its session with it"

    @property
    def connected(self) -> bool:
        """Whether requests can be sent."""
        return self.socket is not None

    async def connect(self) -> None:
        """See `Link.connect`."""
        self.socket = await open_socket(self.url, self._options, self._limit, self._received, self._lost)
        about = {"name": "openenv", "version": __version__}
        hello = {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": about}
        try:
            await self._ask("initialize", hello, self._options.connect_timeout_s)
            self._send({"method": "notifications/initialized"})
        except BudgetExceededError as error:
            await self.close()
            raise slow_to_connect(self.url, self._options.connect_timeout_s) from error
        except BaseException as error:
            if type(error) not in (RequestError, InvalidRequestError):
                await self.close()
                raise
            # It is an older server, which knows no handshake and answers calls all the same.

    async def request(
        self,
        verb: str,
        data: bytes | None = None,
        timeout_s: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> Incoming:
        """See `Link.request`.

        Raises:
            ToolsOnlyError: It is none about tools.
        """
        asked = values.loads(data) if data is not None else None
        if not isinstance(asked, dict) or verb not in ("mcp", "step"):
            raise _refused(f"`{verb}` is not served")
        if verb == "mcp":
            answer = await self._ask(asked["method"], asked.get("params", {}), self._options.message_timeout_s)
            return _frame("mcp", {"jsonrpc": "2.0", "id": asked.get("id"), "result": answer})
        match asked.get("type"):
            case "call_tool":
                return await self._call(asked, timeout_s, on_progress)
            case "list_tools":
                return await self._list()
        raise _refused("an action is taken by `call_tool`, with its tool's name")

    async def cancel(self) -> bool:
        """See `Link.cancel`."""
        waiting = [number for number, asked in self._waiting.items() if not asked.answer.done()]
        for number in waiting:
            self._send({"method": "notifications/cancelled", "params": {"requestId": number}})
            self._waiting[number].answer.set_exception(RequestCancelledError("The call was cancelled"))
        return bool(waiting)

    async def close(self) -> None:
        """See `Link.close`."""
        socket, self.socket = self.socket, None
        if socket is not None:
            self._fail_waiting()
            await socket.close()

    # --- what is asked ---------------------------------------------------------------------------

    async def _call(
        self, action: dict[str, Any], timeout_s: float | None, on_progress: OnProgress | None
    ) -> Incoming:
        name, arguments = action.get("tool_name"), action.get("arguments", {})
        if not isinstance(name, str):
            raise InvalidRequestError("The call of a tool needs its `tool_name`")
        params: dict[str, Any] = {"name": name, "arguments": arguments}
        if timeout_s is not None:
            params["_meta"] = {TIMEOUT: timeout_s}
        seconds, listener = self._options.message_timeout_s, on_progress or self._options.on_progress
        result = await self._ask(McpMethod.TOOLS_CALL, params, seconds, listener)
        return _frame("observation", step_data(name, result, self._is_observation))

    async def _list(self) -> Incoming:
        result = await self._ask(McpMethod.TOOLS_LIST, {}, self._options.message_timeout_s)
        tools = [tool.model_dump(exclude_none=True) for tool in tools_of(result)]
        return _frame("observation", {"observation": {"tools": tools}, "reward": None, "done": False})

    async def _ask(
        self, method: str, params: dict[str, Any], seconds: float, listener: OnProgress | None = None
    ) -> Any:
        """Send a request and return its result; raises like `Link.request`, and what the server answered."""
        self._last_id = number = self._last_id + 1
        if method == McpMethod.TOOLS_CALL:
            params = {**params, "_meta": {**params.get("_meta", {}), "progressToken": number}}
        self._send({"id": number, "method": str(method), "params": params})
        self._waiting[number] = asked = _Asked(str(method), seconds, listener)
        try:
            return rpc_result(await asked.answer)
        finally:
            asked.end()
            del self._waiting[number]

    def _send(self, message: dict[str, Any]) -> None:
        if self.socket is None:
            raise self._loss()
        raw = values.dumps({"jsonrpc": "2.0", **message}, what="request")
        if len(raw) > self._limit:
            raise MessageTooLargeError(
                f"The request has {len(raw):,} bytes and the limit is {self._limit:,}; "
                "send less, or raise max_message_size_mb on both sides"
            )
        self.socket.send(raw)

    # --- what is answered ------------------------------------------------------------------------

    def _received(self, raw: bytes) -> None:
        try:
            message = values.loads(raw)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            self._fail_waiting(InvalidReplyError(f"The server sent something that is no message: {raw[:200]!r}"))
        elif "method" in message:
            self._told(message)
        elif message.get("id") is None:  # there is no session, and the connection ends
            refused = message.get("error")
            self._fail_waiting(rpc_error(refused if isinstance(refused, dict) else {}))
        else:
            asked = self._asked(message.get("id"))
            if asked is None or asked.answer.done():
                self.late_replies += 1
            else:
                asked.answer.set_result(message)

    def _told(self, message: dict[str, Any]) -> None:
        """Take what the server says or asks by itself."""
        params = message.get("params") or {}
        match message["method"]:
            case "notifications/tools/list_changed":
                self.tool_changes += 1
            case "notifications/progress":
                asked = self._asked(params.get("progressToken"))
                if asked is not None:
                    asked.hear(params)
            case "ping":
                self._send({"id": message.get("id"), "result": {}})

    def _asked(self, number: Any) -> _Asked | None:
        return self._waiting.get(number) if isinstance(number, int) else None

    def _lost(self, code: int | None, reason: str) -> None:
        if self.socket is None:
            return
        self.socket = None
        why = f"close code {code} {reason}".rstrip() if code is not None else "no close frame"
        if code == TOO_LARGE_CLOSE:
            why = "a message was over the size limit; raise max_message_size_mb on both sides"
        self._why = f"The connection to {self.url} was lost ({why}), and with it the session and its episode"
        self._fail_waiting(MessageTooLargeError(f"{self._why}; {_AGAIN}") if code == TOO_LARGE_CLOSE else None)

    def _fail_waiting(self, error: RequestError | None = None) -> None:
        for asked in self._waiting.values():
            if not asked.answer.done():
                asked.answer.set_exception(error or self._loss())

    def _loss(self) -> SessionLost:
        return SessionLost(f"{self._why}; {_AGAIN}")


class _Asked:
    """A request under way.

    Args:
        method: What is asked.
        seconds: The message budget, which begins anew with every report of progress.
        listener: Told of progress.

    Attributes:
        answer: The JSON-RPC answer.
    """

    def __init__(self, method: str, seconds: float, listener: OnProgress | None) -> None:
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Any] = self._loop.create_future()
        self._method, self._seconds = method, seconds
        self._listening = Listening(listener) if listener is not None else None
        self._timer = self._loop.call_later(seconds, self._expire)

    def hear(self, params: dict[str, Any]) -> None:
        """Take a report of progress."""
        self._timer.cancel()
        self._timer = self._loop.call_later(self._seconds, self._expire)
        if self._listening is not None:
            self._listening.hear(Progress.of(_progress(params)))

    def end(self) -> None:
        """Wait no longer."""
        self._timer.cancel()
        if self._listening is not None:
            self._listening.end()

    def _expire(self) -> None:
        if not self.answer.done():
            self.answer.set_exception(late(self._method, self._seconds))


def _refused(what: str) -> ToolsOnlyError:
    return ToolsOnlyError(
        f"This client is in production mode, where there are only tools: {what}. "
        "Use list_tools and call_tool, or a client and a server in simulation mode"
    )


def _frame(kind: str, data: dict[str, Any]) -> Incoming:
    return Incoming(None, kind, values.dumps({"type": kind, "data": data}, what="reply"))


def _progress(params: dict[str, Any]) -> dict[str, Any]:
    done, total = params.get("progress"), params.get("total")
    fraction = done / total if isinstance(done, int | float) and isinstance(total, int | float) and total else None
    return {"fraction": fraction, "message": params.get("message") or ""}
