"""What every environment has to do, as tests to inherit.

```python
from openenv.testing import EnvironmentContract

class TestMyEnvironment(EnvironmentContract):
    environment = MyEnvironment
    actions = (MyAction(move="up"), MyAction(move="down"))
```

The environment is played through the real sessions and the real wire, in this process and without a socket (see
`LocalServer`), so what holds here holds for a trainer. What does not apply is skipped with a reason.
"""

from __future__ import annotations

import asyncio
import gc
import os
import tracemalloc
from pathlib import Path
from typing import Any, ClassVar

import pytest

from openenv.client.generic import GenericEnvClient
from openenv.environment.adapter import Adapter
from openenv.errors import EpisodeEndedError, InvalidRequestError, NotResetError, SessionCapacityError
from openenv.models import StepResult
from openenv.protocol.client_codec import ClientCodec
from openenv.protocol.codec import ServerCodec
from openenv.protocol.encoding import encode_result, frame
from openenv.protocol.unions import members
from openenv.testing.environment_subject import Env, EnvironmentSubject, resolved
from openenv.testing.local import LocalServer

__all__ = ["EnvironmentContract", "EnvironmentMemoryContract"]

SESSIONS = 8
SEEDS = 8
LEAK_BYTES = 200
RESIDENT_BYTES = 60 * 2**20


class EnvironmentContract(EnvironmentSubject):
    """Tests of one environment.

    Inherit it in a class whose name starts with `Test`, set `environment`, and what else of
    `EnvironmentSubject` there is to say.
    """

    def test_reset_and_step_return_observations_of_the_declared_type(self) -> None:
        """For every sample action, in an episode of its own."""

        async def play(env: Env) -> None:
            for action in self._samples:
                for result in (await self._reset(env), await env.step(action)):
                    assert isinstance(result.observation, members(self._types[1]))

        self._play(play)

    def test_everything_survives_the_wire(self) -> None:
        """What is decoded equals what was encoded: every sample action, and every observation of an episode."""
        client, server = ClientCodec(*self._types), ServerCodec(*self._types)
        for action in self._samples:
            assert server.decode(frame("step", client.payload_json(action))).data == action

        async def play(adapter: Adapter) -> None:
            result = adapter.result(await resolved(adapter.bind_reset(options=self.reset_arguments)()))
            _assert_survives(client, result)
            for step in range(self.steps):
                if result.done:
                    break
                action = self.choose_action(step, result)
                result = adapter.result(await resolved(adapter.bind_step(action)()))
                _assert_survives(client, result)

        self._play_directly(play)

    def test_its_types_have_schemas(self) -> None:
        """Trainers and tools read them to know what to send."""
        schema = ServerCodec(*self._types).schema()
        assert schema.action
        assert schema.observation

    def test_it_says_what_it_is(self) -> None:
        """The metadata has a name, and a description for whoever looks for an environment."""

        async def play(adapter: Adapter) -> None:
            metadata = adapter.metadata()
            assert metadata.name
            assert metadata.description

        self._play_directly(play)

    def test_the_state_follows_the_episode(self) -> None:
        """An id from the reset on, and a step count that starts at 0 and grows with every step."""

        async def play(env: Env) -> None:
            result = await self._reset(env)
            state = first = await env.state()
            assert first.episode_id, "the state has no episode_id after a reset"
            assert first.step_count == 0
            for step in range(self.steps):
                if result.done:
                    break
                before = state.step_count
                result = await env.step(self.choose_action(step, result))
                state = await env.state()
                assert state.step_count > before, "the step count does not grow"
                assert state.episode_id == first.episode_id
            await self._reset(env)
            again = await env.state()
            assert again.step_count == 0
            assert again.episode_id != first.episode_id, "a new episode has the id of the old one"

        self._play(play)

    def test_an_episode_has_the_id_it_was_given_or_says_so(self) -> None:
        """A trainer files what it sees by the id it chose."""

        async def play(env: Env) -> None:
            result = await self._reset(env, episode_id="chosen")
            state = await env.state()
            assert state.episode_id == "chosen" or _warns_of("episode_id", result)

        self._play(play)

    def test_the_same_seed_gives_the_same_episode_or_the_seed_is_not_taken(self) -> None:
        """An environment that takes a seed keeps its promise; of one that does not, the trainer is told."""

        async def play(env: Env) -> None:
            if self._takes_seed:
                assert await self._episode(env, seed=1) == await self._episode(env, seed=1)
            else:
                assert _warns_of("seed", await self._reset(env, seed=1))

        self._play(play)

    def test_some_of_several_seeds_give_different_episodes(self) -> None:
        """A seed that is taken and left aside would give a trainer the same episode over and over."""
        if not self._takes_seed:
            pytest.skip("reset takes no seed")
        if self.seed_changes_nothing:
            pytest.skip(f"The seed changes nothing: {self.seed_changes_nothing}")

        async def play(env: Env) -> None:
            first, *others = [await self._episode(env, seed=seed) for seed in range(1, SEEDS + 1)]
            assert any(episode != first for episode in others), (
                f"seeds 1 to {SEEDS} give the same episode; if that is right, say why: seed_changes_nothing"
            )

        self._play(play)

    def test_a_step_before_the_first_reset_is_refused(self) -> None:
        """A step belongs to an episode, unless the environment says otherwise."""
        self._skip_if_steps_need_no_reset()

        async def play(env: Env) -> None:
            with pytest.raises(NotResetError):
                await env.step(self._samples[0])
            await env.step(self.choose_action(0, await self._reset(env)))

        self._play(play)

    def test_a_step_after_the_end_is_refused(self) -> None:
        """The next episode starts with a reset, and can be stepped."""
        self._skip_if_steps_need_no_reset()

        async def play(env: Env) -> None:
            result = await self._reset(env)
            for step in range(self.longest_episode):
                result = await env.step(self.choose_action(step, result))
                if result.done:
                    break
            else:
                pytest.skip(f"no episode ended within {self.longest_episode} steps (longest_episode)")
            with pytest.raises(EpisodeEndedError):
                await env.step(self._samples[0])
            await env.step(self.choose_action(0, await self._reset(env)))

        self._play(play)

    def test_a_bad_action_is_refused_and_changes_nothing(self) -> None:
        """The error is a structured one, and the session goes on."""

        async def play(env: Env) -> None:
            await self._reset(env)
            before = await env.state()
            for payload in self.bad_actions:
                with pytest.raises(InvalidRequestError):
                    await env.step(dict(payload))
            after = await env.state()
            for state in (before, after):
                state.pop("elapsed_time", None)
            assert before == after

        self._play(play, GenericEnvClient)

    def test_sessions_share_nothing_or_there_is_only_one(self) -> None:
        """Episodes that are played at the same time go as they go alone; other classes get one session."""
        self._serve(self._sessions_side_by_side if self._concurrent else self._one_session_only)

    def test_a_closed_session_leaves_its_slot(self) -> None:
        """Closing a session in the middle of an episode closes its environment."""

        async def play(server: LocalServer) -> None:
            async with server.client() as env:
                await self._reset(env)
            await _empty(server)

        self._serve(play)

    def test_close_may_be_called_at_any_time_and_again(self) -> None:
        """Before the first reset, in an episode, and twice."""

        async def never_reset(adapter: Adapter) -> None:
            await resolved(adapter.close())

        async def reset(adapter: Adapter) -> None:
            await resolved(adapter.bind_reset(options=self.reset_arguments)())
            await resolved(adapter.close())

        self._play_directly(never_reset)
        self._play_directly(reset)

    async def _sessions_side_by_side(self, server: LocalServer) -> None:
        seeds = range(1, SESSIONS + 1)
        async with server.client() as env:
            alone = [await self._episode(env, seed=seed) for seed in seeds]
        clients = [await server.client().connect() for _ in seeds]
        resets = (self._reset(env, seed=seed) for env, seed in zip(clients, seeds, strict=True))
        results = await asyncio.gather(*resets)
        together = [[self._comparable(result)] for result in results]
        for step in range(self.steps):  # in rounds, so that no episode is over before another has begun
            playing = [number for number in range(SESSIONS) if not results[number].done]
            moves = (clients[n].step(self.choose_action(step, results[n])) for n in playing)
            for number, result in zip(playing, await asyncio.gather(*moves), strict=True):
                results[number] = result
                together[number].append(self._comparable(result))
        states = [await env.state() for env in clients]
        for env in clients:
            await env.close()
        assert len({state.episode_id for state in states}) == SESSIONS, "sessions share an episode id"
        if self._takes_seed:
            assert together == alone, "an episode went differently beside others"

    async def _one_session_only(self, server: LocalServer) -> None:
        async with server.client() as env:
            await self._reset(env)
            second = await server.client().connect()
            with pytest.raises(SessionCapacityError):
                await self._reset(second)
        await _empty(server)
        await self._reset(second)
        await second.close()

    def _skip_if_steps_need_no_reset(self) -> None:
        if getattr(self._shape.cls, "ALLOWS_STEP_WITHOUT_RESET", False):
            pytest.skip("ALLOWS_STEP_WITHOUT_RESET is set")


class EnvironmentMemoryContract(EnvironmentSubject):
    """One more test, in a class of its own since it takes its time.

    Attributes:
        episodes: How many episodes are played.
    """

    episodes: ClassVar[int] = 600

    def test_its_memory_does_not_grow_with_episodes(self) -> None:
        """After many episodes in one session, by the objects that are left and by the memory of the process.

        The latter tells of what is no object of Python's; its bound leaves room for caches.
        """

        async def play(env: Env) -> None:
            traced, resident = [], []
            for _ in range(2):  # the first half fills caches
                for _ in range(self.episodes // 2):
                    await self._episode(env)
                gc.collect()
                resident.append(_resident_bytes())  # before, for its first call leaves something, too
                traced.append(tracemalloc.get_traced_memory()[0])
            grown = (traced[1] - traced[0]) / (self.episodes // 2)
            assert grown < LEAK_BYTES, f"{grown:.0f} bytes more with every episode"
            grown = resident[1] - resident[0]
            assert grown < RESIDENT_BYTES, f"the process has {grown / 2**20:.0f} MiB more, of no Python object"

        tracemalloc.start()
        try:
            self._play(play)
        finally:
            tracemalloc.stop()


def _assert_survives(codec: ClientCodec, result: StepResult[Any]) -> None:
    decoded = codec.result(frame("observation", encode_result(result)))
    sent = result.observation.model_copy(update={"reward": result.reward, "done": result.done})
    assert decoded.observation == sent
    assert (decoded.reward, decoded.done, decoded.truncated) == (result.reward, result.done, result.truncated)
    assert (decoded.info, decoded.metadata) == (result.info, result.metadata)


def _resident_bytes() -> int:
    """Return the memory that this process takes; 0 where the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except FileNotFoundError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _warns_of(argument: str, result: StepResult[Any]) -> bool:
    return any(warning.startswith(argument) for warning in result.info.get("warnings", ()))


async def _empty(server: LocalServer) -> None:
    """Wait until every session's environment is closed; the test's own patience bounds it."""
    while server.manager.capacity().active_sessions:  # noqa: ASYNC110 - a manager has no event to wait for
        await asyncio.sleep(0.001)
