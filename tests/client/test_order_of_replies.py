"""A reply belongs to the request it answers, however many are under way, late or given up."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.client.conftest import allow
from tests.servers import BOUND_S
from tests.toys import Add, AsyncCounter, Count, Counter, CounterEnv, Gate, InlineCounter, Tally, gated

from openenv.client import HTTPEnvClient
from openenv.errors import BudgetExceededError, SessionLost

AMOUNTS = [number if number % 2 else -number for number in range(20, 70)]  # no two alike, and the total stays small

counters = pytest.mark.parametrize("environment", [Counter, InlineCounter, AsyncCounter])


@counters
async def test_fifty_steps_at_once_each_get_their_own_reply(shared_each, environment):
    async with CounterEnv(shared_each(environment).url) as env:
        await env.reset()
        results = await asyncio.gather(*(env.step(Add(amount=amount)) for amount in AMOUNTS))
        assert [result.reward for result in results] == AMOUNTS
        assert env._core.link.late_replies == 0


async def test_fifty_steps_at_once_on_a_bare_client_each_get_their_own_reply(shared_each):
    client = CounterEnv(shared_each(Counter).url)
    await client.reset()
    pending = [client.step(Add(amount=amount)) for amount in AMOUNTS]
    assert [result.reward for result in reversed(pending)] == AMOUNTS[::-1]
    client.close()


def test_fifty_threads_on_one_client_each_get_their_own_reply(shared_each):
    with CounterEnv(shared_each(Counter).url) as env, ThreadPoolExecutor(50) as threads:
        env.reset()
        amounts = [-abs(amount) for amount in AMOUNTS]  # threads come in any order, and none must end the episode
        results = list(threads.map(lambda amount: env.step(Add(amount=amount)).reward, amounts))
    assert results == amounts


async def test_calls_of_different_kinds_at_once_each_get_their_own_reply(shared_each):
    async with CounterEnv(shared_each(Counter).url) as env:
        await env.reset()
        step, state, reset = await asyncio.gather(env.step(Add(amount=7)), env.state(), env.reset())
        assert (step.reward, state.total, reset.observation.total) == (7, 7, 0)


async def test_the_late_reply_of_a_step_that_timed_out_is_dropped_and_counted(serve_each):
    gate = Gate()
    async with CounterEnv(serve_each(gated(gate)).url) as env:
        await env.reset()
        allow(env, 0.3)
        with pytest.raises(BudgetExceededError, match="message_timeout_s") as caught:
            await env.step(Add(amount=0))
        assert isinstance(caught.value, TimeoutError)
        assert (caught.value.budget, caught.value.seconds) == ("message", 0.3)
        allow(env, BOUND_S)
        gate.open()
        assert (await env.step(Add(amount=5))).reward == 5
        assert env._core.link.late_replies == 1


def test_the_late_reply_of_a_blocking_step_that_timed_out_is_dropped(serve_each):
    gate = Gate()
    with CounterEnv(serve_each(gated(gate)).url) as env:
        env.reset()
        allow(env, 0.3)
        with pytest.raises(TimeoutError):
            env.step(Add(amount=0))
        allow(env, BOUND_S)
        gate.open()
        assert (env.step(Add(amount=5)).reward, env.state().step_count) == (5, 2)
        assert env._core.link.late_replies == 1


async def test_the_late_reply_of_a_cancelled_step_is_dropped_and_counted(serve_each):
    gate = Gate()
    async with CounterEnv(serve_each(gated(gate)).url) as env:
        await env.reset()
        running, waiting = (asyncio.create_task(env.step(Add(amount=0))) for _ in range(2))
        await asyncio.to_thread(gate.wait_for, 1)
        running.cancel()
        waiting.cancel()
        gate.open()
        assert (await env.step(Add(amount=5))).reward == 5
        assert env._core.link.late_replies == 2


async def test_the_late_reply_of_a_cancelled_bare_step_is_dropped_and_counted(serve_each):
    gate = Gate()
    client = CounterEnv(serve_each(gated(gate)).url)
    await client.reset()
    step = asyncio.create_task(client.step(Add(amount=0)))
    await asyncio.to_thread(gate.wait_for, 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(step, 0.01)
    await client.capacity()  # goes the same way as the cancellation, after it
    gate.open()
    assert (await client.step(Add(amount=5))).reward == 5
    assert client._core.link.late_replies == 1
    await client.close()


async def test_closing_ends_a_step_that_is_under_way(serve_each):
    gate = Gate()
    env = await CounterEnv(serve_each(gated(gate)).url)
    await env.reset()
    step = asyncio.create_task(env.step(Add(amount=0)))
    await asyncio.to_thread(gate.wait_for, 1)
    await env.close()
    gate.open()
    with pytest.raises(SessionLost, match="was closed"):
        await step


async def test_closing_ends_a_connect_that_is_under_way(serve_each):
    server = serve_each(Counter)
    env = CounterEnv(server.url)
    reset = env.reset()  # opens the connection
    await env.close()
    with pytest.raises(SessionLost, match="closed"):
        await reset


class CounterHTTP(HTTPEnvClient[Add, Count, Tally]):
    """The HTTP client of the counters."""


def test_a_request_over_http_that_timed_out_leaves_the_next_its_own_reply(serve):
    gate = Gate()
    with CounterHTTP(serve(gated(gate)).url) as env:
        env.reset()
        allow(env, 0.3)
        with pytest.raises(BudgetExceededError, match="request_timeout_s") as caught:
            env.step(Add(amount=0))
        assert isinstance(caught.value, TimeoutError)
        assert (caught.value.budget, caught.value.seconds) == ("message", 0.3)
        allow(env, BOUND_S)
        gate.open()
        assert (env.step(Add(amount=5)).reward, env.state().step_count) == (5, 2)
