"""What came of episodes, and of all of them together.

What broke is counted by itself and is in no mean: an episode without a reward has none, and not 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from openenv.evals.statistics import Estimate, mean_of_groups, pass_at_k, rate_of_groups, with_k
from openenv.outcomes import Cause, Outcome, Status

__all__ = ["EpisodeResult", "Report"]


@dataclass(frozen=True)
class EpisodeResult:
    """One episode.

    Attributes:
        environment: Its name.
        seed: Its seed; None if it had none.
        sample: Which of the episodes of its seed, from 0.
        reward: The sum of its rewards; None if nothing graded it, or something broke.
        status: One of `Status`; `infra_fault` if it counts as nothing.
        cause: One of `Cause`, or `max_turns`, `context_full`, or the code of `EndpointError` in small letters.
        detail: What went wrong, in words.
        turns: Actions that were taken.
        invalid: Actions that were none, or were refused; they are not among the turns.
        seconds: How long it took.
        prompt_tokens: Tokens that the model read.
        completion_tokens: Tokens that it wrote.
    """

    environment: str
    seed: int | None = None
    sample: int = 0
    reward: float | None = None
    status: str = Status.OK.value
    cause: str = Cause.NONE.value
    detail: str = ""
    turns: int = 0
    invalid: int = 0
    seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def is_fault(self) -> bool:
        """Whether something broke that the policy can not have caused."""
        return self.status == Status.INFRA_FAULT.value

    @staticmethod
    def ended(outcome: Outcome) -> tuple[str, str]:
        """Return status and cause of an outcome, as they are kept here."""
        return outcome.status.value, outcome.cause.value


Group = tuple[str, int | None]


@dataclass
class Report:
    """All episodes of a run.

    Attributes:
        success_at: An episode succeeds if its reward is at least this.
        ks: For which k to estimate pass@k.
        episodes: What came of each, as they ended.
        about: What else is to be known of the run: model, settings, duration.
    """

    success_at: float = 1.0
    ks: Sequence[int] = (1,)
    episodes: list[EpisodeResult] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def counted(self) -> list[EpisodeResult]:
        """The episodes in which nothing broke."""
        return [one for one in self.episodes if not one.is_fault]

    @property
    def faults(self) -> dict[str, int]:
        """How many broke, by cause."""
        return dict(Counter(one.cause for one in self.episodes if one.is_fault))

    def succeeded(self, episode: EpisodeResult) -> bool:
        """Return whether an episode succeeded; one that nothing graded did not."""
        return episode.reward is not None and episode.reward >= self.success_at

    def groups(self, environment: str | None = None) -> dict[Group, list[EpisodeResult]]:
        """Return the episodes by environment and seed, in order."""
        found: dict[Group, list[EpisodeResult]] = {}
        for one in sorted(self.episodes, key=lambda one: (one.seed is None, one.seed or 0, one.sample)):
            if environment in (None, one.environment):
                found.setdefault((one.environment, one.seed), []).append(one)
        return found

    def summary(self, environment: str | None = None) -> dict[str, Any]:
        """Return the figures of one environment, or of all, as plain values."""
        groups = list(self.groups(environment).values())
        all_of_them = [one for group in groups for one in group]
        passed = _by(groups, self.succeeded)
        counted = [one for one in all_of_them if not one.is_fault]
        return {
            "seeds": len(groups),
            "episodes": len(all_of_them),
            "counted": len(counted),
            "graded": sum(one.reward is not None for one in counted),
            "reward": _told(mean_of_groups(_by(groups, lambda one: one.reward))),
            "success": _told(rate_of_groups(passed)),
            "success_at": self.success_at,
            "pass_at_k": {str(k): pass_at_k(passed, k) for k in self.ks},
            "pass_at_k_seeds": {str(k): len(with_k(passed, k)) for k in self.ks},
            "turns": _told(mean_of_groups(_by(groups, lambda one: float(one.turns)))),
            "invalid_actions": sum(one.invalid for one in counted),
            "outcomes": dict(Counter(one.status for one in counted)),
            "faults": dict(Counter(one.cause for one in all_of_them if one.is_fault)),
            "prompt_tokens": sum(one.prompt_tokens for one in all_of_them),
            "completion_tokens": sum(one.completion_tokens for one in all_of_them),
        }

    def as_data(self) -> dict[str, Any]:
        """Return the whole report as plain values."""
        environments = list(dict.fromkeys(one.environment for one in self.episodes))
        return {
            **self.about,
            "summary": {name: self.summary(name) for name in environments},
            "episodes": [{**asdict(one), "success": self._said(one)} for one in self.episodes],
        }

    def _said(self, episode: EpisodeResult) -> bool | None:
        return None if episode.is_fault else self.succeeded(episode)


def _by(groups: Sequence[Sequence[EpisodeResult]], value: Callable[[EpisodeResult], Any]) -> list[list[Any]]:
    """Return a value of each episode in which nothing broke, by group; those that have none are left out."""
    found = [[value(one) for one in group if not one.is_fault] for group in groups]
    return [[one for one in group if one is not None] for group in found]


def _told(estimate: Estimate | None) -> dict[str, float | None] | None:
    return None if estimate is None else {"value": estimate.value, "low": estimate.low, "high": estimate.high}
