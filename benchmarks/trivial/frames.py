"""An environment whose observation is a stack of four frames of 84 by 84 bytes, and its client.

One text for both implementations, but for the form of a picture: `pictures` is found in `benchmarks/ours` or
`benchmarks/peer`. The client makes no array of what it gets; a program that wants one pays for that on top.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from library import Action, EnvClient, Environment, Observation, State, StepResult
from pictures import Picture, received, sent

SHAPE = (84, 84, 4)
PIXELS = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)


class Look(Action):
    """Nothing to choose."""


class FrameObservation(Observation):
    """What is to be seen."""

    pixels: Picture
    shape: list[int]


class FrameEnvironment(Environment[Look, FrameObservation, State]):
    """Shows the same picture in every step."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    NON_BLOCKING = True

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> FrameObservation:
        return FrameObservation(pixels=sent(PIXELS), shape=list(SHAPE))

    def step(self, action: Look, timeout_s: float | None = None, **kwargs: Any) -> FrameObservation:
        return FrameObservation(pixels=sent(PIXELS), shape=list(SHAPE), reward=1.0, done=False)

    @property
    def state(self) -> State:
        return State()


class FrameEnv(EnvClient[Look, FrameObservation, State]):
    """The client; the hooks are what release 0.10.0 asks for."""

    def _step_payload(self, action: Look) -> dict[str, Any]:
        return {}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[FrameObservation]:
        return StepResult(
            observation=FrameObservation(**payload["observation"]),
            reward=payload.get("reward"),
            done=payload.get("done", False),
        )

    def _parse_state(self, payload: dict[str, Any]) -> State:
        return State(**payload)


def is_right(observation: FrameObservation) -> bool:
    """Return whether it is the picture that was sent."""
    return np.array_equal(received(observation.pixels), PIXELS.reshape(np.shape(observation.pixels)))
