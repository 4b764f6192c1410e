"""A double of an OpenAI-compatible chat endpoint: a function says what the model says, and it can misbehave.

It is an ASGI application with nothing behind it. `say(body)` returns words, a call of a tool (`Call`), several of
them, or a `Mishap`, which is what goes wrong instead.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

MODEL = "scripted"


@dataclass(frozen=True)
class Call:
    """A call of a tool; `arguments` may be text, which is sent as it is."""

    name: str
    arguments: dict[str, Any] | str = field(default_factory=dict)


@dataclass(frozen=True)
class Mishap:
    """An answer that is none: a status and a body, after some seconds; it may come byte by byte."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    between_s: float = 0.0


Said = str | Call | Sequence[Call] | Mishap
Say = Callable[[dict[str, Any]], Said]


class ChatEndpointDouble:
    """The application.

    Args:
        say: What the model says to the body of a request.
        models: Names that `GET /v1/models` lists.

    Attributes:
        requests: The bodies of all requests for a completion, as they came.
        keys: What each had in its `Authorization` header.
        busiest: The most requests that were there at once.
    """

    def __init__(self, say: Say, models: Sequence[str] = (MODEL,)) -> None:
        self._say = say
        self._models = models
        self._now = 0
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.busiest = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                await send({"type": (await receive())["type"] + ".complete"})
            return
        content, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            content, more = content + message["body"], message["more_body"]
        self._now += 1
        self.busiest = max(self.busiest, self._now)
        try:
            answer = self._answer(scope, content)
            await asyncio.sleep(answer.after_s)
        finally:
            self._now -= 1
        headers = {"content-type": "application/json", **answer.headers}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        if answer.between_s:
            for byte in answer.body:
                await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
                await asyncio.sleep(answer.between_s)
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "http.response.body", "body": answer.body})

    def _answer(self, scope: dict[str, Any], content: bytes) -> Mishap:
        if scope["path"] == "/v1/models":
            return _json({"data": [{"id": name, "object": "model"} for name in self._models]})
        if scope["path"] != "/v1/chat/completions":
            return Mishap(404, b'{"error": {"message": "no such path"}}')
        body = json.loads(content)
        self.requests.append(body)
        self.keys.append(dict(scope["headers"]).get(b"authorization", b"").decode() or None)
        said = self._say(body)
        if isinstance(said, Mishap):
            return said
        whole = completion(said, len(self.requests))
        return _streamed(whole) if body.get("stream") else _json(whole)


def completion(said: str | Call | Sequence[Call], number: int = 1) -> dict[str, Any]:
    """Return what an endpoint answers if its model says something."""
    calls = [said] if isinstance(said, Call) else [] if isinstance(said, str) else list(said)
    message: dict[str, Any] = {"role": "assistant", "content": said if isinstance(said, str) else None}
    if calls:
        message["tool_calls"] = [
            {
                "id": f"call_{number}_{place}",
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments),
                },
            }
            for place, call in enumerate(calls)
        ]
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    }


def _streamed(whole: dict[str, Any]) -> Mishap:
    """Return the same as events: all of the message, then why it ends, then what it took."""
    choice = whole["choices"][0]
    calls = [{**call, "index": index} for index, call in enumerate(choice["message"].get("tool_calls", ()))]
    delta = {**choice["message"], **({"tool_calls": calls} if calls else {})}
    head = {**whole, "object": "chat.completion.chunk", "usage": None}
    chunks = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]},
        {**head, "choices": [], "usage": whole["usage"]},
    ]
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    return Mishap(200, body, {"content-type": "text/event-stream"})


def _json(data: Any) -> Mishap:
    return Mishap(200, json.dumps(data).encode())
