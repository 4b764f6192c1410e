"""The time a program gives one step."""

import math
from collections.abc import Iterator

import pytest
from tests.servers import BOUND_S
from tests.sessions_v2 import environments
from tests.sessions_v2.environments import KINDS, Coroutines, Do, Seen
from tests.toys import Add, Counter, CounterEnv, Gate, gated

from openenv.client import EnvClient, HTTPEnvClient
from openenv.errors import BudgetExceededError, InvalidRequestError
from openenv.models import State
from openenv.server.budgets import Budgets
from openenv.testing import LocalServer

SHORT_S = 0.1


class DoEnv(EnvClient[Do, Seen, State]):
    """The client of all of them."""


class DoHTTP(HTTPEnvClient[Do, Seen, State]):
    """The same over plain HTTP."""


@pytest.fixture(autouse=True)
def let_go() -> Iterator[None]:
    """Let threads go that hang in an environment."""
    environments.release.clear()
    yield
    environments.release.set()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("client_class", [DoEnv, DoHTTP])
def test_a_step_over_its_time_is_stopped_on_the_server(shared, kind, client_class):
    with client_class(base_url=shared(KINDS[kind]).url).sync() as env:
        env.reset()
        with pytest.raises(BudgetExceededError, match="timeout_s of the request") as caught:
            env.step(Do(what="hang"), timeout_s=SHORT_S)
        assert (caught.value.budget, caught.value.seconds) == ("step", SHORT_S)
        assert env.reset().info["warnings"][0].startswith("This is a new environment")
        assert env.step(Do(), timeout_s=BOUND_S).observation.steps == 1


async def test_more_time_than_the_server_allows_is_not_to_be_had(serve):
    server = serve(Coroutines, budgets=Budgets(step=SHORT_S))
    async with DoEnv(base_url=server.url) as env:
        await env.reset()
        with pytest.raises(BudgetExceededError) as caught:
            await env.step(Do(what="hang"), timeout_s=1000)
        assert caught.value.seconds == SHORT_S


async def test_more_time_than_the_client_waits_is_not_to_be_had(shared):
    async with DoEnv(base_url=shared(Coroutines).url, message_timeout_s=SHORT_S) as env:
        await env.reset()
        with pytest.raises(BudgetExceededError, match="message_timeout_s"):
            await env.step(Do(what="hang"), timeout_s=1000)


async def test_over_version_1_the_client_gives_up_and_the_late_answer_is_dropped(serve_old):
    gate = Gate()
    async with CounterEnv(base_url=serve_old(gated(gate)).url) as env:
        await env.reset()
        with pytest.raises(BudgetExceededError, match="Raise timeout_s") as caught:
            await env.step(Add(amount=0), timeout_s=SHORT_S)
        assert caught.value.budget == "step"
        gate.open()
        assert (await env.step(Add(amount=3), timeout_s=BOUND_S)).observation.total == 3


async def test_over_version_1_more_time_than_the_client_waits_is_not_to_be_had(serve_old):
    gate = Gate()
    async with CounterEnv(base_url=serve_old(gated(gate)).url, message_timeout_s=SHORT_S) as env:
        await env.reset()
        with pytest.raises(BudgetExceededError, match="message_timeout_s"):
            await env.step(Add(amount=0), timeout_s=1000)
        gate.open()


async def test_in_the_tests_own_process_the_client_gives_up_too():
    gate = Gate()
    async with LocalServer(gated(gate)) as server, server.client(CounterEnv) as env:
        await env.reset()
        with pytest.raises(BudgetExceededError, match="Raise timeout_s"):
            await env.step(Add(amount=0), timeout_s=SHORT_S)
        gate.open()
        assert (await env.step(Add(amount=3), timeout_s=BOUND_S)).observation.total == 3


@pytest.mark.parametrize("wrong", [0, -1, math.nan, math.inf])
async def test_what_is_no_time_is_refused_and_nothing_is_sent(shared, wrong):
    async with CounterEnv(base_url=shared(Counter).url) as env:
        await env.reset()
        with pytest.raises(InvalidRequestError, match="timeout_s"):
            await env.step(Add(), timeout_s=wrong)
        assert (await env.step(Add(), timeout_s=None)).observation.total == 1
