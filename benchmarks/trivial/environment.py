"""The environment that does nothing, and its client: one text for both implementations.

It is written as release 0.10.0 wants it and runs on this project without a change. `library` is found on the
path of the process: `benchmarks/ours` or `benchmarks/peer`.
"""

from __future__ import annotations

from typing import Any

from library import Action, EnvClient, Environment, Observation, State, StepResult


class TrivialAction(Action):
    """A number and nothing else."""

    value: int


class TrivialObservation(Observation):
    """The number of the action, and a short text."""

    value: int
    text: str


class SyncEnvironment(Environment[TrivialAction, TrivialObservation, State]):
    """Answers every step at once with what it was given."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self._state = State()

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> TrivialObservation:
        self._state = State(episode_id=episode_id, step_count=0)
        return TrivialObservation(value=0, text="reset")

    def step(self, action: TrivialAction, timeout_s: float | None = None, **kwargs: Any) -> TrivialObservation:
        self._state.step_count += 1
        return TrivialObservation(value=action.value, text="step", reward=1.0, done=False)

    @property
    def state(self) -> State:
        return self._state


class NonBlockingEnvironment(SyncEnvironment):
    """The same, saying of itself that it never blocks; release 0.10.0 does not know the flag."""

    NON_BLOCKING = True


class AsyncEnvironment(SyncEnvironment):
    """The same as coroutines, by the names that both implementations know."""

    async def reset_async(
        self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any
    ) -> TrivialObservation:
        return self.reset(seed, episode_id)

    async def step_async(
        self, action: TrivialAction, timeout_s: float | None = None, **kwargs: Any
    ) -> TrivialObservation:
        return self.step(action)


class IsolatedEnvironment(SyncEnvironment):
    """The same, saying nothing of concurrent sessions: this project gives each a process of its own."""

    SUPPORTS_CONCURRENT_SESSIONS = False


ENVIRONMENTS = {
    "sync": SyncEnvironment,
    "non-blocking": NonBlockingEnvironment,
    "async": AsyncEnvironment,
    "isolated": IsolatedEnvironment,
}


class PlainEnv(EnvClient[TrivialAction, TrivialObservation, State]):
    """The client as this project wants it written."""


class HooksEnv(EnvClient[TrivialAction, TrivialObservation, State]):
    """The client as release 0.10.0 wants it written: it builds the payload and parses the reply itself."""

    def _step_payload(self, action: TrivialAction) -> dict[str, Any]:
        return {"value": action.value}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[TrivialObservation]:
        return StepResult(
            observation=TrivialObservation(**payload["observation"]),
            reward=payload.get("reward"),
            done=payload.get("done", False),
        )

    def _parse_state(self, payload: dict[str, Any]) -> State:
        return State(**payload)


CLIENTS = {"plain": PlainEnv, "hooks": HooksEnv}


def is_right(observation: TrivialObservation) -> bool:
    """Return whether an observation answers the step that everybody takes."""
    return (observation.value, observation.text) == (7, "step")
