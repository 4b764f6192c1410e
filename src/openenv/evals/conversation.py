"""An episode as a conversation with a model: what the environment shows is what is said to it.

If the endpoint takes tools, the model acts by calling those of the environment, which every environment has: its
action types, if nothing else. If it refuses them, the model acts by words, which `openenv.rollouts.action_of`
understands. What is no action is told to the model and takes one of its turns; it is not an error of the run.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from openenv.errors import ConfigurationError, EndpointError
from openenv.evals.results import EpisodeResult
from openenv.evals.runs import Task
from openenv.llm import ChatEndpoint, Reply, ToolCall
from openenv.mcp.types import Tool
from openenv.outcomes import Status
from openenv.rollouts import Episode, Episodes, Turn, action_of, fields_of, takes_tool_calls, text_of

__all__ = ["Conversation", "instructions"]

_log = logging.getLogger(__name__)

_TOOLS_UNKNOWN = (400, 404, 405, 415, 422)
"""What endpoints answer that do not take tools. Others fail at them, which only their words tell from an outage."""
_OF_TOOLS = re.compile(r"HTTP 5\d\d: .*(tool|function)", re.IGNORECASE)


@dataclass
class _Talk:
    """One episode as it is played.

    Attributes:
        offered: The tools as they are offered to the model; none if it acts by words. The same to the end, since
            what has been said speaks of them.
    """

    task: Task
    episode: Episode
    tools: list[Tool]
    offered: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    invalid: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Conversation:
    """A model that plays episodes.

    Args:
        model: Behind its endpoint.
        episodes: Where the episodes come from.
        schema: JSON Schema of the environment's actions.
        about: What the environment is, in words; may be empty.
        max_turns: Replies of the model after which an episode is cut off.
        tools: True to have it call tools, False to have it act by words, None for tools if the endpoint takes them.
        prompt: Said to it instead of `instructions`.
        overhear: Told of each episode as it ends: what came of it, and all messages.
    """

    def __init__(
        self,
        model: ChatEndpoint,
        episodes: Episodes,
        schema: Mapping[str, Any],
        *,
        about: str = "",
        max_turns: int = 32,
        tools: bool | None = None,
        prompt: str | None = None,
        overhear: Callable[[EpisodeResult, list[dict[str, Any]]], None] | None = None,
    ) -> None:
        self._model = model
        self._episodes = episodes
        self._schema = schema
        self._about = about
        self._max_turns = max_turns
        self._tools = tools
        self._taken: bool | None = None  # whether the endpoint takes tools, once that is known
        self._prompt = prompt
        self._overhear = overhear

    @property
    def uses_tools(self) -> bool:
        """Whether the model calls tools, as far as is known."""
        return self._tools is not False and self._taken is not False

    async def play(self, task: Task) -> EpisodeResult:
        """Play one episode; see `Player`."""
        began = time.monotonic()
        episode, reset = self._episodes.begin(**task.reset)
        talk = _Talk(task, episode, [])
        try:
            first = await asyncio.wrap_future(reset)
            result = self._result(talk, first) if first.done else await self._played(talk, first)
        finally:
            await asyncio.shield(asyncio.wrap_future(episode.end()))
        result = replace(result, seconds=round(time.monotonic() - began, 3))
        if self._overhear is not None:
            self._overhear(result, talk.messages)
        return result

    async def _played(self, talk: _Talk, turn: Turn) -> EpisodeResult:
        talk.tools = await asyncio.wrap_future(talk.episode.tools())
        if talk.episode.fault:
            return self._broken(talk)
        if self._tools and not talk.tools:
            raise ConfigurationError(f"{talk.task.environment} has no tools that could be called")
        seen = text_of(turn.observation)
        try:
            for _ in range(self._max_turns):
                reply = await self._reply(talk, seen)
                talk.messages.append(reply.as_message())
                turn = await self._act(talk, reply)
                if turn.done:
                    return self._result(talk, turn)
        except EndpointError as error:
            if error.code == "CONTEXT_FULL":
                return self._cut_off(talk, "context_full", error.message)
            return self._told(talk, Status.INFRA_FAULT, error.code.lower(), error.message)
        return self._cut_off(talk, "max_turns", f"not over after {self._max_turns} replies of the model")

    # --- what the model says ---------------------------------------------------------------------

    async def _reply(self, talk: _Talk, seen: str) -> Reply:
        """Return what the model says; the first replies find out whether its endpoint takes tools."""
        if talk.messages:
            return self._counted(talk, await self._model.complete(talk.messages, talk.offered))
        talk.offered = self._to_offer(talk)
        talk.messages = self._beginning(talk, seen)
        try:
            reply = await self._model.complete(talk.messages, talk.offered)
        except EndpointError as error:
            if not talk.offered or not self._refuses_tools(error):
                raise
            if self._taken is None:
                _log.warning("%s; going on without tools", error.message)
            talk.offered = []
            talk.messages = self._beginning(talk, seen)
            reply = await self._model.complete(talk.messages)
            self._taken = self._taken or False  # another episode may have found out meanwhile that it does
        else:
            if talk.offered:
                self._taken = True
        return self._counted(talk, reply)

    def _refuses_tools(self, error: EndpointError) -> bool:
        """Return whether an error means that the endpoint takes no tools. One that has taken some only fails."""
        if self._tools or self._taken or error.code == "CONTEXT_FULL":
            return False
        return error.status in _TOOLS_UNKNOWN or _OF_TOOLS.search(error.message) is not None

    def _counted(self, talk: _Talk, reply: Reply) -> Reply:
        talk.prompt_tokens += reply.prompt_tokens
        talk.completion_tokens += reply.completion_tokens
        return reply

    def _to_offer(self, talk: _Talk) -> list[dict[str, Any]]:
        if not self.uses_tools:
            return []
        try:
            return [tool.to_openai() for tool in talk.tools]
        except ConfigurationError as error:  # a name that the API does not take
            if self._tools:
                raise
            _log.warning("%s; going on without tools", error.message)
            self._taken = self._taken or False
            return []

    def _beginning(self, talk: _Talk, seen: str) -> list[dict[str, Any]]:
        said = self._prompt or instructions(
            self._schema, talk.tools, by_tools=bool(talk.offered), about=self._about
        )
        return [{"role": "system", "content": said}, {"role": "user", "content": seen or "Begin."}]

    # --- what comes of it ------------------------------------------------------------------------

    async def _act(self, talk: _Talk, reply: Reply) -> Turn:
        """Do what the model says, and append what came of it to its messages."""
        if not reply.calls:
            turn = await self._step(talk, reply.text)
            talk.messages.append({"role": "user", "content": self._said(talk, turn)})
            return turn
        turn = Turn()
        for call in reply.calls:
            if not turn.done:
                turn = await self._call(talk, call)
            talk.messages.append({"role": "tool", "tool_call_id": call.id, "content": self._said(talk, turn)})
        return turn

    async def _call(self, talk: _Talk, call: ToolCall) -> Turn:
        if call.problem is not None:
            return _refused(f"The call of {call.name} was not made: {call.problem}")
        return await asyncio.wrap_future(talk.episode.call_tool(call.name, call.arguments))

    async def _step(self, talk: _Talk, text: str) -> Turn:
        try:
            if talk.offered and "{" not in text:
                raise ValueError(f"Call one of the tools: {', '.join(tool.name for tool in talk.tools)}")
            action = action_of(text, self._schema)
        except ValueError as error:
            return _refused(str(error))
        return await asyncio.wrap_future(talk.episode.step(action))

    @staticmethod
    def _said(talk: _Talk, turn: Turn) -> str:
        talk.invalid += bool(turn.error) and not turn.done
        return turn.said or "(nothing)"

    # --- what the episode comes to ---------------------------------------------------------------

    def _result(self, talk: _Talk, turn: Turn) -> EpisodeResult:
        if talk.episode.fault:
            return self._broken(talk)
        status, cause = EpisodeResult.ended(turn.outcome)
        return self._told(talk, Status(status), cause, turn.error)

    def _broken(self, talk: _Talk) -> EpisodeResult:
        return self._told(talk, Status.INFRA_FAULT, talk.episode.outcome.cause.value, talk.episode.fault)

    def _cut_off(self, talk: _Talk, cause: str, detail: str) -> EpisodeResult:
        return self._told(talk, Status.TRUNCATED, cause, detail)

    @staticmethod
    def _told(talk: _Talk, status: Status, cause: str, detail: str) -> EpisodeResult:
        return EpisodeResult(
            talk.task.environment,
            talk.task.seed,
            talk.task.sample,
            reward=None if status is Status.INFRA_FAULT else talk.episode.reward,
            status=status.value,
            cause=cause,
            detail=detail,
            turns=talk.episode.steps,
            invalid=talk.invalid,
            prompt_tokens=talk.prompt_tokens,
            completion_tokens=talk.completion_tokens,
        )


def instructions(schema: Mapping[str, Any], tools: list[Tool], *, by_tools: bool, about: str = "") -> str:
    """Return what a model is told before an episode.

    Args:
        schema: JSON Schema of the actions.
        tools: The tools there are.
        by_tools: Whether it acts by calling them.
        about: What the environment is, in words.
    """
    said = ["You act in an environment, one action at a time, until the episode is over.", about]
    if by_tools:
        said.append("Each of your actions is a call of a tool. Call one tool in each of your answers.")
        return "\n\n".join(filter(None, said))
    fields = fields_of(schema)
    if len(fields) == 1 and next(iter(fields.values())).get("type") == "string" and "enum" not in str(fields):
        name, only = next(iter(fields.items()))
        said.append(f"Answer with your action and nothing else: {only.get('description') or name}")
    else:
        plain = {key: value for key, value in schema.items() if key != "title"}
        if fields:
            plain["properties"] = fields
        said.append(
            f"Answer with your action and nothing else, as a JSON object of this schema:\n{json.dumps(plain)}"
        )
    if takes_tool_calls(schema):
        listed = [{"name": t.name, "description": t.description, "arguments": t.input_schema} for t in tools]
        said.append(f"The tools there are:\n{json.dumps(listed)}")
    return "\n\n".join(filter(None, said))


def _refused(message: str) -> Turn:
    return Turn(error=message)
