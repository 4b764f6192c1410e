"""A vector of sessions gives exactly as many results as were asked for, whatever happens to each of them."""

import asyncio
import dataclasses
import gc
from typing import Any

import numpy as np
import pytest
from tests.client.conftest import parts_of, told_to_be_dropped
from tests.servers import wait_until
from tests.toys import Add, Count, CounterEnv, Gate, InlineCounter, Tally, gated

from openenv.client import AutoresetMode, EnvClient, Failure, GenericEnvClient, VectorEnvClient
from openenv.environment import Environment
from openenv.errors import (
    BudgetExceededError,
    ConfigurationError,
    ConnectionFailedError,
    EpisodeEndedError,
    ExecutionError,
    InvalidReplyError,
    InvalidRequestError,
    MessageTooLargeError,
    NotResetError,
    OpenEnvError,
    RequestError,
    SerializationError,
    SessionCapacityError,
    SessionLost,
)
from openenv.models import Action, Observation, State, StepResult
from openenv.outcomes import Cause, Status


class Seeded(InlineCounter):
    """A counter that begins where it is told to and shows its seed."""

    def reset(self, seed: int | None = None, episode_id: str | None = None, start: int = 0) -> Count:
        self._start(episode_id)
        self.tally.total = start
        return Count(total=start, extra=seed)


@pytest.fixture
def url(shared) -> str:
    return shared(Seeded).url


def totals(results: list[Any]) -> list[int | None]:
    """Return the total of each result; None for a failure."""
    return [None if isinstance(result, Failure) else result.observation.total for result in results]


def seeds(results: list[Any]) -> list[int | None]:
    return [result.observation.extra for result in results]


def adds(*amounts: int) -> list[Add]:
    return [Add(amount=amount) for amount in amounts]


def error_of(result: Any) -> RequestError:
    assert isinstance(result, Failure), result
    return result.error


# --- ways of calling ------------------------------------------------------------------------------


async def test_in_async_code(url):
    async with CounterEnv.vector(url, num_envs=3) as envs:
        assert totals(await envs.reset()) == [0, 0, 0]
        assert totals(await envs.step(adds(1, 2, 3))) == [1, 2, 3]
        assert [state.total for state in await envs.state()] == [1, 2, 3]


def test_in_blocking_code(url):
    with CounterEnv.vector(url, num_envs=3) as envs:
        assert totals(envs.reset()) == [0, 0, 0]
        assert totals(envs.step(adds(1, 2, 3))) == [1, 2, 3]
        assert [state.total for state in envs.state()] == [1, 2, 3]


def test_by_its_blocking_face(url):
    with CounterEnv.vector(url, num_envs=2).sync() as envs:
        assert totals(envs.reset()) == [0, 0]


def test_without_being_entered(url):
    envs = CounterEnv.vector(url, num_envs=2)
    assert totals(envs.reset()) == [0, 0]
    assert totals(envs.step(adds(4, 5))) == [4, 5]
    envs.close()
    envs.close()


async def test_without_being_entered_in_a_loop_it_can_be_awaited_or_used(url):
    envs = CounterEnv.vector(url, num_envs=2)
    assert totals(await envs.reset()) == [0, 0]
    assert totals(envs.step(adds(4, 5))) == [4, 5]
    await envs.close()


async def test_the_class_itself_takes_the_class_of_the_client(url):
    async with VectorEnvClient(CounterEnv, base_url=url, num_envs=2, message_timeout_s=9.0) as envs:
        assert len(envs) == envs.num_envs == 2
        assert envs.base_url == url
        assert totals(await envs.reset()) == [0, 0]


async def test_results_of_all_ways_can_be_awaited(url):
    with CounterEnv.vector(url, num_envs=2) as envs:
        results = envs.reset()
        assert await results is results


# --- what is asked for ----------------------------------------------------------------------------


async def test_one_seed_gives_each_environment_that_plus_its_index(url):
    async with CounterEnv.vector(url, num_envs=4) as envs:
        assert seeds(await envs.reset(seeds=10)) == [10, 11, 12, 13]
        assert seeds(await envs.reset(seeds=10, indices=[3, 1])) == [13, 11]
        assert seeds(await envs.reset(seeds=np.int64(10), indices=[2])) == [12]


async def test_seeds_and_options_for_each_go_to_those_asked_for_in_order(url):
    async with CounterEnv.vector(url, num_envs=3) as envs:
        results = await envs.reset(seeds=[7, None, 9], options={"start": 5})
        assert (seeds(results), totals(results)) == ([7, None, 9], [5, 5, 5])
        results = await envs.reset(seeds=[1, 2], options=[{"start": 6}, {}], indices=[2, 0])
        assert (seeds(results), totals(results)) == ([1, 2], [6, 0])
        assert [state.total for state in await envs.state()] == [0, 5, 6]


async def test_some_are_stepped_by_index_and_answered_in_the_order_of_the_mapping(url):
    async with CounterEnv.vector(url, num_envs=4) as envs:
        await envs.reset()
        assert totals(await envs.step({3: Add(amount=30), 1: Add(amount=10)})) == [30, 10]
        assert [state.total for state in await envs.state([3, 0])] == [30, 0]
        assert await envs.step({}) == []


@pytest.mark.parametrize("actions", [adds(1), adds(1, 2, 3), {2: Add()}, {-1: Add()}], ids=repr)
async def test_actions_that_do_not_fit_the_number_of_environments_are_refused(url, actions):
    async with CounterEnv.vector(url, num_envs=2) as envs:
        await envs.reset()
        with pytest.raises(ConfigurationError):
            await envs.step(actions)
        assert totals(await envs.step(adds(1, 1))) == [1, 1]


@pytest.mark.parametrize(
    "arguments",
    [{"seeds": [1]}, {"options": [{}]}, {"indices": [2]}, {"indices": [0, 0]}, {"seeds": [1, 2], "indices": [0]}],
    ids=repr,
)
async def test_resets_that_do_not_fit_are_refused(url, arguments):
    async with CounterEnv.vector(url, num_envs=2) as envs:
        with pytest.raises(ConfigurationError):
            await envs.reset(**arguments)


@pytest.mark.parametrize(
    "numbers", [{"num_envs": 0}, {"num_envs": 2, "connections": 3}, {"connections": 0}], ids=repr
)
def test_numbers_out_of_range_are_refused(numbers):
    with pytest.raises(ConfigurationError):
        CounterEnv.vector("http://127.0.0.1:9", **numbers)


# --- connections ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("num_envs", "connections", "expected"), [(3, None, 1), (70, None, 2), (5, 3, 3)])
async def test_sessions_share_few_connections(serve, num_envs, connections, expected):
    server = serve(Seeded)
    async with CounterEnv.vector(server.url, num_envs, connections) as envs:
        assert seeds(await envs.reset(seeds=0)) == list(range(num_envs))
        assert totals(await envs.step(adds(*[2] * num_envs))) == [2] * num_envs
        assert len({session.holder for session in server.manager.sessions()}) == expected
        assert len(server.manager.sessions()) == num_envs
    assert wait_until(lambda: not server.manager.sessions())


async def test_too_many_for_the_server_is_told_and_leaves_no_session(serve):
    server = serve(Seeded, max_concurrent_envs=5)
    with pytest.raises(SessionCapacityError):
        await CounterEnv.vector(server.url, num_envs=6, connections=2)
    assert wait_until(lambda: server.manager.capacity().active_sessions == 0)


def test_without_a_server_the_first_call_fails():
    envs = CounterEnv.vector("http://127.0.0.1:9", num_envs=2)
    with pytest.raises(ConnectionFailedError):
        envs.reset()


def test_closing_ends_the_sessions_and_steps_are_refused_until_a_reset(serve):
    server = serve(Seeded)
    envs = CounterEnv.vector(server.url, num_envs=2)
    envs.reset()
    envs.close()
    assert wait_until(lambda: not server.manager.sessions())
    with pytest.raises(SessionLost, match="closed"):
        envs.step(adds(1, 1))
    assert totals(envs.reset()) == [0, 0]
    envs.close()


def test_one_that_is_dropped_without_being_closed_ends_its_sessions(serve):
    server = serve(Seeded)
    envs = CounterEnv.vector(server.url, num_envs=2)
    envs.reset()
    with told_to_be_dropped("VectorEnvClient"):
        del envs
        assert wait_until(lambda: gc.collect() >= 0 and not server.manager.sessions())


async def test_closing_while_steps_are_under_way_gives_failures(serve):
    gate = Gate()
    server = serve(gated(gate))
    envs = await CounterEnv.vector(server.url, num_envs=2)
    await envs.reset()
    stepping = asyncio.create_task(envs.step(adds(0, 0)))
    await asyncio.to_thread(gate.wait_for, 2)
    await envs.close()
    gate.open()
    assert all(isinstance(error_of(result), SessionLost) for result in await stepping)


# --- failures -------------------------------------------------------------------------------------


def test_a_failure_has_the_fields_of_a_result():
    error = ExecutionError("broken")
    failure = Failure(3, error, error.outcome)
    assert set(StepResult.model_fields) <= {field.name for field in dataclasses.fields(Failure)}
    assert (failure.observation, failure.reward, failure.done) == (None, None, True)
    assert (failure.outcome.status, failure.outcome.cause) == (Status.INFRA_FAULT, Cause.ENVIRONMENT_ERROR)
    assert not failure.outcome.reward_valid


async def test_one_bad_item_never_fails_the_others(serve_each):
    server = serve_each(Seeded)
    async with CounterEnv.vector(server.url, num_envs=7) as envs:
        assert isinstance(error_of((await envs.step(adds(*[1] * 7)))[0]), NotResetError)
        await envs.reset()
        actions = [
            Add(amount=1),
            {"amount": "many"},
            Add(amount=3, trouble="raise"),
            {"amount": float("nan")},
            object(),
            Add(amount=6, trouble="nan"),
            {"amount": 7},
        ]
        results = await envs.step(actions)
        assert totals(results) == [1, None, None, None, None, None, 7]
        failures = [result for result in results if isinstance(result, Failure)]
        assert [failure.index for failure in failures] == [1, 2, 3, 4, 5]
        kinds = [InvalidRequestError, ExecutionError, SerializationError, InvalidRequestError, SerializationError]
        assert [type(failure.error) for failure in failures] == kinds
        assert failures[0].outcome.status is Status.POLICY_FAULT
        assert failures[1].outcome.status is Status.INFRA_FAULT
        # What was refused was not executed, what raised was; all go on.
        assert totals(await envs.step(adds(*[1] * 7))) == [2, 1, 4, 1, 1, 7, 8]


async def test_a_step_after_the_end_fails_for_that_one_only(url):
    async with CounterEnv.vector(url, num_envs=2) as envs:
        await envs.reset()
        results = await envs.step(adds(100, 1))
        assert [result.done for result in results] == [True, False]
        results = await envs.step(adds(1, 1))
        assert isinstance(error_of(results[0]), EpisodeEndedError)
        assert totals(results) == [None, 2]


async def test_a_reset_that_fails_does_so_alone(url):
    async with CounterEnv.vector(url, num_envs=2) as envs:
        results = await envs.reset(options=[{"start": "somewhere"}, {"start": 4}])
        assert isinstance(results[0], Failure)
        assert totals(results) == [None, 4]


async def test_an_action_over_the_limit_fails_alone_and_large_ones_travel_in_several_frames(url):
    async with GenericCounter.vector(url, num_envs=6, max_message_size_mb=0.25) as envs:
        await envs.reset()
        fits, too_large = {"amount": 1, "metadata": {"x": "x" * 100_000}}, {"metadata": {"x": "x" * 300_000}}
        results = await envs.step([fits, fits, too_large, fits, fits, fits])
        assert isinstance(error_of(results[2]), MessageTooLargeError)
        assert [result.done for result in results] == [False, False, True, False, False, False]
        assert totals(await envs.step([{"amount": 1}] * 6)) == [2, 2, 1, 2, 2, 2]


async def test_an_answer_over_the_limit_fails_alone_and_large_ones_come_in_several_frames(serve):
    class Verbose(InlineCounter):
        def step(self, action: Add) -> Count:
            return Count(total=action.amount, extra="x" * action.amount * 100_000)

    async with CounterEnv.vector(serve(Verbose).url, num_envs=6, max_message_size_mb=0.5) as envs:
        await envs.reset()
        results = await envs.step(adds(2, 2, 7, 3, 4, 1))
        assert isinstance(error_of(results[2]), MessageTooLargeError)
        assert totals(results) == [2, 2, None, 3, 4, 1]
        assert [len(result.observation.extra) for result in await envs.step(adds(*[3] * 6))] == [300_000] * 6


async def test_a_slow_one_fails_by_the_message_budget_and_its_late_answer_is_dropped(serve):
    gate = Gate()
    server = serve(gated(gate))
    async with CounterEnv.vector(server.url, num_envs=2) as envs:
        await envs.reset()
        stepping = asyncio.create_task(envs.step(adds(0, 5)))
        [mux] = parts_of(envs._keeper.link)
        while [len(call._waiting) for call in mux.calls._by_number.values()] != [1]:
            await asyncio.sleep(0.001)
        [call] = mux.calls._by_number.values()
        call.deadline = 0.0  # as if its budget were used up
        mux.calls._expire(asyncio.get_running_loop())
        results = await stepping
        error = error_of(results[0])
        assert isinstance(error, BudgetExceededError)
        assert error.budget == "message"
        assert totals(results) == [None, 5]
        gate.open()
        assert totals(await envs.step(adds(2, 1))) == [2, 6]
        assert envs._keeper.link.late_replies == 1


async def test_an_answer_of_another_form_fails_alone(serve):
    class Other(Environment[Add, Observation, State]):
        NON_BLOCKING = SUPPORTS_CONCURRENT_SESSIONS = True

        def reset(self, **kwargs: Any) -> Any:
            return Count(total=0)

        def step(self, action: Add) -> Any:
            return Observation() if action.amount == 0 else Count(total=action.amount)

        @property
        def state(self) -> State:
            return State()

    async with CounterEnv.vector(serve(Other).url, num_envs=3) as envs:
        await envs.reset()
        results = await envs.step(adds(1, 0, 3))
        assert isinstance(error_of(results[1]), InvalidReplyError)
        assert totals(results) == [1, None, 3]


# --- losing sessions ------------------------------------------------------------------------------


async def test_a_lost_session_fails_alone_until_it_is_reset(serve):
    server = serve(Seeded)
    async with CounterEnv.vector(server.url, num_envs=3) as envs:
        await envs.reset(options={"start": 1})
        [gone] = [session for session in server.manager.sessions() if session is session_of(envs, server, 1)]
        server.on_loop(gone.end)
        for _ in range(2):
            results = await envs.step(adds(1, 1, 1))
            assert isinstance(error_of(results[1]), SessionLost)
            assert results[1].outcome.cause is Cause.SESSION_LOST
        assert isinstance((await envs.state())[1], Failure)
        assert totals(results) == [3, None, 3]
        await envs.reset(indices=[0])
        assert len(server.manager.sessions()) == 2
        assert totals(await envs.reset(indices=[1])) == [0]
        assert totals(await envs.step(adds(1, 1, 1))) == [1, 1, 4]
        assert len(server.manager.sessions()) == 3


async def test_what_can_not_be_opened_again_fails_alone(serve):
    server = serve(Seeded, max_concurrent_envs=2)
    async with CounterEnv.vector(server.url, num_envs=2) as envs:
        await envs.reset()
        server.on_loop(session_of(envs, server, 0).end)
        async with CounterEnv(server.url):  # takes the place
            results = await envs.reset()
            assert isinstance(error_of(results[0]), SessionCapacityError)
            assert totals(results) == [None, 0]
        assert wait_until(lambda: server.manager.capacity().active_sessions == 1)
        assert totals(await envs.reset()) == [0, 0]


def session_of(envs: VectorEnvClient, server: Any, index: int) -> Any:
    """Return a session as the server knows it."""
    lane = envs._keeper.link._lane_of[index]
    return server.manager.get(lane._sessions[index].id)


async def test_a_connection_that_is_cut_is_resumed_and_every_step_is_executed_once(serve):
    gate = Gate()
    server = serve(gated(gate))
    async with CounterEnv.vector(server.url, num_envs=4, connections=2) as envs:
        await envs.reset()
        for round_ in range(1, 4):
            await envs.step(adds(1, 1, 1, 1))
            assert [state.step_count for state in await envs.state()] == [round_] * 4
            server.cut()
        stepping = asyncio.create_task(envs.step(adds(0, 7, 0, 7)))
        await asyncio.to_thread(gate.wait_for, 2)
        server.cut()
        gate.open()
        assert totals(await stepping) == [3, 10, 3, 10]
        assert [state.step_count for state in await envs.state()] == [4] * 4


async def test_sessions_that_did_not_survive_the_server_are_opened_anew_by_reset(serve, host):
    server = serve(Seeded)
    async with CounterEnv.vector(server.url, num_envs=3) as envs:
        await envs.reset()
        for session in server.manager.sessions():
            server.on_loop(session.end)
        server.cut()
        results = await envs.step(adds(1, 1, 1))
        assert [type(error_of(result)) for result in results] == [SessionLost] * 3
        assert totals(await envs.reset()) == [0, 0, 0]
        assert totals(await envs.step(adds(1, 2, 3))) == [1, 2, 3]


async def test_abandoned_steps_do_not_confuse_the_next_ones(serve):
    gate = Gate()
    server = serve(gated(gate))
    async with CounterEnv.vector(server.url, num_envs=2) as envs:
        await envs.reset()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await envs.step(adds(0, 3))
        gate.open()
        assert totals(await envs.step(adds(1, 1))) == [1, 4]


# --- partial steps --------------------------------------------------------------------------------


async def test_whoever_is_ready_is_told_first(serve):
    gate = Gate()
    server = serve(gated(gate))
    async with CounterEnv.vector(server.url, num_envs=3) as envs:
        await envs.reset()
        ready = envs.step_ready(adds(1, 0, 2))
        first = {index: result.observation.total for index, result in [await anext(ready), await anext(ready)]}
        assert first == {0: 1, 2: 2}
        gate.open()
        assert [(index, result.observation.total) async for index, result in ready] == [(1, 0)]


async def test_those_that_are_ready_can_be_sent_on_while_another_is_still_at_work(serve):
    gate = Gate()
    server = serve(gated(gate))
    async with CounterEnv.vector(server.url, num_envs=3) as envs:
        await envs.reset()
        ready = envs.step_ready(adds(1, 0, 1))
        seen: dict[int, list[int]] = {0: [], 1: [], 2: []}
        async for index, result in ready:
            seen[index].append(result.observation.total)
            if len(seen[index]) < 3:
                ready.send({index: Add(amount=1)})
            if len(seen[0]) == len(seen[2]) == 3:
                gate.open()
        assert seen == {0: [1, 2, 3], 1: [0, 1, 2], 2: [1, 2, 3]}


def test_blocking_code_iterates_as_well(url):
    with CounterEnv.vector(url, num_envs=3) as envs:
        envs.reset()
        results = dict(envs.step_ready({2: Add(amount=2), 0: Add(amount=5)}))
        assert {index: result.observation.total for index, result in results.items()} == {2: 2, 0: 5}
        ready = envs.step_ready(adds(1, 1, 1))
        given = []
        for index, result in ready:
            given.append((index, result.observation.total))
            if index == 1 and result.observation.total < 4:
                ready.send({1: Add(amount=1)})
        assert sorted(given) == [(0, 6), (1, 1), (1, 2), (1, 3), (1, 4), (2, 3)]


async def test_one_that_is_still_at_work_can_not_be_sent_another_step(url):
    async with CounterEnv.vector(url, num_envs=2) as envs:
        await envs.reset()
        ready = envs.step_ready(adds(1, 1))
        with pytest.raises(ConfigurationError, match="under way"):
            ready.send({0: Add()})
        assert len([result async for result in ready]) == 2


async def test_failures_come_as_they_happen(url):
    async with CounterEnv.vector(url, num_envs=2) as envs:
        await envs.reset(indices=[1])
        results = {index: result async for index, result in envs.step_ready(adds(1, 1))}
        assert isinstance(error_of(results[0]), NotResetError)
        assert results[1].observation.total == 1


# --- autoreset ------------------------------------------------------------------------------------


def test_the_modes_are_those_of_gymnasium():
    names = {mode.name: mode.value for mode in AutoresetMode}
    assert names == {"NEXT_STEP": "NextStep", "SAME_STEP": "SameStep", "DISABLED": "Disabled"}


async def test_in_next_step_mode_the_step_after_the_end_resets(url):
    async with CounterEnv.vector(url, num_envs=2, autoreset=AutoresetMode.NEXT_STEP) as envs:
        await envs.reset()
        results = await envs.step(adds(100, 1))
        assert (totals(results), [r.done for r in results]) == ([100, 1], [True, False])
        results = await envs.step(adds(100, 1))
        assert (totals(results), [r.done for r in results]) == ([0, 2], [False, False])
        assert [r.reward for r in results] == [None, 1.0]
        assert totals(await envs.step(adds(5, 1))) == [5, 3]


async def test_in_same_step_mode_the_step_that_ends_resets(url):
    async with CounterEnv.vector(url, num_envs=2, autoreset="SameStep") as envs:
        await envs.reset()
        ended, goes_on = await envs.step(adds(100, 1))
        assert (ended.observation.total, ended.reward, ended.done, ended.terminated) == (0, 100.0, True, True)
        assert ended.outcome.status is Status.TERMINATED
        assert (ended.info["final_obs"].total, ended.info["final_info"]) == (100, {})
        assert (goes_on.observation.total, goes_on.info) == (1, {})
        assert totals(await envs.step(adds(5, 1))) == [5, 2]


async def test_partial_steps_reset_as_well(url):
    async with CounterEnv.vector(url, num_envs=3, autoreset=AutoresetMode.SAME_STEP) as envs:
        await envs.reset()
        results = {index: result async for index, result in envs.step_ready(adds(100, 1, 100))}
        assert [results[index].observation.total for index in range(3)] == [0, 1, 0]
        assert [results[index].done for index in range(3)] == [True, False, True]


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
async def test_one_that_failed_is_reset_by_the_next_step_on_a_new_session_if_need_be(serve, mode):
    server = serve(Seeded)
    async with CounterEnv.vector(server.url, num_envs=3, autoreset=mode) as envs:
        await envs.reset(options={"start": 50})
        server.on_loop(session_of(envs, server, 2).end)
        results = await envs.step([Add(amount=1), Add(amount=1, trouble="raise"), Add(amount=1)])
        assert totals(results) == [51, None, None]
        assert totals(await envs.step(adds(1, 1, 1))) == [52, 0, 0]
        assert totals(await envs.step(adds(1, 1, 1))) == [53, 1, 1]


@pytest.mark.parametrize(("mode", "turns"), [(AutoresetMode.NEXT_STEP, 2), (AutoresetMode.SAME_STEP, 1)])
async def test_a_reset_that_autoreset_makes_has_the_arguments_that_were_said(url, mode, turns):
    def arguments(index):
        return {"start": 10 * index, "seed": index}

    async with CounterEnv.vector(url, num_envs=3, autoreset=mode, autoreset_arguments=arguments) as envs:
        await envs.reset()
        for _ in range(turns):
            results = await envs.step(adds(100, 1, 100))
        assert totals(results)[::2] == [0, 20]
        assert seeds(results)[::2] == [0, 2]


async def test_one_that_is_abandoned_is_opened_anew_by_its_reset(serve):
    server = serve(Seeded)
    async with CounterEnv.vector(server.url, num_envs=2) as envs:
        await envs.reset()
        await envs._abandon([1])
        kept, lost = await envs.step(adds(1, 1))
        assert kept.observation.total == 1
        assert isinstance(lost, Failure)
        assert isinstance(lost.error, SessionLost)
        assert totals(await envs.reset(indices=[1])) == [0]
        assert totals(await envs.step(adds(1, 1))) == [2, 1]


async def test_without_autoreset_nothing_is_reset_that_was_not_asked_for(url):
    async with CounterEnv.vector(url, num_envs=1) as envs:
        assert isinstance((await envs.reset(options={"start": "nowhere"}))[0], Failure)
        for _ in range(2):
            assert isinstance(error_of((await envs.step(adds(1)))[0]), NotResetError)


async def test_an_explicit_reset_takes_the_place_of_the_automatic_one(url):
    async with CounterEnv.vector(url, num_envs=1, autoreset=AutoresetMode.NEXT_STEP) as envs:
        await envs.reset()
        assert (await envs.step(adds(100)))[0].done
        assert totals(await envs.reset(options={"start": 9})) == [9]
        assert totals(await envs.step(adds(1))) == [10]


async def test_a_reset_that_fails_within_the_step_keeps_the_result_and_is_tried_again(serve):
    class Once(InlineCounter):
        resets = 0

        def reset(self, **kwargs: Any) -> Count:
            self.resets += 1
            if self.resets == 2:
                raise RuntimeError("not now")
            return super().reset()

    async with CounterEnv.vector(serve(Once).url, num_envs=1, autoreset=AutoresetMode.SAME_STEP) as envs:
        await envs.reset()
        [result] = await envs.step(adds(100))
        assert (result.observation.total, result.reward, result.done) == (100, 100.0, True)
        assert "final_obs" not in result.info
        assert totals(await envs.step(adds(1))) == [0]


# --- version 1, hooks, arrays, providers ----------------------------------------------------------


async def test_a_server_of_version_1_gets_a_connection_for_each_session(serve_old):
    server = serve_old(Seeded)
    async with CounterEnv.vector(server.url, num_envs=3, autoreset=AutoresetMode.SAME_STEP) as envs:
        assert seeds(await envs.reset(seeds=5)) == [5, 6, 7]
        results = await envs.step(adds(1, 100, 3))
        assert (totals(results), [r.done for r in results]) == ([1, 0, 3], [False, True, False])
        assert [state.total for state in await envs.state()] == [1, 0, 3]
        server.cut()
        results = await envs.step(adds(1, 1, 1))
        assert [type(error_of(result)) for result in results] == [SessionLost] * 3
        assert totals(await envs.step(adds(1, 1, 1))) == [0, 0, 0]
        assert {index async for index, _ in envs.step_ready(adds(1, 1, 1))} == {0, 1, 2}
    assert wait_until(lambda: not server.manager.sessions())


class GenericCounter(CounterEnv):
    """Sends dictionaries as they are, and takes its results apart itself."""

    def _step_payload(self, action: Any) -> dict[str, Any]:
        if action == "bad":
            raise LookupError("no such action")
        return {**action, "amount": action.get("amount", 1)}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[Count]:
        if payload["observation"]["total"] == 66:
            raise KeyError("66")
        observation = Count(total=payload["observation"]["total"])
        return StepResult(observation, payload["reward"], payload["done"], info={"parsed": True})

    def _parse_state(self, payload: dict[str, Any]) -> Tally:
        return Tally(total=-payload["total"])


async def test_the_hooks_of_the_client_class_are_used(serve_each):
    async with GenericCounter.vector(serve_each(Seeded).url, num_envs=3) as envs:
        await envs.reset()
        results = await envs.step([{"amount": 2}, {"amount": 3}, {}])
        assert (totals(results), [result.info for result in results]) == ([2, 3, 1], [{"parsed": True}] * 3)
        assert [state.total for state in await envs.state()] == [-2, -3, -1]
        results = await envs.step(["bad", {"amount": 63}, {}])
        assert isinstance(error_of(results[0]), InvalidRequestError)
        assert isinstance(error_of(results[1]), InvalidReplyError)
        assert totals(results) == [None, None, 2]


class Picture(Action):
    pixels: np.ndarray


class Seen(Observation):
    pixels: np.ndarray
    mean: float


class Mirror(Environment[Picture, Seen, State]):
    NON_BLOCKING = SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed: int | None = None) -> Seen:
        return Seen(pixels=np.full((2, 3), seed or 0, np.uint8), mean=float(seed or 0))

    def step(self, action: Picture) -> Seen:
        return Seen(pixels=action.pixels + 1, mean=float(action.pixels.mean()), reward=1.0)

    @property
    def state(self) -> State:
        return State()


class MirrorEnv(EnvClient[Picture, Seen, State]):
    """Speaks MessagePack, for its types hold arrays."""


async def test_arrays_travel_as_they_are(serve_each):
    async with MirrorEnv.vector(serve_each(Mirror).url, num_envs=3) as envs:
        results = await envs.reset(seeds=4)
        assert [result.observation.pixels[1, 2] for result in results] == [4, 5, 6]
        results = await envs.step([Picture(pixels=result.observation.pixels * 2) for result in results])
        assert [result.observation.pixels.tolist() for result in results] == [[[n] * 3] * 2 for n in (9, 11, 13)]
        assert [(result.reward, result.observation.reward) for result in results] == [(1.0, 1.0)] * 3
        assert results[0].observation.pixels.dtype == np.uint8
        results = await envs.step({1: {"pixels": object()}, 0: Picture(pixels=np.zeros(1))})
        assert isinstance(results[0], Failure)
        assert results[1].observation.pixels.tolist() == [1.0]


async def test_arrays_in_dictionaries_are_arrays(serve_each):
    """As with a single client that knows no types."""
    async with GenericEnvClient.vector(serve_each(Mirror).url, num_envs=2) as envs:
        results = await envs.reset(seeds=4)
        assert [result.observation["pixels"].tolist() for result in results] == [[[n] * 3] * 2 for n in (4, 5)]


async def test_ordinary_results_are_the_same_as_those_of_a_single_client(url):
    async with CounterEnv.vector(url, num_envs=1) as envs, CounterEnv(url) as env:
        pairs = [((await envs.reset(seeds=3))[0], await env.reset(seed=3))]
        for amount in (1, 2, 97):
            pairs.append(((await envs.step(adds(amount)))[0], await env.step(Add(amount=amount))))
        for many, single in pairs:
            assert many == single
            assert many.model_fields_set == single.model_fields_set
            assert many.observation.model_fields_set == single.observation.model_fields_set
            assert many.model_dump() == single.model_dump()


async def test_a_provider_starts_the_server_and_stops_it(serve):
    from openenv.providers import Provider

    class Here(Provider):
        stopped = 0

        def launch(self, source: Any) -> list[str]:
            return [serve(Seeded).url]

        def shutdown(self) -> None:
            self.stopped += 1

    provider = Here()
    async with CounterEnv.vector(provider=provider, num_envs=2) as envs:
        assert totals(await envs.reset()) == [0, 0]
    assert provider.stopped == 1


async def test_one_that_was_entered_async_refuses_blocking_iteration(url):
    async with CounterEnv.vector(url, num_envs=1) as envs:
        await envs.reset()
        with pytest.raises(OpenEnvError, match="async"):
            next(iter(envs.step_ready(adds(1))))
