"""Environments for SkyRL: a `BaseTextEnv` made from any environment, registered by an id.

SkyRL adds up the rewards of an episode's steps and has no word for a fault. The last step of an episode that is not
to be learned from has the reward NaN, which no sum can lose, and `metadata["reward_valid"]` is False;
`without_faults` takes such episodes out of what a generator gives to the trainer.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openenv.integrations import needs

with needs("skyrl_gym", "skyrl"):
    import skyrl_gym
    from skyrl_gym.envs import registration
    from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput

from openenv.mcp.types import Tool
from openenv.outcomes import Cause, Outcome
from openenv.rollouts import Episode, Episodes, Turn, action_of, takes_tool_calls, text_of

if TYPE_CHECKING:
    from openenv.client import EnvClient
    from openenv.providers import Provider

__all__ = ["RemoteTextEnv", "register", "unregister", "without_faults"]

Row = Mapping[str, Any]

MAX_TURNS = 10
SKYRL_COLUMNS = frozenset(("data_source", "env_class", "max_turns", "prompt", "reward_spec", "uid"))
"""What a row holds for SkyRL itself; all else is passed to the environment's `reset`."""

_CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_sources: dict[str, _Source] = {}


def register(
    env_id: str,
    where: str | Provider | Sequence[str | Provider],
    client_class: type[EnvClient[Any, Any, Any]] | None = None,
    *,
    max_turns: int = MAX_TURNS,
    arguments: Callable[[Row], Mapping[str, Any]] | None = None,
    **options: Any,
) -> None:
    """Make an environment one of `skyrl_gym`, for rows whose column `env_class` is the id.

    SkyRL makes its environments in a process of its own: call it there, where its examples call
    `skyrl_gym.register`.

    Args:
        env_id: The id.
        where: Address of a server, a provider, or a list of either.
        client_class: Of the clients; by default one that knows no types.
        max_turns: Answers of the model in an episode, where SkyRL does not say.
        arguments: Of the environment's `reset`, given a row; by default all its columns that are not SkyRL's own.
        **options: Those of `openenv.rollouts.Episodes`, such as `timeout_s`, and of the client class.
    """
    skyrl_gym.register(env_id, "openenv.integrations.skyrl:RemoteTextEnv", {"source": env_id})
    _sources[env_id] = _Source(Episodes(where, client_class, **options), max_turns, arguments or _own_columns)


def unregister(env_id: str) -> None:
    """Take an environment back, and end its sessions and the servers that were started for it."""
    registration.deregister(env_id)
    _sources.pop(env_id).episodes.close()


class RemoteTextEnv(BaseTextEnv):  # type: ignore[misc]
    """One episode of an environment that was registered; `skyrl_gym.make` makes it.

    An environment with tools is told to the model as such, and called by `<tool_call>{"name": ..., "arguments":
    {...}}</tool_call>`; an answer without a call ends the episode. Of any other, an answer is an action as
    `openenv.rollouts.action_of` says. What is no action is told to the model, and the episode goes on.

    Args:
        source: The id it was registered by.
        env_config: SkyRL's configuration of the environment; not looked at.
        extras: The row.
    """

    def __init__(self, source: str, env_config: Any = None, extras: Row | None = None) -> None:
        super().__init__()
        self._source = _sources[source]
        self._row = dict(extras or {})
        self.max_turns = int(self._row.get("max_turns") or self._source.max_turns)
        self.episode = Episode(self._source.episodes)
        self._schema: Mapping[str, Any] = {}
        self._has_tools = False
        self._tools: list[Tool] = []

    def init(self, prompt: list[dict[str, str]]) -> tuple[list[dict[str, str]], dict[str, Any]]:
        """Begin the episode; return the prompt with the first observation and the tools at its end."""
        turn = self.episode.reset(**self._source.arguments(self._row)).result()
        self._schema = self.episode.action_schema().result()
        self._has_tools = takes_tool_calls(self._schema)
        self._tools = self.episode.tools().result() if self._has_tools else []
        told = "\n\n".join(filter(None, [_told(self._tools), text_of(turn.observation)]))
        if told and prompt and prompt[-1].get("role") == "user":
            last = prompt[-1]
            prompt = [*prompt[:-1], {**last, "content": f"{last['content']}\n\n{told}"}]
        elif told or not prompt:
            prompt = [*prompt, {"role": "user", "content": told or "Begin."}]
        return prompt, {"outcome": turn.outcome}

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """Do what the model says, and return what came of it."""
        self.turns += 1
        turn, over = self._act(action)
        over = over or self.episode.done or self.turns >= self.max_turns
        reward = 0.0 if turn.reward is None else turn.reward
        if over and self.episode.reward is None:
            reward = math.nan
        said = turn.said
        if self._tools:
            said = f"<tool_response>\n{said}\n</tool_response>"
        outcome = self.episode.outcome if self.episode.done else turn.outcome
        metadata = {"outcome": outcome, "reward_valid": not math.isnan(reward), "error": turn.error}
        return BaseTextEnvStepOutput(
            observations=[] if over else [{"role": "user", "content": said}],
            reward=reward,
            done=over,
            metadata=metadata,
        )

    def close(self) -> None:
        """Give the session back."""
        self.episode.end().result()

    def get_metrics(self) -> dict[str, Any]:
        """Return the steps of the episode, and whether it was a fault."""
        return {"steps": self.episode.steps, "faults": float(bool(self.episode.fault))}

    def _act(self, text: str) -> tuple[Turn, bool]:
        if self.episode.done:
            return Turn(done=True, outcome=self.episode.outcome, error=self.episode.fault), True
        try:
            if not self._has_tools:
                return self.episode.step(action_of(text, self._schema)).result(), False
            call = _called(text)
            if call is None:
                return Turn(), True
            return self.episode.call_tool(*call).result(), False
        except ValueError as error:  # what the model said is no action
            return Turn(outcome=Outcome.policy_fault(Cause.INVALID_ACTION), error=str(error)), False


@dataclass
class _Source:
    """What was registered by an id."""

    episodes: Episodes
    max_turns: int
    arguments: Callable[[Row], Mapping[str, Any]]


def without_faults(output: dict[str, Any], groups: Sequence[Any] | None = None) -> dict[str, Any]:
    """Return what a generator gives to SkyRL's trainer, with episodes whose reward is NaN left out of training.

    None of their tokens counts (`loss_masks`), and their reward becomes the mean of those of their group, which
    moves no baseline. An override of the generator's `generate` returns it:
    `return without_faults(await super().generate(batch))`.

    Args:
        output: `prompt_token_ids`, `loss_masks`, `rewards` (a number, or one for each token) and more, by episode.
        groups: Which episodes belong together; by default those with the same prompt.
    """
    rewards, masks = list(output["rewards"]), list(output["loss_masks"])
    groups = [tuple(ids) for ids in output["prompt_token_ids"]] if groups is None else groups
    totals = [math.fsum(reward) if isinstance(reward, Sequence) else float(reward) for reward in rewards]
    for place, (group, total) in enumerate(zip(groups, totals, strict=True)):
        if math.isnan(total):
            sound = [t for g, t in zip(groups, totals, strict=True) if g == group and not math.isnan(t)]
            mean = math.fsum(sound) / len(sound) if sound else 0.0
            masks[place] = [0] * len(masks[place])
            rewards[place] = _like(rewards[place], mean)
    return {**output, "rewards": rewards, "loss_masks": masks}


def _like(reward: Any, total: float) -> Any:
    return [0.0] * (len(reward) - 1) + [total] if isinstance(reward, Sequence) else total


def _own_columns(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in SKYRL_COLUMNS}


def _told(tools: list[Tool]) -> str:
    """Return what a model is told of the tools there are."""
    if not tools:
        return ""
    listed = [
        json.dumps({"name": tool.name, "description": tool.description, "parameters": tool.input_schema})
        for tool in tools
    ]
    return "\n".join(
        [
            "You have these tools:",
            *listed,
            'Call one in each of your answers: <tool_call>{"name": ..., "arguments": {...}}</tool_call>',
        ]
    )


def _called(text: str) -> tuple[str, dict[str, Any]] | None:
    """Return the tool that is called in a text, and its arguments; None if none is.

    Raises:
        ValueError: There is a call, and it is not well formed.
    """
    found = _CALL.search(text)
    if found is None:
        return None
    try:
        call = json.loads(found[1])
        name, arguments = call["name"], call.get("arguments") or {}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        name = arguments = None
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise ValueError('A call is <tool_call>{"name": "...", "arguments": {...}}</tool_call>')
    return name, arguments
