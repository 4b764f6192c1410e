"""What a rollout uses of ART, with the signatures of openpipe-art 0.5.18, for where that is not installed."""

import asyncio
from collections.abc import Awaitable, Iterable
from types import ModuleType
from typing import Any

import pydantic


class Trajectory(pydantic.BaseModel):
    """The conversation of an episode: messages, and the choices of the model among them."""

    messages_and_choices: list[Any] = []
    tools: list[Any] | None = None
    reward: float = 0.0
    metrics: dict[str, float | int | bool] = {}
    metadata: dict[str, float | int | str | bool | None] = {}

    def finish(self) -> "Trajectory":
        self.metrics["duration"] = 0.0
        return self

    def messages(self) -> list[Any]:
        return [one if isinstance(one, dict) else one.message.as_message() for one in self.messages_and_choices]


class TrajectoryGroup:
    """Trajectories of one scenario; `await` it once it is made of coroutines."""

    def __init__(self, trajectories: Iterable[Awaitable[Trajectory]]) -> None:
        self._coming = list(trajectories)
        self.trajectories: list[Trajectory] = []
        self.exceptions: list[BaseException] = []

    def __await__(self) -> Any:
        return self._gathered().__await__()

    async def _gathered(self) -> "TrajectoryGroup":
        for one in await asyncio.gather(*self._coming, return_exceptions=True):
            (self.exceptions if isinstance(one, BaseException) else self.trajectories).append(one)
        return self


async def gather_trajectory_groups(
    groups: Iterable[Awaitable[TrajectoryGroup]],
    *,
    pbar_desc: str | None = "gather",
    max_exceptions: int | float = 0,
    after_each: Any = None,
) -> list[TrajectoryGroup]:
    return list(await asyncio.gather(*groups))


def as_module() -> ModuleType:
    """Return it as a module to be imported as `art`."""
    module = ModuleType("art")
    vars(module).update(
        Trajectory=Trajectory, TrajectoryGroup=TrajectoryGroup, gather_trajectory_groups=gather_trajectory_groups
    )
    return module
