"""A reward function for `reward_funcs`: each completion is one action, in an episode of its own.

```python
trainer = GRPOTrainer(
    model="Qwen/Qwen3-4B",
    train_dataset=dataset,                                            # its columns are the arguments of the resets
    reward_funcs=reward_func("http://localhost:8000", PyExecEnv, act=lambda code: RunCodeAction(code=code)),
)
```

All completions of a batch are played at the same time, and the trainer waits for the last. One whose episode broke
has no reward: None, which TRL leaves out of the baseline of its group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from openenv.integrations.trl.dialogue import spoken
from openenv.integrations.trl.rows import sent
from openenv.rollouts import Episode, Episodes, action_of

if TYPE_CHECKING:
    from openenv.client import EnvClient
    from openenv.providers import Provider

__all__ = ["EpisodeReward", "reward_func"]

_TRAINERS = frozenset({"environments", "completion", "trainer_state"})
"""Columns that TRL hands over, and no row has."""


def reward_func(
    where: str | Provider | Sequence[str | Provider],
    client_class: type[EnvClient[Any, Any, Any]] | None = None,
    *,
    act: Callable[[str], Any] | None = None,
    ungraded: float | None = None,
    name: str = "openenv_reward_fn",
    **options: Any,
) -> EpisodeReward:
    """Return a function for `GRPOTrainer(reward_funcs=...)`. It can be pickled if `act` can.

    Args:
        where: Address of a server, a provider, or a list of either.
        client_class: Of the clients; by default one that knows no types.
        act: Makes an action of a completion; it raises ValueError if that is none. By default `action_of` with the
            schema of the environment's actions.
        ungraded: Reward of a completion that is no action, and of one that the environment refuses or does not
            grade. By default it is left out, so that the model learns nothing from it.
        name: Under which TRL logs the rewards.
        **options: Of `Episodes`, such as `timeout_s` or `headers`.

    Raises:
        ConfigurationError: `where` is empty, or an option is wrong.
    """
    return EpisodeReward(Episodes(where, client_class, **options), act=act, ungraded=ungraded, name=name)


class EpisodeReward:
    """What `reward_func` returns; TRL calls it.

    Args:
        episodes: Where episodes come from; its `counts` say how many have begun, and how many broke, by cause.
        act: As of `reward_func`, with the next two.
        ungraded: Reward where there is none.
        name: Its own.
    """

    def __init__(
        self,
        episodes: Episodes,
        *,
        act: Callable[[str], Any] | None = None,
        ungraded: float | None = None,
        name: str = "openenv_reward_fn",
    ) -> None:
        self.episodes = episodes
        self.__name__ = name
        self._act = act
        self._ungraded = ungraded
        self._schema: Mapping[str, Any] = {}

    def __call__(
        self,
        /,
        completions: Sequence[str | Sequence[Mapping[str, Any]]],
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Play an episode of each completion, and return their rewards in that order.

        Args:
            completions: Texts, or conversations, whose last message counts.
            log_metric: TRL's; it is told which share of the episodes broke, `env/faults`, and by cause.
            **columns: The other columns of the rows: lists as long as that of the completions.
        """
        rows = _rows(columns, len(completions))
        begun = [self.episodes.begin(**row) for row in rows]
        try:
            steps = []
            for completion, (episode, reset) in zip(completions, begun, strict=True):
                reset.result()
                action = self._action(episode, _text(completion))
                steps.append(None if action is None else episode.step(action))
            for step in steps:
                if step is not None:
                    step.result()
            episodes = [episode for episode, _ in begun]
            _log(episodes, log_metric)
            return [self._reward(episode) for episode in episodes]
        finally:
            for episode, _ in begun:
                episode.end()

    def close(self) -> None:
        """End all sessions, and the servers that were started for it. It can be used again afterwards."""
        self.episodes.close()

    def _action(self, episode: Episode, text: str) -> Any:
        """Return what a completion stands for; None if it is no action, or there is nobody to take it."""
        if episode.done:
            return None
        try:
            return self._act(text) if self._act else action_of(text, self._known_schema(episode))
        except ValueError:
            return None

    def _known_schema(self, episode: Episode) -> Mapping[str, Any]:
        if not self._schema:
            self._schema = episode.action_schema().result()
        return self._schema

    def _reward(self, episode: Episode) -> float | None:
        return self._ungraded if episode.reward is None and not episode.fault else episode.reward


def _rows(columns: Mapping[str, Any], number: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{} for _ in range(number)]
    for name, values in columns.items():
        if name not in _TRAINERS and not name.endswith(("prompts", "completion_ids")) and isinstance(values, list):
            for row, value in zip(rows, values, strict=True):
                row[name] = value
    return [sent(row) for row in rows]


def _text(completion: str | Sequence[Mapping[str, Any]]) -> str:
    """Return what a completion says last."""
    said = completion if isinstance(completion, str) else completion[-1].get("content") or ""
    if isinstance(said, list):
        said = "".join(part.get("text", "") for part in said)
    return spoken(str(said))


def _log(episodes: Sequence[Episode], log_metric: Callable[[str, float], None] | None) -> None:
    if log_metric is None or not episodes:
        return
    broke = [str(episode.outcome.cause) for episode in episodes if episode.fault]
    log_metric("env/faults", len(broke) / len(episodes))
    for cause in sorted(set(broke)):
        log_metric(f"env/faults/{cause}", broke.count(cause) / len(episodes))
