"""What a step came to, as the result of the tool that was called.

The observation is what the agent sees: as structured content, and as text for models. How the step was graded is
for trainers, in `_meta`, and not told in production.
"""

from __future__ import annotations

from typing import Any, TypeGuard

from pydantic_core import from_json, to_json

from openenv.errors import RequestError
from openenv.protocol.formats import Format, unpack
from openenv.server.host import Reply
from openenv.values import encode

RESULT = "openenv/result"
"""Key in `_meta` of what a step came to: its `ResultData` without the observation."""

ERROR = "openenv/error"
"""Key in `_meta` of why a call failed."""

NOTE = "openenv/note"
"""Key in the `_meta` of a block that is not the tool's, but told beside its result."""

MOST_TEXT = 1024 * 1024
"""Characters of a result that are said twice, as structured content and as text."""

_PICTURES = (("iVBORw0KGgo", "image/png"), ("/9j/", "image/jpeg"), ("R0lGOD", "image/gif"), ("UklGR", "image/webp"))

Block = dict[str, Any]


def data_of(reply: Reply, format_: Format) -> Any:
    """Return the data of an answer as JSON has it."""
    return encode(unpack(reply.data)) if format_.binary else from_json(reply.data)


def shown(observation: Any) -> Any:
    """Return what an agent is shown of an observation; its metadata is for trainers."""
    if not isinstance(observation, dict):
        return observation
    return {name: value for name, value in observation.items() if name != "metadata"}


def text_block(text: str) -> Block:
    """Return a block of text."""
    return {"type": "text", "text": text}


def note(text: str) -> Block:
    """Return a block of text beside the result of a tool."""
    return {**text_block(text), "_meta": {NOTE: True}}


def failure(error: RequestError) -> dict[str, Any]:
    """Return the result of a call that was refused or failed, for the model to see."""
    return {"content": [text_block(error.message)], "isError": True, "_meta": {ERROR: error.to_wire()}}


def of_step(data: dict[str, Any], graded: dict[str, Any], *, calls: bool, wrapped: bool) -> dict[str, Any]:
    """Return the result of a step.

    Args:
        data: The step's `ResultData`.
        graded: What goes into `_meta`.
        calls: The step was the call of one of the environment's own tools; else its observation is the result.
        wrapped: The tool's results are wrapped: its output schema is an object of one property, `result`.
    """
    observation = data["observation"]
    if calls and isinstance(observation, dict) and "tool_name" in observation and observation.keys() & _OF_CALLS:
        made = _of_call(observation, wrapped)
    else:
        made = _of_observation(observation)
    made["_meta"] = {RESULT: graded, **made.get("_meta", {})}
    return made


_OF_CALLS = {"result", "error"}


def _of_call(observation: dict[str, Any], wrapped: bool) -> dict[str, Any]:
    error, value = observation.get("error"), observation.get("result")
    if error:
        if not isinstance(error, dict) or not isinstance(error.get("message"), str):  # the author's own form
            text = error if isinstance(error, str) else to_json(error).decode()
            error = {"error_type": "execution_error", "message": text}
        return {"content": [text_block(error["message"])], "isError": True, "_meta": {ERROR: error}}
    if _is_mcp_result(value):
        return _of_mcp_result(value)
    structured = value if isinstance(value, dict) and not wrapped else {"result": value}
    text = value if isinstance(value, str) else to_json(value).decode()
    return {"content": _blocks(text, {}), "structuredContent": structured, "isError": False}


def _is_mcp_result(value: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether a tool of a FastMCP server has answered, whose result is told as that server tells it."""
    if not isinstance(value, dict) or not {"content", "data", "is_error"} <= value.keys():
        return False
    content = value["content"]
    return isinstance(content, list) and all(isinstance(one, dict) and "type" in one for one in content)


def _of_mcp_result(value: dict[str, Any]) -> dict[str, Any]:
    content = [{k: v for k, v in block.items() if v is not None} for block in value["content"]]
    made = {"content": content, "isError": bool(value["is_error"])}
    if isinstance(value.get("structured_content"), dict):
        made["structuredContent"] = value["structured_content"]
    return made


def _of_observation(observation: Any) -> dict[str, Any]:
    if not isinstance(observation, dict):
        return {"content": [text_block(to_json(observation).decode())], "isError": False}
    structured = shown(observation)
    pictures = {name: kind for name, value in structured.items() if (kind := _picture(value))}
    said = {name: value for name, value in structured.items() if name not in pictures}
    blocks = _blocks(to_json(said).decode(), {structured[name]: kind for name, kind in pictures.items()})
    return {"content": blocks, "structuredContent": structured, "isError": False}


def _blocks(text: str, pictures: dict[str, str]) -> list[Block]:
    if len(text) > MOST_TEXT:
        text = f"{text[:1000]}... ({len(text):,} characters; the whole is in the structured content)"
    images = [{"type": "image", "data": data, "mimeType": kind} for data, kind in pictures.items()]
    return [text_block(text), *images]


def _picture(value: Any) -> str | None:
    """Return the type of a picture; None if it is none."""
    if not isinstance(value, str) or len(value) < 64:
        return None
    return next((kind for start, kind in _PICTURES if value.startswith(start)), None)


def with_old_names(made: dict[str, Any]) -> dict[str, Any]:
    """Return a result with the names that clients read which do not `initialize`."""
    structured = made.get("structuredContent")
    alone = isinstance(structured, dict) and structured.keys() == {"result"}
    return {
        **made,
        "structured_content": structured,
        "data": structured["result"] if alone and isinstance(structured, dict) else structured,
        "is_error": made["isError"],
        "meta": None,
    }
