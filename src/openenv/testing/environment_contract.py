"""What every environment has to do, as tests to inherit.

```python
from openenv.testing import EnvironmentContract

class TestMyEnvironment(EnvironmentContract):
    environment = MyEnvironment
    actions = [MyAction(move="up"), MyAction(move="down")]
```

The environment is played through the real sessions and the real wire, in this process and without a socket (see
`LocalServer`), so what holds here holds for a trainer. What does not apply is skipped with a reason.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import tracemalloc
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import pytest
from pydantic_core import from_json

from openenv.client.base import EnvClient
from openenv.client.generic import GenericEnvClient
from openenv.environment.adapter import Adapter, Shape
from openenv.errors import (
    EpisodeEndedError,
    InvalidRequestError,
    NotResetError,
    RequestError,
    SessionCapacityError,
)
from openenv.models import StepResult
from openenv.protocol.codec import ClientCodec, ServerCodec, encode_result, frame
from openenv.protocol.unions import members
from openenv.testing.local import LocalServer
from openenv.testing.samples import sample_actions

__all__ = ["EnvironmentContract"]

SESSIONS = 8

Env = EnvClient[Any, Any, Any]


class EnvironmentContract:
    """Tests of one environment. Inherit it in a class whose name starts with `Test` and set `environment`.

    Attributes:
        environment: The environment's class, or a function that makes one.
        actions: Legal actions, at best one of each kind; by default one is made up of each class.
        bad_actions: Payloads that are no action.
        reset_arguments: Keyword arguments without which `reset` does not work, such as a task.
        volatile: Observation fields that differ from run to run, such as a duration.
        steps: How many steps are taken where the end of the episode does not matter.
        longest_episode: Steps after which an episode counts as one that does not end.
        memory_episodes: How many episodes the memory test plays; 0 leaves it out, since it takes its time.
        patience_s: Seconds one test may take.
    """

    environment: ClassVar[Any] = None
    actions: ClassVar[Sequence[Any]] = ()
    bad_actions: ClassVar[Sequence[Mapping[str, Any]]] = ({"no_such_field": 0},)
    reset_arguments: ClassVar[Mapping[str, Any]] = {}
    volatile: ClassVar[Collection[str]] = ()
    steps: ClassVar[int] = 4
    longest_episode: ClassVar[int] = 200
    memory_episodes: ClassVar[int] = 0
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

    # --- the contract ----------------------------------------------------------------------------------

    def test_reset_and_step_return_observations_of_the_declared_type(self) -> None:
        """For every sample action, in an episode of its own."""

        async def play(server: LocalServer, env: Env) -> None:
            for action in self._samples:
                for result in (await self._reset(env), await env.step(action)):
                    assert isinstance(result.observation, members(server.observation))
                    assert result.done == result.observation.done == (result.terminated or result.truncated)

        self._play(play)

    def test_everything_survives_the_wire(self) -> None:
        """What is decoded equals what was encoded: every sample action, and every observation of an episode."""

        async def play(server: LocalServer, _env: Env) -> None:
            theirs = ClientCodec(server.action, server.observation, server.state)
            for action in self._samples:
                raw = frame("step", theirs.payload_json(action))
                assert server.codec.decode(raw).data == action
            adapter = Adapter(self._factory())
            try:
                result = adapter.result(await _resolved(adapter.bind_reset(options=self.reset_arguments)()))
                _assert_survives(theirs, result)
                for step in range(self.steps):
                    if result.done:
                        break
                    action = self.choose_action(step, result)
                    result = adapter.result(await _resolved(adapter.bind_step(action)()))
                    _assert_survives(theirs, result)
            finally:
                await _resolved(adapter.close())

        self._play(play)

    def test_its_types_have_schemas(self) -> None:
        """Trainers and tools read them to know what to send."""
        schema = ServerCodec(*self._types).schema()
        assert schema.action
        assert schema.observation

    def test_the_state_follows_the_episode(self) -> None:
        """An id from the reset on, and a step count that starts at 0 and grows with every step."""

        async def play(_server: LocalServer, env: Env) -> None:
            result = await self._reset(env)
            first = await env.state()
            assert first.episode_id, "the state has no episode_id after a reset"
            assert first.step_count == 0
            count = 0
            for step in range(self.steps):
                if result.done:
                    break
                result = await env.step(self.choose_action(step, result))
                state = await env.state()
                assert state.step_count > count, "the step count does not grow"
                assert state.episode_id == first.episode_id
                count = state.step_count
            await self._reset(env)
            again = await env.state()
            assert again.step_count == 0
            assert again.episode_id != first.episode_id, "a new episode has the id of the old one"

        self._play(play)

    def test_an_episode_has_the_id_it_was_given_or_says_so(self) -> None:
        """A trainer files what it sees by the id it chose."""

        async def play(_server: LocalServer, env: Env) -> None:
            result = await self._reset(env, episode_id="chosen")
            state = await env.state()
            assert state.episode_id == "chosen" or _warns_of(result, "episode_id")

        self._play(play)

    def test_the_same_seed_gives_the_same_episode_or_the_seed_is_not_taken(self) -> None:
        """An environment that takes a seed keeps its promise; one that does not has the trainer told."""

        async def play(_server: LocalServer, env: Env) -> None:
            if not self._takes_seed:
                assert _warns_of(await self._reset(env, seed=1), "seed")
                return
            assert await self._episode(env, seed=1) == await self._episode(env, seed=1)

        self._play(play)

    def test_a_step_before_the_first_reset_is_refused(self) -> None:
        """Unless the environment allows it, a step belongs to an episode."""

        async def play(_server: LocalServer, env: Env) -> None:
            action = self._samples[0]
            with pytest.raises(NotResetError):
                await env.step(action)
            await self._reset(env)
            await env.step(action)

        self._skip_if_steps_need_no_reset()
        self._play(play)

    def test_a_step_after_the_end_is_refused(self) -> None:
        """The next episode starts with a reset, and can be stepped."""

        async def play(_server: LocalServer, env: Env) -> None:
            result = await self._reset(env)
            step = 0
            while not result.done:
                if step == self.longest_episode:
                    pytest.skip(f"no episode ended within {step} steps (longest_episode)")
                result = await env.step(self.choose_action(step, result))
                step += 1
            with pytest.raises(EpisodeEndedError):
                await env.step(self._samples[0])
            assert not (await self._reset(env)).done
            await env.step(self._samples[0])

        self._skip_if_steps_need_no_reset()
        self._play(play)

    def test_a_bad_action_is_refused_and_changes_nothing(self) -> None:
        """The error is a structured one, and the session goes on."""

        async def play(server: LocalServer, _env: Env) -> None:
            async with server.client(GenericEnvClient) as env:
                await self._reset(env)
                before = await env.state()
                for payload in self.bad_actions:
                    with pytest.raises(InvalidRequestError):
                        await env.step(dict(payload))
                after = await env.state()
            for state in (before, after):
                state.pop("elapsed_time", None)
            assert before == after

        self._play(play)

    def test_sessions_share_nothing_or_there_is_only_one(self) -> None:
        """Episodes that are played at the same time go as they go alone; other classes get one session."""
        self._play(self._sessions_side_by_side if self._concurrent else self._one_session_only)

    def test_close_may_be_called_at_any_time_and_again(self) -> None:
        """Before the first reset, in an episode, and twice."""

        async def play(_server: LocalServer, _env: Env) -> None:
            for started in (False, True):
                adapter = Adapter(self._factory())
                if started:
                    await _resolved(adapter.bind_reset(options=self.reset_arguments)())
                for _ in range(2):
                    await _resolved(adapter.close())

        self._play(play)

    def test_a_closed_session_leaves_its_slot(self) -> None:
        """Closing a session in the middle of an episode closes its environment."""

        async def play(server: LocalServer, env: Env) -> None:
            await self._reset(env)
            await env.close()
            while server.manager.capacity().active_sessions:
                await asyncio.sleep(0.001)  # bounded by patience_s

        self._play(play)

    def test_it_says_what_it_is(self) -> None:
        """The metadata has a name, and a description for whoever looks for an environment."""

        async def play(server: LocalServer, _env: Env) -> None:
            metadata = await server.manager.describe()
            assert metadata.name
            assert metadata.description

        self._play(play)

    def test_its_memory_does_not_grow_with_episodes(self) -> None:
        """Measured by the Python objects that are left after many episodes in one session."""
        if not self.memory_episodes:
            pytest.skip("memory_episodes is 0")

        async def play(_server: LocalServer, env: Env) -> None:
            sizes = []
            tracemalloc.start()
            try:
                for _ in range(3):
                    for _ in range(self.memory_episodes // 3):
                        await self._episode(env)
                    gc.collect()
                    sizes.append(tracemalloc.get_traced_memory()[0])
            finally:
                tracemalloc.stop()
            grown = (sizes[2] - sizes[1]) / (self.memory_episodes // 3)
            assert grown < 200, f"{grown:.0f} bytes more with every episode"

        self._play(play)

    # --- how it is played ------------------------------------------------------------------------------

    async def _sessions_side_by_side(self, server: LocalServer, env: Env) -> None:
        seeds = range(1, SESSIONS + 1)
        alone = [await self._episode(env, seed=seed) for seed in seeds]
        clients = [await server.client().connect() for _ in seeds]
        results = await asyncio.gather(
            *(self._reset(each, seed=seed) for each, seed in zip(clients, seeds, strict=True))
        )
        together = [[self._comparable(result)] for result in results]
        for step in range(self.steps):  # in rounds, so that no episode is over before another has begun
            playing = [number for number in range(SESSIONS) if not results[number].done]
            moves = (clients[n].step(self.choose_action(step, results[n])) for n in playing)
            for number, result in zip(playing, await asyncio.gather(*moves), strict=True):
                results[number] = result
                together[number].append(self._comparable(result))
        states = [await each.state() for each in clients]
        assert len({state.episode_id for state in states}) == SESSIONS, "sessions share an episode id"
        if self._takes_seed:
            assert together == alone, "an episode went differently beside others"
        for each in clients:
            await each.close()

    async def _one_session_only(self, server: LocalServer, env: Env) -> None:
        await self._reset(env)
        with pytest.raises(SessionCapacityError):
            await self._reset(server.client())
        await env.close()
        while server.manager.capacity().active_sessions:
            await asyncio.sleep(0.001)  # bounded by patience_s
        async with server.client() as second:
            await self._reset(second)

    def _play(self, play: Callable[[LocalServer, Env], Awaitable[None]]) -> None:
        """Serve the environment and run a test on it, with a client that may or may not be used."""
        action, observation, state = self._types

        async def bounded() -> None:
            async with asyncio.timeout(self.patience_s):
                limit = None if self._concurrent else 1
                async with LocalServer(
                    self._factory,
                    action=action,
                    observation=observation,
                    state=state,
                    max_concurrent_envs=limit,
                ) as server:
                    env: Env = server.client()
                    await play(server, env)
                    await env.close()

        asyncio.run(bounded())

    async def _reset(self, env: Env, **arguments: Any) -> StepResult[Any]:
        return await env.reset(**self.reset_arguments, **arguments)

    async def _episode(self, env: Env, seed: int | None = None) -> list[Any]:
        """Play some steps and return what was seen, in a form that can be compared."""
        result = await self._reset(env, **({} if seed is None else {"seed": seed}))
        seen = [self._comparable(result)]
        for step in range(self.steps):
            if result.done:
                break
            result = await env.step(self.choose_action(step, result))
            seen.append(self._comparable(result))
        return seen

    def _comparable(self, result: StepResult[Any]) -> Any:
        plain = from_json(encode_result(result))
        for name in self.volatile:
            plain["observation"].pop(name, None)
        return plain
