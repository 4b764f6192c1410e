"""What a tab of one's own plays by: `WebInterfaceManager`, in the session of whoever looks at the tab."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from openenv import values
from openenv.models import EnvironmentMetadata
from openenv.protocol import messages as m
from openenv.server.dispatch import ask
from openenv.server.host import Reply
from openenv.server.web.visits import Visit, Visits


class WebInterfaceManager:
    """Resets and steps for the visitor that a handler of Gradio runs for.

    Args:
        visits: All visitors.
        metadata: What the environment says about itself.
        visitor: Tells who is meant: the id of their visit, and what they are called if it is none.

    Attributes:
        metadata: What the environment says about itself.
        action_cls: The type of its actions.
        observation_cls: The type of its observations.
    """

    def __init__(
        self, visits: Visits, metadata: EnvironmentMetadata, visitor: Callable[[], tuple[str | None, str]]
    ) -> None:
        self.metadata = metadata
        self.action_cls = visits.context.codec.action
        self.observation_cls = visits.context.codec.observation
        self._visits = visits
        self._visitor = visitor

    async def reset_environment(self, reset_kwargs: dict[str, Any] | None = None) -> dict[str, Any]:
        """Begin an episode; return `observation`, `reward` and `done`.

        Args:
            reset_kwargs: What the reset is given by name.

        Raises:
            RequestError: It was refused, or failed; the message says why.
        """
        return await self._asked("reset", reset_kwargs or {})

    async def step_environment(self, action_data: dict[str, Any]) -> dict[str, Any]:
        """Take a step; return `observation`, `reward` and `done`.

        Args:
            action_data: The action, as JSON has it.

        Raises:
            RequestError: It was refused, or failed; the message says why.
        """
        return await self._asked("step", action_data)

    def get_state(self) -> dict[str, Any]:
        """Return the state after the visitor's last reset or step."""
        state = self._visit().state
        return dict(values.loads(bytes(state))) if state is not None else {"episode_id": None, "step_count": 0}

    def _visit(self) -> Visit:
        return self._visits.of(*self._visitor())

    async def _asked(self, verb: str, data: dict[str, Any]) -> dict[str, Any]:
        message = self._visits.context.codec.decode(values.dumps({"type": verb, "data": data}))
        visitor = self._visitor()
        loop = self._visits.loop
        asking = self._on_loop(visitor, message, values.dumps(data))
        if loop is None or loop is asyncio.get_running_loop():
            return await asking
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asking, loop))

    async def _on_loop(self, visitor: tuple[str | None, str], message: Any, sent: bytes) -> dict[str, Any]:
        visit = self._visits.of(*visitor)
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        visit.ask(message, sent, lambda reply: None if answered.done() else answered.set_result(reply))
        reply = await answered
        if reply.error is not None:
            raise reply.error
        if visit.session is not None:
            # The visit has asked for it before, so it knows the state when this is answered.
            await ask(visit.session, m.WSStateMessage(type="state"))
        return dict(values.loads(reply.data))


def action_fields(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the fields of an action as builders of tabs are told them.

    Args:
        schema: The JSON Schema of the action; of a union the first member is meant.
    """
    definitions = schema.get("$defs", {})
    whole = _plain(schema, definitions)
    required = set(whole.get("required", ()))
    fields = []
    for name, given in whole.get("properties", {}).items():
        member = _plain(given, definitions)
        if name == "metadata" or "const" in member:
            continue
        fields.append(
            {
                "name": name,
                "type": _kind(name, member),
                "required": name in required,
                "description": member.get("description", ""),
                "default_value": member.get("default"),
                "choices": member.get("enum"),
                "min_value": member.get("minimum"),
                "max_value": member.get("maximum"),
                "min_length": member.get("minLength"),
                "max_length": member.get("maxLength"),
                "placeholder": member.get("description", ""),
                "help": member.get("description", ""),
            }
        )
    return fields


_KINDS = {"integer": "number", "number": "number", "boolean": "checkbox", "array": "json", "object": "json"}
_LONG = ("code", "script", "content", "text", "prompt", "query")


def _kind(name: str, member: dict[str, Any]) -> str:
    if "enum" in member:
        return "select"
    if name == "tokens":
        return "tensor"
    return _KINDS.get(member.get("type", ""), "textarea" if name in _LONG else "text")


def _plain(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without references, of a union the first member that is something."""
    while True:
        members = schema.get("anyOf") or schema.get("oneOf")
        if "$ref" in schema:
            schema = {**definitions.get(schema["$ref"].rpartition("/")[2], {}), **_beside(schema, "$ref")}
        elif members:
            first: dict[str, Any] = next((each for each in members if each.get("type") != "null"), {})
            schema = {**_beside(schema, "anyOf", "oneOf", "discriminator"), **first}
        else:
            return schema


def _beside(schema: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in keys}
