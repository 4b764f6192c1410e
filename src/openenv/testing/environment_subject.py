"""The environment that a contract is about, and the ways its tests play it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import pytest
from pydantic_core import from_json

from openenv.client.base import EnvClient
from openenv.environment.adapter import Adapter, Shape
from openenv.models import StepResult
from openenv.protocol.encoding import encode_result
from openenv.testing.local import LocalServer
from openenv.testing.samples import sample_actions

__all__ = ["EnvironmentSubject"]

Env = EnvClient[Any, Any, Any]


class EnvironmentSubject:
    """What a contract of environments is told by the class that inherits it.

    Attributes:
        environment: The environment's class, or a function that makes one.
        actions: Legal actions, at best one of each kind; by default one is made up of each class.
        bad_actions: Payloads that are no action.
        reset_arguments: Keyword arguments without which `reset` does not work, such as a task.
        volatile: Observation fields that differ from run to run, such as a duration.
        seed_changes_nothing: Why all seeds give the same episode, though `reset` takes one; empty if they do not.
        steps: How many steps are taken where the end of the episode does not matter.
        longest_episode: Steps after which an episode counts as one that does not end.
        patience_s: Seconds one test may take.
    """

    environment: ClassVar[Any] = None
    actions: ClassVar[Sequence[Any]] = ()
    bad_actions: ClassVar[Sequence[Mapping[str, Any]]] = ({"no_such_field": 0},)
    reset_arguments: ClassVar[Mapping[str, Any]] = {}
    volatile: ClassVar[Collection[str]] = ()
    seed_changes_nothing: ClassVar[str] = ""
    steps: ClassVar[int] = 4
    longest_episode: ClassVar[int] = 200
    patience_s: ClassVar[float] = 60.0

    def choose_action(self, step: int, result: StepResult[Any]) -> Any:
        """Return the next action of an episode; override it where what is legal depends on what was seen.

        Args:
            step: How many steps were taken, 0 for the first.
            result: What the last of them, or the reset, returned.

        Returns:
            The same for the same episode so far. By default one of `actions` after the other.
        """
        return self._samples[step % len(self._samples)]

    # --- how it is played ----------------------------------------------------------------------------------

    def _play(
        self, play: Callable[[Env], Awaitable[None]], client_class: type[EnvClient[Any, Any, Any]] | None = None
    ) -> None:
        """Serve the environment and run a test on one client."""

        async def serve(server: LocalServer) -> None:
            async with server.client(client_class) as env:
                await play(env)

        self._serve(serve)

    def _serve(self, play: Callable[[LocalServer], Awaitable[None]]) -> None:
        action, observation, state = self._types
        limit = None if self._concurrent else 1

        async def serve() -> None:
            async with LocalServer(
                self._factory, action=action, observation=observation, state=state, max_concurrent_envs=limit
            ) as server:
                await play(server)

        self._run(serve)

    def _play_directly(self, play: Callable[[Adapter], Awaitable[None]]) -> None:
        """Run a test on an environment without a server."""

        async def direct() -> None:
            adapter = Adapter(self._factory())
            try:
                await play(adapter)
            finally:
                await resolved(adapter.close())

        self._run(direct)

    def _run(self, main: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(self.patience_s):
                await main()

        asyncio.run(bounded())

    async def _reset(self, env: Env, **arguments: Any) -> StepResult[Any]:
        return await env.reset(**self.reset_arguments, **arguments)

    async def _episode(self, env: Env, **arguments: Any) -> list[Any]:
        """Play some steps and return what was seen, in a form that can be compared."""
        result = await self._reset(env, **arguments)
        seen = [self._comparable(result)]
        for step in range(self.steps):
            if result.done:
                break
            result = await env.step(self.choose_action(step, result))
            seen.append(self._comparable(result))
        return seen

    def _comparable(self, result: StepResult[Any]) -> Any:
        plain = from_json(encode_result(result), cache_strings="none")  # or short arrays are kept, as texts
        for name in self.volatile:
            plain["observation"].pop(name, None)
        return plain

    # --- what it is --------------------------------------------------------------------------------------

    @cached_property
    def _factory(self) -> Callable[[], Any]:
        # Looked up statically, since a function in a class would become a method.
        found: Any = inspect.getattr_static(type(self), "environment")
        found = found.__func__ if isinstance(found, staticmethod) else found
        if not callable(found):
            pytest.fail(f"{type(self).__name__} must set environment to an environment class or a factory")
        return found  # type: ignore[no-any-return]

    @cached_property
    def _shape(self) -> Shape:
        if isinstance(self._factory, type):
            return Shape.of(self._factory)
        found = []

        async def look(adapter: Adapter) -> None:
            found.append(adapter.shape)

        self._play_directly(look)
        return found[0]

    @cached_property
    def _types(self) -> tuple[Any, Any, Any]:
        return self._shape.action, self._shape.observation, self._shape.state

    @cached_property
    def _samples(self) -> Sequence[Any]:
        return self.actions or sample_actions(self._shape.action)

    @property
    def _concurrent(self) -> bool:
        return bool(getattr(self._shape.cls, "SUPPORTS_CONCURRENT_SESSIONS", False))

    @property
    def _takes_seed(self) -> bool:
        return "seed" in self._shape.reset.named


async def resolved(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
