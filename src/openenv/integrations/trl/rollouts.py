"""TRL's `rollout_func`: whole episodes, of as many turns as they take.

```python
trainer = GRPOTrainer(
    model="Qwen/Qwen3-4B",
    train_dataset=dataset,                                            # its columns are the arguments of the resets
    rollout_func=rollout_func("http://localhost:8000", BlackjackEnv),
    reward_funcs=rollout_reward,
)
```

All episodes of a batch take their turns together: one batch of the trainer's own generation, then one step of
every environment, all at the same time. What comes back has a row for each prompt whatever happened: one in which
something broke has the reward None and no token to learn from.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openenv.integrations.trl.dialogue import Dialogue, Prompt
from openenv.integrations.trl.generation import Generation
from openenv.integrations.trl.rows import batch_rows, sent
from openenv.mcp.types import Tool
from openenv.outcomes import Status
from openenv.rollouts import Episode, Episodes, Turn, action_of, takes_tool_calls, text_of

if TYPE_CHECKING:
    from openenv.client import EnvClient
    from openenv.providers import Provider

__all__ = ["Rollouts", "rollout_func", "rollout_reward"]


def rollout_func(
    where: str | Provider | Sequence[str | Provider],
    client_class: type[EnvClient[Any, Any, Any]] | None = None,
    *,
    act: Callable[[str], Any] | None = None,
    tell: Callable[[Any], str] = text_of,
    row: Callable[[Prompt], Mapping[str, Any]] | None = None,
    max_turns: int | None = None,
    turn_tokens: int | None = None,
    unfinished: float | None = None,
    **options: Any,
) -> Rollouts:
    """Return a function for `GRPOTrainer(rollout_func=...)` that plays episodes.

    An environment that has tools is played by calls of its tools, any other by what the model says. It can be
    pickled if `act`, `tell` and `row` can, so it may be named in a configuration file: `my_module.play`.

    Args:
        where: Address of a server, a provider, or a list of either.
        client_class: Of the clients; by default one that knows no types.
        act: Makes an action of what the model says; it raises ValueError, in words for the model, if that is none.
            By default `action_of` with the schema of the environment's actions. If given, tools are not looked at.
        tell: Makes words of an observation.
        row: Makes the arguments of the reset of a prompt; by default they are the other columns of its row of the
            dataset, but for images, and those that hold None.
        max_turns: Answers of the model in an episode; by default as many as there are tokens for.
        turn_tokens: Tokens of one answer; by default what is left of `max_completion_length`, which bounds all
            tokens of an episode after its prompt, the environment's included.
        unfinished: Reward of an episode that nothing has graded when the model has no turn left, or calls no tool
            any more. By default it is left out, so that the model learns nothing from it.
        **options: Of `Episodes`, such as `timeout_s` or `headers`.

    Raises:
        ConfigurationError: `where` is empty, or an option is wrong.
    """
    return Rollouts(
        Episodes(where, client_class, **options),
        act=act,
        tell=tell,
        row=row,
        max_turns=max_turns,
        turn_tokens=turn_tokens,
        unfinished=unfinished,
    )


def rollout_reward(
    completions: Sequence[Any],
    env_reward: Sequence[float | None],
    env_cause: Sequence[str] = (),
    log_metric: Callable[[str, float], None] | None = None,
    **_: Any,
) -> list[float | None]:
    """Return the rewards of a batch of rollouts, and log which share of it broke: `env/faults`, and by cause.

    A reward function for use beside `rollout_func`. None is a rollout that nothing can be learned from.
    """
    if log_metric is not None and env_cause:
        broke = [cause for cause in env_cause if cause]
        log_metric("env/faults", len(broke) / len(env_cause))
        for cause in sorted(set(broke)):
            log_metric(f"env/faults/{cause}", broke.count(cause) / len(env_cause))
    return list(env_reward)


@dataclass
class _Rollout:
    """One row of a batch, as far as it has come."""

    prompt: Prompt
    episode: Episode
    tools: list[Tool]
    prompt_ids: list[int]
    ids: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    logprobs: list[float | None] = field(default_factory=list)
    turns: int = 0
    live: bool = True

    def add(self, ids: Sequence[int], logprobs: Sequence[float | None] | None = None, *, made: bool) -> None:
        """Record tokens: those the model made, or those of the environment."""
        self.ids += ids
        self.mask += [int(made)] * len(ids)
        self.logprobs += logprobs if logprobs is not None else [0.0] * len(ids)

    @property
    def all_ids(self) -> list[int]:
        return self.prompt_ids + self.ids


class Rollouts:
    """What `rollout_func` returns; call it as TRL does.

    Args:
        episodes: Where episodes come from.
        **how: As of `rollout_func`.

    Attributes:
        episodes: The same. `episodes.counts` says how many have begun, and how many broke, by cause.
    """

    __name__ = "rollouts"

    def __init__(
        self,
        episodes: Episodes,
        *,
        act: Callable[[str], Any] | None,
        tell: Callable[[Any], str],
        row: Callable[[Prompt], Mapping[str, Any]] | None,
        max_turns: int | None,
        turn_tokens: int | None,
        unfinished: float | None,
    ) -> None:
        self.episodes = episodes
        self._act = act
        self._tell = tell
        self._row = row
        self._max_turns = max_turns
        self._turn_tokens = turn_tokens
        self._unfinished = unfinished
        self._schema: Mapping[str, Any] = {}

    def __call__(self, prompts: Sequence[Prompt], trainer: Any) -> dict[str, Any]:
        """Play an episode for each prompt.

        Returns:
            `prompt_ids`, `completion_ids`, `logprobs` (None where the trainer's generation has none), `env_mask`,
            and columns for reward functions: `env_reward`, `env_outcome`, `env_cause` (empty if nothing broke) and
            `env_steps`.

        Raises:
            ConfigurationError: The rows of the prompts cannot be seen, or the tokenizer's chat template cannot say
                what is asked for.
        """
        rows = [self._row(p) for p in prompts] if self._row else batch_rows(sys._getframe(1), prompts)
        model = Generation(trainer)
        arguments = [sent(row) for row in rows]  # all of them before the first begins: `row` may raise
        begun = [self.episodes.begin(**each) for each in arguments]
        try:
            rollouts = self._opened(prompts, begun, model)
            while live := [rollout for rollout in rollouts if rollout.live]:
                self._take_turn(live, model)
            return self._table(rollouts, model)
        finally:
            for episode, _ in begun:
                episode.end()

    def close(self) -> None:
        """End all sessions, and the servers that were started for it."""
        self.episodes.close()

    # --- an episode ------------------------------------------------------------------------------

    def _opened(
        self, prompts: Sequence[Prompt], begun: Sequence[tuple[Episode, Future[Turn]]], model: Generation
    ) -> list[_Rollout]:
        turns = [reset.result() for _, reset in begun]
        episodes = [episode for episode, _ in begun]
        asked = [episode.tools() for episode in episodes] if self._plays_tools(episodes) else []
        rollouts = []
        for place, (prompt, episode) in enumerate(zip(prompts, episodes, strict=True)):
            tools = asked[place].result() if asked else []
            said = "" if episode.fault else self._tell(turns[place].observation)
            opening = model.dialogue.opening(prompt, said, tools)
            live = not episode.done and model.left(len(opening), 0) > 0
            rollouts.append(_Rollout(prompt, episode, tools, opening, live=live))
        return rollouts

    def _plays_tools(self, episodes: Sequence[Episode]) -> bool:
        """Return whether actions are calls of tools, as their schema says, for which an episode is asked once."""
        if self._act is not None:
            return False
        for episode in episodes:
            if not self._schema:
                self._schema = episode.action_schema().result()
        return takes_tool_calls(self._schema)

    def _take_turn(self, live: Sequence[_Rollout], model: Generation) -> None:
        room = [model.left(len(rollout.prompt_ids), len(rollout.ids)) for rollout in live]
        answers, logprobs = model.answers(
            [rollout.all_ids for rollout in live], min(max(room), self._turn_tokens or max(room))
        )
        begun: list[tuple[_Rollout, list[int], _Told]] = []
        for place, rollout in enumerate(live):
            before, answer = rollout.all_ids, answers[place][: room[place]]
            rollout.add(answer, logprobs[place][: room[place]] if logprobs else None, made=True)
            rollout.turns += 1
            begun.append((rollout, answer, self._begin_step(rollout, answer, before, model.dialogue)))
        for rollout, answer, told in begun:
            self._hear(rollout, answer, told, model)

    def _begin_step(
        self, rollout: _Rollout, answer: Sequence[int], before: Sequence[int], dialogue: Dialogue
    ) -> _Told:
        """Have the environment do what an answer says, and return what will be told of it."""
        if rollout.tools:
            return [_called(rollout.episode, call) for call in dialogue.calls(answer, before, rollout.tools)]
        words = dialogue.words(answer)
        try:
            action = self._act(words) if self._act else action_of(words, self._schema)
        except ValueError as error:
            return [("", str(error))]
        return [("", rollout.episode.step(action))]

    def _hear(self, rollout: _Rollout, answer: Sequence[int], told: _Told, model: Generation) -> None:
        """Wait for what the environment did, and let the model read it if it has a turn left."""
        turns = [(name, turn.result() if isinstance(turn, Future) else turn) for name, turn in told]
        rollout.live = bool(turns) and not rollout.episode.done and rollout.turns != self._max_turns
        if not rollout.live or not answer:
            rollout.live = False
            return
        messages = [
            {"role": "tool", "name": name, "content": self._said(turn, called=True)}
            if rollout.tools
            else {"role": "user", "content": self._said(turn)}
            for name, turn in turns
        ]
        reply = model.dialogue.reply(rollout.prompt, answer, messages)
        rollout.live = model.left(len(rollout.prompt_ids), len(rollout.ids) + len(reply)) > 0
        if rollout.live:
            rollout.add(reply, made=False)

    def _said(self, turn: Turn | str, *, called: bool = False) -> str:
        if isinstance(turn, str):
            return turn
        return turn.error or (text_of(turn.value) if called else self._tell(turn.observation))

    # --- what comes back -------------------------------------------------------------------------

    def _table(self, rollouts: Sequence[_Rollout], model: Generation) -> dict[str, Any]:
        for rollout in rollouts:
            if not rollout.ids:  # TRL looks at the last token of each row
                rollout.add([model.dialogue.tokenizer.eos_token_id], made=False)
            if rollout.episode.fault:
                rollout.mask = [0] * len(rollout.ids)
        outcomes = [rollout.episode.outcome for rollout in rollouts]
        return {
            "prompt_ids": [rollout.prompt_ids for rollout in rollouts],
            "completion_ids": [rollout.ids for rollout in rollouts],
            "logprobs": [rollout.logprobs for rollout in rollouts] if model.has_logprobs else None,
            "env_mask": [rollout.mask for rollout in rollouts],
            "env_reward": [self._reward(rollout.episode) for rollout in rollouts],
            "env_outcome": [
                str(outcome.status if rollout.episode.done else Status.TRUNCATED)
                for rollout, outcome in zip(rollouts, outcomes, strict=True)
            ],
            "env_cause": [str(outcome.cause) if outcome.is_fault else "" for outcome in outcomes],
            "env_steps": [rollout.episode.steps for rollout in rollouts],
        }

    def _reward(self, episode: Episode) -> float | None:
        if episode.reward is None and not episode.done:
            return self._unfinished
        return episode.reward


_Told = list[tuple[str, "Future[Turn] | str"]]
"""By the name of the tool, if it is one, what comes of a call, or what is said to one that never was."""


def _called(episode: Episode, call: Mapping[str, Any]) -> tuple[str, Future[Turn] | str]:
    name, arguments = call["name"], call.get("arguments") or {}
    if not isinstance(arguments, Mapping):
        return name, "The arguments of a call must be a JSON object"
    return name, episode.call_tool(name, arguments)
