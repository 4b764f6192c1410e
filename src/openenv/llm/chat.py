"""One answer of a chat endpoint, read out of its JSON.

Servers differ in what they leave out, so everything but a message is optional. Arguments of a tool call that are no
JSON object are what the model said, not a broken endpoint: the call is kept, with what is wrong about it. Half an
emoji, where a token limit has cut one, has no form in UTF-8 and could not be said again: a sign takes its place.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Reply", "ToolCall", "read_reply", "sayable"]

_HALVES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool that a model asks for.

    Attributes:
        id: What the answer to it must name.
        name: Of the tool.
        arguments: By name; empty if they could not be read.
        problem: What is wrong with the arguments as they were written; None if nothing.
        written: The arguments as they were written.
    """

    id: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None
    written: str = "{}"


@dataclass(frozen=True)
class Reply:
    """What a model said.

    Attributes:
        text: Its words; empty if it only calls tools.
        calls: The tools it calls.
        cut_off: It was stopped by the limit of tokens.
        prompt_tokens: Tokens that were read, as the endpoint counts; 0 if it does not say.
        completion_tokens: Tokens that were written, likewise.
    """

    text: str
    calls: tuple[ToolCall, ...] = ()
    cut_off: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def as_message(self) -> dict[str, Any]:
        """Return it as a message of the conversation it belongs to."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.calls:
            message["tool_calls"] = [
                # Arguments that are no JSON would be refused by some servers, though the model wrote them.
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": "{}" if call.problem else call.written},
                }
                for call in self.calls
            ]
        return message


def read_reply(data: Any) -> Reply:
    """Return the reply in a chat completion.

    Args:
        data: The parsed body of the endpoint's answer.

    Raises:
        ValueError: There is no message in it; says what there is.
    """
    choices = data.get("choices") if isinstance(data, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise ValueError(f"no message in {json.dumps(data)[:200]}")
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise ValueError(f"tool_calls is no list: {json.dumps(calls)[:200]}")
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Reply(
        sayable(_text(message.get("content"))),
        tuple(_call(number, call) for number, call in enumerate(calls)),
        choice.get("finish_reason") == "length",
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
    )


def sayable(text: str) -> str:
    """Return a text as UTF-8 can have it: halves of surrogate pairs become U+FFFD."""
    return _HALVES.sub("\ufffd", text)


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    raise ValueError(f"content is neither text nor parts: {json.dumps(content)[:200]}")


def _call(number: int, call: Any) -> ToolCall:
    function = call.get("function") if isinstance(call, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str):
        raise ValueError(f"a tool call without a name: {json.dumps(call)[:200]}")
    given = function.get("arguments")
    written = given if isinstance(given, str) else json.dumps({} if given is None else given, ensure_ascii=False)
    written = sayable(written)
    arguments, problem = _arguments(written)
    return ToolCall(sayable(str(call.get("id") or f"call_{number}")), sayable(name), arguments, problem, written)


def _arguments(written: str) -> tuple[dict[str, Any], str | None]:
    try:
        value = json.loads(written or "{}")
    except (ValueError, RecursionError) as error:
        return {}, f"the arguments are not JSON ({error})"
    if not isinstance(value, dict):
        return {}, f"the arguments are a JSON {type(value).__name__}, not an object"
    return value, None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
