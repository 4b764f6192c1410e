"""JSON-RPC 2.0 as MCP speaks it: what a message is, and what is answered to one that is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json, to_json

from openenv.errors import RequestError, SerializationError
from openenv.mcp.types import JsonRpcErrorCode
from openenv.values import refuse_non_finite_tree

REVISIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""Revisions of the protocol that are spoken, newest first: those whose clients open a session."""

UNSUPPORTED_REVISION = -32022
CANCELLED = -32800

Message = dict[str, Any]
Send = Callable[[Message], None]


class RpcError(Exception):
    """A request that is answered by a JSON-RPC error.

    Attributes:
        code: Of JSON-RPC.
        message: What happened and what to do.
        data: More of it; `code` in it is one of the codes of `openenv.protocol.codes`.
    """

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = int(code)
        self.message = message
        self.data = data

    @staticmethod
    def of(error: RequestError) -> RpcError:
        """Return how an error of a session is told."""
        code = CANCELLED if error.code == "CANCELLED" else JsonRpcErrorCode.SERVER_ERROR
        return RpcError(code, error.message, error.to_wire())


def result(number: Any, value: Any) -> Message:
    """Return the answer to a request."""
    return {"jsonrpc": "2.0", "id": number, "result": value}


def refusal(number: Any, error: RpcError) -> Message:
    """Return the answer to a request that failed."""
    told = {"code": error.code, "message": error.message, "data": error.data}
    return {"jsonrpc": "2.0", "id": number, "error": told}


def notification(method: str, **params: Any) -> Message:
    """Return a message that is not answered."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def read(raw: bytes | str) -> Any:
    """Return the message, or list of messages, of a text.

    Raises:
        RpcError: It is not JSON.
    """
    try:
        message = from_json(raw, allow_inf_nan=False)
        refuse_non_finite_tree(message, what="message")  # 1e999 is JSON
    except (ValueError, SerializationError) as error:
        raise RpcError(JsonRpcErrorCode.PARSE_ERROR, f"Not valid JSON: {error}") from None
    return message


def written(message: Message | list[Message]) -> bytes:
    """Return a message as text."""
    return to_json(message)


@dataclass(slots=True)
class Call:
    """A request, or a notification, which has no number and gets no answer.

    Attributes:
        method: What is asked.
        params: How.
        number: The `id` that its answer carries.
        wanted: It gets an answer: it is no notification.
        send: Sends the answer.
        tell: Sends what is to be told before the answer; None if there is no way.
    """

    method: str
    params: Message
    number: str | int | None
    send: Send
    tell: Send | None = None
    wanted: bool = True
    answered: bool = field(default=False, init=False)

    @staticmethod
    def of(message: Any, send: Send, tell: Send | None = None) -> Call | None:
        """Return what a message asks; None if it asks nothing: it is an answer to something.

        Raises:
            RpcError: It is no message.
        """
        if not isinstance(message, dict):
            raise RpcError(JsonRpcErrorCode.INVALID_REQUEST, "A message is a JSON object")
        if message.get("jsonrpc") != "2.0":
            raise RpcError(JsonRpcErrorCode.INVALID_REQUEST, 'A message has "jsonrpc": "2.0"')
        method, params, number = message.get("method"), message.get("params"), message.get("id")
        if method is None and ("result" in message or "error" in message):
            return None
        if not isinstance(method, str):
            raise RpcError(JsonRpcErrorCode.INVALID_REQUEST, "A request has a method")
        if not isinstance(number, str | int | None) or isinstance(number, bool):
            raise RpcError(JsonRpcErrorCode.INVALID_REQUEST, "The id of a request is a text or an integer")
        if not isinstance(params, dict | None):
            raise RpcError(JsonRpcErrorCode.INVALID_PARAMS, "The params of a request are an object")
        return Call(method, params or {}, number, send, tell, "id" in message)

    def answer(self, value: Any) -> None:
        """Send the answer."""
        self._finish(result(self.number, value))

    def refuse(self, error: RpcError | RequestError) -> None:
        """Send why there is none."""
        self._finish(refusal(self.number, RpcError.of(error) if isinstance(error, RequestError) else error))

    def _finish(self, message: Message) -> None:
        if not self.answered:
            self.answered = True
            if self.wanted:
                self.send(message)


def number_of(message: Any) -> str | int | None:
    """Return the id of whatever was sent, as far as it has one."""
    number = message.get("id") if isinstance(message, dict) else None
    return number if isinstance(number, str | int) and not isinstance(number, bool) else None
