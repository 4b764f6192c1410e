"""Policies without a model: those that come with an environment, and chance."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from openenv.client import EnvClient
from openenv.errors import OpenEnvError
from openenv.evals.results import EpisodeResult
from openenv.evals.runs import Task
from openenv.models import StepResult
from openenv.outcomes import Outcome, Status
from openenv.rollouts import Episodes, as_fault, fields_of, message_of, outcome_of

__all__ = ["NamedPolicy", "RandomPolicy", "random_action"]

_log = logging.getLogger(__name__)

LONGEST_TEXT = 8
DEEPEST = 6


class NamedPolicy:
    """A policy that is a function: given a blocking client and the arguments of the reset, it returns the reward.

    Those of `echo_env.policies` and its like are such functions.

    Args:
        policy: The function.
        client_class: Of the clients it plays with.
        base_url: Address of the server.
        defaults: Arguments of the reset that a task does not give.
        timeout_s: Seconds until an answer before the episode counts as broken.
    """

    def __init__(
        self,
        policy: Callable[..., Any],
        client_class: type[EnvClient[Any, Any, Any]],
        base_url: str,
        defaults: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = 60.0,
    ) -> None:
        self._policy = policy
        self._client_class = client_class
        self._base_url = base_url
        self._defaults = dict(defaults or {})
        self._timeout_s = timeout_s

    async def play(self, task: Task) -> EpisodeResult:
        """Play one episode on a thread; see `Player`."""
        return await asyncio.to_thread(self._played, task)

    def _played(self, task: Task) -> EpisodeResult:
        began = time.monotonic()
        told = EpisodeResult(task.environment, task.seed, task.sample)
        seen = None
        try:
            with self._client_class(base_url=self._base_url, message_timeout_s=self._timeout_s).sync() as client:
                seen = _Watched(client)
                reward = self._policy(seen, **self._arguments(task))
        except (OpenEnvError, OSError) as error:
            outcome = outcome_of(error)
            status, cause = EpisodeResult.ended(outcome if seen and seen.steps else as_fault(outcome))
            told = replace(told, status=status, cause=cause, detail=message_of(error))
        else:
            status, cause = EpisodeResult.ended(seen.outcome)
            valid = seen.outcome.status is not Status.INFRA_FAULT and reward is not None
            told = replace(told, status=status, cause=cause, reward=float(reward) if valid else None)
            told = replace(told, turns=seen.steps)
        if told.is_fault:
            _log.warning("An episode broke (%s) and is left out: %s", told.cause, told.detail or "so it says")
        return replace(told, seconds=round(time.monotonic() - began, 3))

    def _arguments(self, task: Task) -> dict[str, Any]:
        wanted = {**self._defaults, **task.reset}
        parameters = inspect.signature(self._policy).parameters.values()
        if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters):
            return wanted
        return {one.name: wanted[one.name] for one in parameters if one.name in wanted}


class _Watched:
    """A client that counts its steps and remembers how the last one came out."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.steps = 0
        self.outcome = Outcome(Status.OK)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def reset(self, **arguments: Any) -> Any:
        return self._seen(self._client.reset(**arguments))

    def step(self, action: Any, **options: Any) -> Any:
        self.steps += 1
        return self._seen(self._client.step(action, **options))

    def call_tool(self, name: str, /, **arguments: Any) -> Any:
        self.steps += 1
        try:
            return self._client.call_tool(name, **arguments)
        finally:
            self._seen(self._client.last_result)

    def _seen(self, result: StepResult[Any] | None) -> Any:
        if result is not None:
            self.outcome = result.outcome
        return result


class RandomPolicy:
    """Draws each action: one of those that the observation lists as legal, or else by the schema of the actions.

    Args:
        episodes: Where the episodes come from.
        schema: JSON Schema of the environment's actions.
        max_turns: Actions after which an episode is cut off.
    """

    def __init__(self, episodes: Episodes, schema: Mapping[str, Any], *, max_turns: int = 32) -> None:
        self._episodes = episodes
        self._schema = schema
        self._max_turns = max_turns

    async def play(self, task: Task) -> EpisodeResult:
        """Play one episode; see `Player`."""
        began, invalid = time.monotonic(), 0
        draw = random.Random(f"{task.seed} {task.sample}")  # noqa: S311 - repeatable, and no secret
        episode, reset = self._episodes.begin(**task.reset)
        status, cause = Status.TRUNCATED.value, "max_turns"
        try:
            turn = await asyncio.wrap_future(reset)
            seen = turn.observation
            for _ in range(self._max_turns):
                if turn.done:
                    break
                turn = await asyncio.wrap_future(episode.step(random_action(self._schema, seen, draw)))
                invalid += bool(turn.error) and not turn.done
                seen = seen if turn.observation is None else turn.observation
            if turn.done:
                status, cause = EpisodeResult.ended(turn.outcome)
            return EpisodeResult(
                task.environment,
                task.seed,
                task.sample,
                reward=episode.reward,
                status=status,
                cause=cause,
                detail=episode.fault,
                turns=episode.steps,
                invalid=invalid,
                seconds=round(time.monotonic() - began, 3),
            )
        finally:
            await asyncio.shield(asyncio.wrap_future(episode.end()))


def random_action(schema: Mapping[str, Any], observation: Any, draw: random.Random) -> dict[str, Any]:
    """Return a random action.

    Args:
        schema: JSON Schema of the actions.
        observation: The last one, a dictionary: `legal_actions` or `legal_moves` in it are what the one field of
            the action may be.
        draw: Where chance comes from.
    """
    fields = list(fields_of(schema))
    required = [name for name in schema.get("required", ()) if name in fields] or fields
    legal = next((observation[n] for n in ("legal_actions", "legal_moves") if _lists(observation, n)), None)
    if legal and len(required) == 1:
        return {required[0]: draw.choice(legal)}
    value = _value(schema, schema.get("$defs", {}), draw, 0)
    return value if isinstance(value, dict) else {}


def _lists(observation: Any, name: str) -> bool:
    return isinstance(observation, Mapping) and isinstance(observation.get(name), list) and bool(observation[name])


def _value(schema: Mapping[str, Any], known: Mapping[str, Any], draw: random.Random, depth: int) -> Any:
    if "$ref" in schema:
        return _value(known.get(schema["$ref"].rpartition("/")[2], {}), known, draw, depth + 1)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return _value(draw.choice(schema[key]), known, draw, depth + 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return draw.choice(schema["enum"])
    match schema.get("type"):
        case "object":
            names = list(fields_of(schema))
            if depth > DEEPEST:
                names = [name for name in schema.get("required", ()) if name in names]
            return {name: _value(schema["properties"][name], known, draw, depth + 1) for name in names}
        case "array":
            size = max(schema.get("minItems", 0), min(schema.get("maxItems", 3), 3) if depth <= DEEPEST else 0)
            return [_value(schema.get("items", {}), known, draw, depth + 1) for _ in range(size)]
        case "integer" | "number":
            return _number(schema, draw)
        case "boolean":
            return draw.random() < 0.5
        case "string":
            size = max(schema.get("minLength", 0), min(schema.get("maxLength", LONGEST_TEXT), LONGEST_TEXT))
            return "".join(draw.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(size))
    return None


def _number(schema: Mapping[str, Any], draw: random.Random) -> float:
    whole = schema["type"] == "integer"
    low = schema.get("minimum", schema.get("exclusiveMinimum", -1 if "exclusiveMinimum" in schema else 0))
    low += whole and "exclusiveMinimum" in schema
    high = schema.get("maximum", schema.get("exclusiveMaximum", max(low + 10, 10)))
    high -= whole and "exclusiveMaximum" in schema
    return draw.randint(int(low), max(int(low), int(high))) if whole else draw.uniform(low, high)
