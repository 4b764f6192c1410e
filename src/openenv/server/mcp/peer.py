"""One MCP client: what it may ask, and what of it is under way.

A peer knows no transport. It is given messages and functions that send, and asks a session, which it shares with
nobody unless a trainer has lent it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from openenv._version import __version__
from openenv.errors import InvalidRequestError, RequestError
from openenv.mcp.signatures import WRAPPED
from openenv.mcp.types import JsonRpcErrorCode, Tool
from openenv.protocol.codes import ServerMode
from openenv.protocol.formats import JSON
from openenv.server.host import Reply, ResetOp, StateOp, StepOp
from openenv.server.inquiries import Inquiry
from openenv.server.mcp import resources, results
from openenv.server.mcp.rpc import REVISIONS, Call, Message, RpcError, Send, notification, number_of, refusal
from openenv.server.requests import OnReply, Request
from openenv.server.sessions import Phase, Session

if TYPE_CHECKING:
    from openenv.server.manager import SessionManager

logger = logging.getLogger("openenv.server")

MOST_UNDER_WAY = 256
"""Requests of one client that may wait for their answers."""

TIMEOUT = "openenv/timeout_s"
"""Key in the `_meta` of a call: seconds that it may take."""


class Peer:
    """One MCP client and its session.

    Args:
        manager: The server's sessions.
        session: Its session.
        begins: The first call of a tool begins an episode; else a trainer does, by `reset`. A trainer of version 2
            always does it itself; one of version 1 may never have heard of `reset`.
        again: So does the first call after the end of one.
        owns: The session is its own, and ends with it.
        reset: Arguments of the resets that begin episodes.

    Attributes:
        session: Its session.
        owns: The session is its own.
    """

    def __init__(
        self,
        manager: SessionManager,
        session: Session,
        *,
        begins: bool = True,
        again: bool = False,
        owns: bool = True,
        reset: dict[str, Any] | None = None,
    ) -> None:
        self.session = session
        self.owns = owns
        self.stream: Any = None  # on which the client is told what it has not asked for
        self._notify: Send | None = None
        self._manager = manager
        self._tools = manager.tools
        self._begins = begins
        self._again = again
        self._reset = reset or {}
        self._greeted = False
        self._begun: ResetOp | None = None  # the last reset for a call
        self._under_way: dict[str | int, Request] = {}
        self._subscriptions: set[str] = set()
        self._output_schemas: dict[str, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._do: dict[str, Callable[[Call], None]] = {
            "initialize": self._initialize,
            "ping": lambda call: call.answer({}),
            "tools/list": self._list_tools,
            "tools/call": self._call_tool,
            "resources/list": self._list_resources,
            "resources/templates/list": lambda call: call.answer({"resourceTemplates": []}),
            "resources/read": self._read_resource,
            "resources/subscribe": self._subscribe,
            "resources/unsubscribe": self._subscribe,
            "prompts/list": partial(self._inquire, "prompts", {}, lambda found: {"prompts": found}),
            "prompts/get": self._get_prompt,
            "logging/setLevel": lambda call: call.answer({}),
            "notifications/cancelled": self._cancel,
        }

    def is_asked(self, number: str | int) -> bool:
        """Return whether a request of this id is under way."""
        return number in self._under_way

    def listen(self, notify: Send | None) -> None:
        """Have the client told, by a function, of what it has not asked for; None: not any more."""
        if notify is not None and self._notify is None:
            self.session.observe(self._seen)
        elif notify is None and self._notify is not None:
            self.session.unobserve(self._seen)
        self._notify = notify

    def ended(self) -> None:
        """The session is over, and with it what its client is told."""
        if self.stream is not None:
            self.stream.put_nowait(None)

    def received(self, message: Any, send: Send, tell: Send | None = None) -> None:
        """Do what a message asks.

        Args:
            message: As JSON has it.
            send: Called with the answer, at once or later; never for a notification.
            tell: Called with reports of progress before that.
        """
        try:
            call = Call.of(message, send, tell)
        except RpcError as error:
            send(refusal(number_of(message), error))
            return
        if call is None or (not call.wanted and call.method not in self._do):
            return
        do = self._do.get(call.method)
        if do is None:
            call.refuse(RpcError(JsonRpcErrorCode.METHOD_NOT_FOUND, f"Method not found: {call.method}"))
            return
        self._safely(call, do, call)

    @staticmethod
    def _safely(call: Call, do: Callable[..., None], *arguments: Any) -> None:
        """Do something for a call; whatever goes wrong is its answer, for without one its sender waits for ever."""
        try:
            do(*arguments)
        except RpcError as error:
            call.refuse(error)
        except Exception:
            logger.exception("%s could not be answered", call.method)
            call.refuse(RpcError(JsonRpcErrorCode.INTERNAL_ERROR, f"{call.method} could not be answered"))

    @property
    def in_production(self) -> bool:
        """Whether it is an agent that must not see what trainers see."""
        return self._manager.mode == ServerMode.PRODUCTION

    # --- handshake -------------------------------------------------------------------------------

    def _initialize(self, call: Call) -> None:
        asked = call.params.get("protocolVersion")
        if not isinstance(asked, str):  # an older client that takes any JSON-RPC server for one of MCP
            raise RpcError(JsonRpcErrorCode.INVALID_PARAMS, "initialize needs a protocolVersion")
        self._greeted = True
        self._later(call, self._welcome(asked if asked in REVISIONS else REVISIONS[0]))

    async def _welcome(self, revision: str) -> Message:
        about = await self._manager.describe()
        return {
            "protocolVersion": revision,
            "capabilities": {
                "tools": {"listChanged": True},
                "resources": {"subscribe": True, "listChanged": False},
                "prompts": {"listChanged": False},
            },
            "serverInfo": {"name": about.name, "version": about.version or __version__},
            "instructions": f"{about.description}\n\n{resources.INSTRUCTIONS}",
        }

    # --- tools -----------------------------------------------------------------------------------

    def _list_tools(self, call: Call) -> None:
        self._inquire("tools", {}, self._all_tools, call)

    def _all_tools(self, found: list[dict[str, Any]]) -> Message:
        offered = list(self._tools.tools)
        for tool in map(Tool.model_validate, found):
            if self._tools.is_action(tool.name):
                logger.warning("The tool %r is not offered: an action is called the same", tool.name)
            else:
                offered.append(tool)
        self._output_schemas = {tool.name: tool.output_schema for tool in offered}
        return {"tools": [tool.to_mcp() for tool in offered]}

    def _call_tool(self, call: Call) -> None:
        name, arguments = call.params.get("name"), call.params.get("arguments")
        if not isinstance(name, str) or not isinstance(arguments, dict | None):
            raise RpcError(JsonRpcErrorCode.INVALID_PARAMS, "tools/call needs a name, and arguments by name")
        try:
            action = self._tools.action(name, arguments or {})
            operation = StepOp(action, _timeout(call))
        except InvalidRequestError as error:
            self._failed(call, error)
            return
        began = self._begin() if self._must_begin() else None
        self._submit(call, Request(operation, partial(self._stepped, call, name, began)))

    def _stepped(self, call: Call, name: str, began: list[Reply] | None, reply: Reply) -> None:
        """A step has been answered; `began` holds the answer to the reset before it, if there was one."""
        error = next((answer.error for answer in (*(began or ()), reply) if answer.error is not None), None)
        if error is not None:
            self._failed(call, error)
            return
        format_ = self.session.format
        data = results.data_of(reply, format_)
        made = results.of_step(
            data,
            self._graded(data),
            calls=not self._tools.is_action(name),
            wrapped=_is_wrapped(self._output_schemas.get(name)),
        )
        if began:
            first = results.data_of(began[0], format_)
            made["content"].append(results.note(resources.beginning(first)))
        if data["done"]:
            made["content"].append(results.note(resources.AGAIN if self._again else resources.ENDED))
        self._result(call, made)

    def _graded(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return what a trainer is told of a step; an agent in production only that the episode is over."""
        if self.in_production:
            return {"done": data["done"]}
        return {key: value for key, value in data.items() if key != "observation"}

    def _failed(self, call: Call, error: RequestError) -> None:
        """Answer a call that was refused or failed: for the model to see, unless the session is gone."""
        if error.code in _ENDS or error.code == "CANCELLED":
            call.refuse(error)
        else:
            self._result(call, results.failure(error))

    def _result(self, call: Call, made: dict[str, Any]) -> None:
        if self._greeted:
            call.answer(made)
        elif not made["isError"]:
            call.answer(results.with_old_names(made))
        else:
            why = made["_meta"].get(results.ERROR)
            call.refuse(RpcError(JsonRpcErrorCode.INTERNAL_ERROR, made["content"][0]["text"], why))

    # --- episodes --------------------------------------------------------------------------------

    def _must_begin(self) -> bool:
        session = self.session
        if not self._begins or session.holder is not None or session.allows_step_without_reset:
            return False
        if session.is_being_reset:  # by a call before this one, or by a trainer who did not wait for the answer
            return False
        match session.phase:
            case Phase.CREATING | Phase.READY:
                return True
            case Phase.BROKEN:  # what a trainer has begun is not begun anew behind its back
                return session.last_reset is self._begun
            case Phase.ENDED:
                return self._again
            case _:
                return False

    def _begin(self) -> list[Reply]:
        """Begin an episode before whatever is asked next; the list holds the answer as soon as there is one."""
        answers: list[Reply] = []

        self._begun = ResetOp(**resources.reset_arguments(self._reset))
        self.session.submit(Request(self._begun, answers.append))
        return answers

    # --- resources and prompts -------------------------------------------------------------------

    def _list_resources(self, call: Call) -> None:
        self._later(call, self._resources())

    async def _resources(self) -> Message:
        about = await self._manager.describe()
        return {"resources": resources.listing(about.readme_content is not None, self.in_production)}

    def _read_resource(self, call: Call) -> None:
        uri = self._uri(call)
        if uri == resources.README:
            self._later(call, self._readme())
        elif uri == resources.STATE:
            self._submit(call, Request(StateOp({}), partial(self._read, call, uri)))
        else:
            began = self._begin() if self._must_begin() else ()
            self._submit(call, Request(None, lambda _: self._read_observation(call, began), known=_NOTHING))

    def _read_observation(self, call: Call, began: Sequence[Reply]) -> None:
        shown = began[0] if began else self.session.shown
        if shown is None:
            call.refuse(RpcError(resources.NOT_FOUND, "There is no episode yet: its trainer has to reset it first"))
        else:
            self._read(call, resources.OBSERVATION, shown)

    def _read(self, call: Call, uri: str, reply: Reply) -> None:
        if reply.error is not None:
            call.refuse(reply.error)
            return
        data = results.data_of(reply, self.session.format)
        if uri == resources.OBSERVATION and self.in_production:
            data = {"observation": results.shown(data["observation"]), "done": data["done"]}
        call.answer(resources.contents(uri, data))

    async def _readme(self) -> Message:
        about = await self._manager.describe()
        return resources.page(about.readme_content or "")

    def _subscribe(self, call: Call) -> None:
        uri = self._uri(call)
        if call.method == "resources/subscribe":
            self._subscriptions.add(uri)
        else:
            self._subscriptions.discard(uri)
        call.answer({})

    def _uri(self, call: Call) -> str:
        uri = call.params.get("uri")
        if uri not in resources.URIS or (uri == resources.STATE and self.in_production):
            raise RpcError(resources.NOT_FOUND, f"There is no resource {uri!r}", {"uri": uri})
        return str(uri)

    def _get_prompt(self, call: Call) -> None:
        name, arguments = call.params.get("name"), call.params.get("arguments") or {}
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise RpcError(JsonRpcErrorCode.INVALID_PARAMS, "prompts/get needs a name, and arguments by name")
        self._inquire("prompt", {"name": name, "arguments": arguments}, resources.prompt, call)

    # --- what is under way -----------------------------------------------------------------------

    def _inquire(self, what: str, arguments: dict[str, Any], then: Callable[[Any], Message], call: Call) -> None:
        def told(reply: Reply) -> None:
            if reply.error is not None:
                call.refuse(reply.error)
            else:
                call.answer(then(results.data_of(reply, JSON)))  # an inquiry is answered in JSON always

        self._submit(call, Request(Inquiry(what, arguments), told))

    def _submit(self, call: Call, request: Request) -> None:
        number = call.number
        if number is not None and number in self._under_way:
            raise RpcError(JsonRpcErrorCode.INVALID_REQUEST, f"A request of the id {number!r} is under way already")
        if len(self._under_way) >= MOST_UNDER_WAY:
            raise RpcError(JsonRpcErrorCode.INVALID_REQUEST, f"{MOST_UNDER_WAY} requests are under way already")
        request.progress = self._progress(call)
        request.reply = partial(self._over, call, request.reply)
        if number is not None:
            self._under_way[number] = request
        self.session.submit(request)

    def _over(self, call: Call, answered: OnReply, reply: Reply) -> None:
        if call.number is not None:
            self._under_way.pop(call.number, None)
        self._safely(call, answered, reply)

    def _cancel(self, call: Call) -> None:
        """Stop a step. What only reads is let run to its end: to stop it would cost the episode."""
        number = call.params.get("requestId")
        request = self._under_way.get(number) if isinstance(number, str | int) and number is not True else None
        if request is not None and isinstance(request.operation, StepOp):
            self.session.cancel(request)
        call.answer({})

    def _progress(self, call: Call) -> Callable[[dict[str, Any]], None] | None:
        """Return what tells a call's sender how far it is, if that wants to know."""
        meta = call.params.get("_meta")
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        tell = call.tell or self._notify
        if token is None or tell is None:
            return None
        told = 0.0

        def progressed(report: dict[str, Any]) -> None:
            nonlocal told
            fraction = report.get("fraction")
            told = max(float(fraction), told) if fraction is not None else told + 1e-6  # it has to grow
            total = {"total": 1.0} if fraction is not None else {}
            message = {"message": report["message"]} if report.get("message") else {}
            tell(notification("notifications/progress", progressToken=token, progress=told, **total, **message))

        return progressed

    def _later(self, call: Call, made: Coroutine[Any, Any, Message]) -> None:
        """Answer when a coroutine has made the answer."""

        async def answer() -> None:
            try:
                self._safely(call, call.answer, await made)
            except RequestError as error:
                call.refuse(error)

        task = asyncio.get_running_loop().create_task(answer())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- told without being asked ----------------------------------------------------------------

    def _seen(self, operation: Any, reply: Reply) -> None:
        """A request of the session, whoever's, has been answered."""
        if self._notify is None or not self._greeted or not isinstance(operation, StepOp | ResetOp):
            return
        if getattr(reply, "tools_changed", False):
            self._notify(notification("notifications/tools/list_changed"))
        for uri in sorted(self._subscriptions - {resources.README}):
            self._notify(notification("notifications/resources/updated", uri=uri))


_NOTHING = Reply("", b"")

_ENDS = frozenset(("SESSION_LOST", "SESSION_NOT_FOUND", "CAPACITY_REACHED", "FACTORY_ERROR", "MESSAGE_TOO_LARGE"))
"""Codes of what is no result of a call, but the end of the session or of the request."""


_LONGEST_S = 1e9


def _is_wrapped(schema: Any) -> bool:
    return isinstance(schema, dict) and bool(schema.get(WRAPPED))


def _timeout(call: Call) -> float | None:
    meta = call.params.get("_meta")
    seconds = meta.get(TIMEOUT) if isinstance(meta, dict) else None
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < _LONGEST_S:
        raise InvalidRequestError(f"{TIMEOUT} is a number of seconds above 0, not {seconds!r}")
    return float(seconds)
