"""Environments for programs that hold them in their own process and call them by the verbs of Gymnasium.

NeMo Gym's resources server is one: it imports a class by its dotted name, calls `reset` and `step`, and wants an
observation with reward and `done` at once. An environment that is written with coroutines, or that returns a
`StepResult`, has another form; `blocking` gives it that one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from openenv.client.portal import Portal
from openenv.environment.adapter import Adapter
from openenv.models import Observation, StepResult

__all__ = ["blocking"]


def blocking(environment_class: Callable[..., Any]) -> type[Any]:
    """Return a class that is the environment with blocking verbs, in whatever way it is written.

    ```python
    BlockingCodingEnvironment = blocking(CodingEnvironment)  # name this one in a configuration
    ```

    Its `reset`, `step` and `close` take what the environment's do and may be called from inside a running event
    loop. The first two return the observation, with `reward` and `done` of the whole result.

    Args:
        environment_class: An `Environment` class.
    """
    name = f"Blocking{getattr(environment_class, '__name__', 'Environment')}"
    return type(name, (_Blocking,), {"_made_by": staticmethod(environment_class)})


class _Blocking:
    _made_by: Callable[..., Any]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.environment = self._made_by(*arguments, **options)
        self._adapter = Adapter(self.environment)
        self._portal: Portal | None = None

    def reset(self, seed: int | None = None, episode_id: str | None = None, **options: Any) -> Any:
        """Begin an episode."""
        return self._observed(self._adapter.bind_reset(seed, episode_id, options))

    def step(self, action: Any, timeout_s: float | None = None) -> Any:
        """Take a step."""
        return self._observed(self._adapter.bind_step(action, timeout_s))

    @property
    def state(self) -> Any:
        """Where the episode stands."""
        return self._settled(self._adapter.state)

    def close(self) -> None:
        """Close the environment; may be called more than once."""
        try:
            if self._adapter.has_close:
                self._settled(self._adapter.close)
        finally:
            portal, self._portal = self._portal, None
            if portal is not None:
                portal.release()

    def _observed(self, call: Callable[[], Any]) -> Any:
        result: StepResult[Any] = self._adapter.result(self._settled(call))
        seen = result.observation
        if not isinstance(seen, Observation):
            return seen
        return seen.model_copy(update={"reward": result.reward, "done": result.done})

    def _settled(self, call: Callable[[], Any]) -> Any:
        """Return what a call returns, waited for on a loop of its own if it is a coroutine."""
        returned = call()
        if not inspect.isawaitable(returned):
            return returned
        if self._portal is None:
            self._portal = Portal.acquire()

        async def wait() -> Any:
            return await returned

        return self._portal.submit(wait()).result()
