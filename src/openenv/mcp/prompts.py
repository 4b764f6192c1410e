"""The prompts that one environment has: listed, and made from arguments."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from openenv.errors import ExecutionError, InvalidRequestError
from openenv.mcp.functions import Declared, declared
from openenv.mcp.signatures import mistakes
from openenv.mcp.types import Prompt


class Prompts:
    """The prompts of an environment that are Python functions.

    Args:
        owner: Its `@prompt` methods are the prompts.
    """

    def __init__(self, owner: Any) -> None:
        self._owner = owner
        self._known = [one for one in declared(type(owner)) if one.function.mark.kind == "prompt"]

    def listed(self, mode: str = "simulation") -> list[Prompt]:
        """Return what is told of the prompts to be had in a mode."""
        return [one.function.prompt for one in self._in(mode)]

    def has(self, name: str, mode: str = "simulation") -> bool:
        """Return whether there is a prompt of a name."""
        return any(one.function.mark.name == name for one in self._in(mode))

    async def get(
        self, name: str, arguments: Mapping[str, Any] | None = None, mode: str = "simulation"
    ) -> list[dict[str, Any]]:
        """Return the messages of a prompt, in MCP's form.

        Raises:
            InvalidRequestError: There is no such prompt, or the arguments do not fit.
            ExecutionError: It returned what is neither a text nor messages.
        """
        one = next((one for one in self._in(mode) if one.function.mark.name == name), None)
        if one is None:
            names = ", ".join(one.function.mark.name for one in self._in(mode)) or "none"
            raise InvalidRequestError(f"Unknown prompt: {name!r}. The prompts are: {names}")
        try:
            given = one.function.signature.validate(dict(arguments or {}))
        except ValidationError as error:
            raise InvalidRequestError(f"Wrong arguments for prompt {name!r}: {mistakes(error)}") from error
        made = one.bind(self._owner)(**given)
        return messages(name, await made if inspect.isawaitable(made) else made)

    def _in(self, mode: str) -> Iterator[Declared]:
        return (one for one in self._known if one.function.mark.is_in(mode))


def messages(name: str, made: Any) -> list[dict[str, Any]]:
    """Return what a prompt returned as messages in MCP's form.

    Raises:
        ExecutionError: It is neither a text nor messages.
    """
    told = [{"role": "user", "content": made}] if isinstance(made, str) else made
    if not isinstance(told, list | tuple) or not all(
        isinstance(one, Mapping) and one.get("role") in ("user", "assistant") and "content" in one for one in told
    ):
        raise ExecutionError(
            f"The prompt {name!r} returned {type(made).__name__}; return a text, or a list of messages "
            '{"role": "user" or "assistant", "content": ...}'
        )
    return [{"role": one["role"], "content": _content(one["content"])} for one in told]


def _content(content: Any) -> Any:
    return {"type": "text", "text": content} if isinstance(content, str) else content
