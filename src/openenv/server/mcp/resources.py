"""What an MCP client can read beside calling tools, and the words in which it is told of episodes."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

from openenv.server.mcp.results import shown

OBSERVATION = "openenv://observation"
STATE = "openenv://state"
README = "openenv://readme"
URIS = frozenset((OBSERVATION, STATE, README))

NOT_FOUND = -32002

INSTRUCTIONS = (
    "Each tool call is one step of an episode; the episode begins with the first call. "
    f"Read {OBSERVATION} to see where it stands."
)

ENDED = "The episode is over with this step. Further calls are refused; connect anew for another episode."
AGAIN = "The episode is over with this step. The next call begins another one."


def beginning(first: dict[str, Any]) -> str:
    """Return what is said of an episode that began with a call.

    Args:
        first: The `ResultData` of its reset.
    """
    notices = (first.get("info") or {}).get("warnings", ())
    return " ".join([f"An episode began with this call: {to_json(shown(first['observation'])).decode()}", *notices])


def listing(readme: bool, production: bool) -> list[dict[str, Any]]:
    """Return the resources there are."""
    found = [_resource(OBSERVATION, "observation", "What the last step, or the reset, showed", "application/json")]
    if not production:
        found.append(_resource(STATE, "state", "Where the episode stands: its id and steps", "application/json"))
    if readme:
        found.append(_resource(README, "readme", "What the environment is", "text/markdown"))
    return found


def _resource(uri: str, name: str, description: str, kind: str) -> dict[str, Any]:
    return {"uri": uri, "name": name, "description": description, "mimeType": kind}


def contents(uri: str, data: Any) -> dict[str, Any]:
    """Return the answer to who reads a resource of plain values."""
    return {"contents": [{"uri": uri, "mimeType": "application/json", "text": to_json(data).decode()}]}


def page(text: str) -> dict[str, Any]:
    """Return the answer to who reads the README."""
    return {"contents": [{"uri": README, "mimeType": "text/markdown", "text": text}]}


def prompt(found: Any) -> dict[str, Any]:
    """Return a prompt of the environment as MCP has it: one text of the user's, or a list of messages."""
    messages = [{"role": "user", "content": found}] if isinstance(found, str) else found
    return {"messages": [{**message, "content": _content(message["content"])} for message in messages]}


def _content(content: Any) -> Any:
    return {"type": "text", "text": content} if isinstance(content, str) else content


def reset_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a session's reset, given those of the environment's."""
    rest = {name: value for name, value in given.items() if name not in ("seed", "episode_id")}
    return {"seed": given.get("seed"), "episode_id": given.get("episode_id"), "options": rest or None}
