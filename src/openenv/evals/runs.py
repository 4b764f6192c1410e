"""Many episodes, as many at a time as asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from openenv.evals.results import EpisodeResult

__all__ = ["Player", "Task", "evaluate", "plan"]


@dataclass(frozen=True)
class Task:
    """One episode to be played.

    Attributes:
        environment: Name of the environment.
        seed: Its seed; None for none.
        sample: Which of the episodes of its seed, from 0.
        options: Further arguments of the reset.
    """

    environment: str
    seed: int | None = None
    sample: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def reset(self) -> dict[str, Any]:
        """The arguments of its reset."""
        return self.options if self.seed is None else {**self.options, "seed": self.seed}


class Player(Protocol):
    """Who plays an episode; one plays several at the same time."""

    async def play(self, task: Task) -> EpisodeResult:
        """Play one episode. What breaks is a result, too."""
        ...


def plan(
    environment: str, seeds: Sequence[int], episodes: int, options: dict[str, Any] | None = None
) -> list[Task]:
    """Return so many episodes, the seeds in turn: the first of every seed, then the second of every seed.

    Args:
        environment: Name of the environment.
        seeds: At least one.
        episodes: How many in all.
        options: Further arguments of the resets.
    """
    size = len(seeds)
    return [Task(environment, seeds[i % size], i // size, dict(options or {})) for i in range(episodes)]


async def evaluate(
    player: Player, tasks: Sequence[Task], concurrency: int, tell: Callable[[EpisodeResult], None]
) -> None:
    """Play all episodes.

    Args:
        player: Who plays them.
        tasks: Which.
        concurrency: How many at a time.
        tell: Told of each as it ends.

    Raises:
        Exception: What a player raised, which ends the run: what breaks in an episode is a result.
    """
    left = iter(tasks)

    async def work() -> None:
        for task in left:  # all workers take from one iterator
            tell(await player.play(task))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(tasks))):
                group.create_task(work())
    except ExceptionGroup as raised:  # by a player that is wrong; the first says why
        raise raised.exceptions[0] from None
