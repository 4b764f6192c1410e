"""The results of `tools/call` as the data of an observation frame, which every client can read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openenv import values
from openenv.client.tool_results import text_of, unwrapped
from openenv.errors import InvalidReplyError, RequestError

RESULT, ERROR = "openenv/result", "openenv/error"
"""Keys in the `_meta` of a result: how the step was graded, and why it failed."""

NOTE = "openenv/note"
"""Key in the `_meta` of a block that the server tells beside the tool's own, as that an episode began."""


def step_data(name: str, result: Any, is_observation: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the data of the observation frame that the result of a call stands for.

    Args:
        name: Of the tool.
        result: What the server answered.
        is_observation: Whether what was returned is an observation of the client's own type.

    Raises:
        RequestError: The call was refused, or failed without a step being taken.
        InvalidReplyError: It is no result of a call.
    """
    if not isinstance(result, dict) or not _is_content(result.get("content")):
        raise InvalidReplyError(f"The server's answer is no result of a tool: {str(result)[:200]}")
    meta = _object(result.get("_meta"))
    result = {**result, "content": [b for b in result["content"] if NOTE not in _object(b.get("_meta"))]}
    observation: dict[str, Any] = {"tool_name": name, "result": None, "error": None}
    if result.get("isError") or result.get("is_error"):
        observation["error"] = _failure(meta.get(ERROR), result["content"])
    else:
        observation["result"] = value = _value(result)
        if isinstance(value, dict) and is_observation(value):
            observation = value
    return {"reward": None, "done": False, **_object(meta.get(RESULT)), "observation": observation}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_content(content: Any) -> bool:
    return isinstance(content, list) and all(isinstance(block, dict) for block in content)


def _failure(why: Any, content: list[dict[str, Any]]) -> dict[str, Any]:
    if isinstance(why, dict) and "code" in why:
        raise RequestError.from_wire(why)
    if isinstance(why, dict) and "error_type" in why:
        return why
    return {"error_type": "execution_error", "message": text_of(content)}


def _value(result: dict[str, Any]) -> Any:
    """Return what the tool returned.

    What is no object is wrapped in one. The text beside it is that of the value, and so tells it from an object
    that has nothing but a `result`.
    """
    content, structured = result["content"], result.get("structuredContent", result.get("structured_content"))
    if isinstance(structured, dict) and structured.keys() == {"result"} and not _says(content, structured):
        return structured["result"]
    return unwrapped(result.get("data"), structured, content)


def _says(content: list[dict[str, Any]], value: Any) -> bool:
    try:
        return bool(content) and bool(values.loads(str(content[0].get("text")).encode()) == value)
    except ValueError:
        return False
