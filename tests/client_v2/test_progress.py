"""How a program hears of a long reset or step."""

import asyncio
import logging
import threading
from collections.abc import Iterator

import pytest
from tests.servers import BOUND_S
from tests.sessions_v2 import environments
from tests.sessions_v2.reporting import KINDS, OnLoop, OnThread, Report, Reported

from openenv.client import EnvClient, Progress
from openenv.client.progress import Listening
from openenv.errors import BudgetExceededError, RequestCancelledError
from openenv.models import State

SHORT_S = 0.2
HANG = Report(times=1, hang=True)


class ReportEnv(EnvClient[Report, Reported, State]):
    """The client of all of them."""


@pytest.fixture(autouse=True)
def let_go() -> Iterator[None]:
    """Let threads go that hang in an environment."""
    environments.release.clear()
    yield
    environments.release.set()


class Told:
    """A callback that remembers what it was told, and when it was told for the first time."""

    def __init__(self) -> None:
        self.all: list[Progress] = []
        self.threads: set[int] = set()
        self.first = threading.Event()

    def __call__(self, progress: Progress) -> None:
        self.all.append(progress)
        self.threads.add(threading.get_ident())
        self.first.set()


async def stopped(env: ReportEnv, step: "asyncio.Future[object]") -> None:
    """Stop a step that hangs."""
    assert await env.cancel()
    with pytest.raises(RequestCancelledError):
        await step


@pytest.mark.parametrize("kind", KINDS)
async def test_a_callback_of_the_client_hears_of_every_step(shared, kind):
    told = Told()
    async with ReportEnv(base_url=shared(KINDS[kind]).url, on_progress=told) as env:
        await env.reset()
        step = asyncio.ensure_future(env.step(HANG))
        assert await asyncio.to_thread(told.first.wait, BOUND_S)
        assert told.all == [Progress(1.0, "1 of 1", {"number": 1})]
        await stopped(env, step)


async def test_a_callback_of_one_call_takes_the_place_of_the_clients(shared):
    always, of_reset, of_step = Told(), Told(), Told()
    async with ReportEnv(base_url=shared(OnLoop).url, on_progress=always) as env:
        await env.reset(times=1, on_progress=of_reset)
        assert [one.message for one in of_reset.all] == ["1 of 1"]
        step = asyncio.ensure_future(env.step(HANG, on_progress=of_step))
        assert await asyncio.to_thread(of_step.first.wait, BOUND_S)
        await stopped(env, step)
        assert (len(of_reset.all), len(of_step.all), always.all) == (1, 1, [])


async def test_a_coroutine_function_may_take_its_time_and_gets_the_latest(shared):
    told: list[object] = []
    may_go_on = asyncio.Event()

    async def tell(progress: Progress) -> None:
        told.append(progress.data["number"])
        await may_go_on.wait()

    async with ReportEnv(base_url=shared(OnLoop).url, on_progress=tell) as env:
        await env.reset()
        step = asyncio.ensure_future(env.step(Report(times=1000, hang=True)))
        while not told:
            await asyncio.sleep(0.001)
        await asyncio.sleep(SHORT_S)  # the last one comes, and waits
        assert len(told) == 1
        may_go_on.set()
        while told[-1] != 1000:
            await asyncio.sleep(0.001)
        await stopped(env, step)


async def test_what_is_still_to_be_told_when_the_answer_comes_is_not_told_any_more():
    told: list[str] = []
    may_go_on = asyncio.Event()

    async def tell(progress: Progress) -> None:
        await may_go_on.wait()
        told.append(progress.message)

    listening = Listening(tell)
    listening.hear(Progress(message="first"))
    listening.hear(Progress(message="second"))
    listening.end()
    listening.hear(Progress(message="third"))
    may_go_on.set()
    while not told:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert told == ["first"]


def test_a_blocking_caller_is_told_on_another_thread(shared):
    told = Told()
    with ReportEnv(base_url=shared(OnThread).url).sync() as env:
        env.reset()
        env.step(Report(times=1), on_progress=told)
    assert told.threads
    assert threading.get_ident() not in told.threads


@pytest.mark.parametrize("awaits", [False, True])
async def test_a_callback_that_fails_is_logged_and_the_step_goes_on(shared, caplog, awaits):
    def fail(_progress: Progress) -> None:
        raise LookupError("no such bar")

    async def fail_later(progress: Progress) -> None:
        fail(progress)

    async with ReportEnv(base_url=shared(OnLoop).url, on_progress=fail_later if awaits else fail) as env:
        await env.reset()
        with caplog.at_level(logging.ERROR, "openenv.client"):
            assert (await env.step(Report(times=1))).observation.steps == 1
        assert "no such bar" in caplog.text


async def test_progress_is_a_sign_of_life(shared):
    """The message budget is for silence: a step that goes on telling may take longer."""
    async with ReportEnv(base_url=shared(OnLoop).url, message_timeout_s=4 * SHORT_S) as env:
        await env.reset()
        result = await env.step(Report(times=1, ticks=10, tick_s=SHORT_S))
        assert result.observation.steps == 1
        with pytest.raises(BudgetExceededError, match="message budget"):
            await env.step(HANG)


def test_other_sessions_are_told_apart(shared):
    told = Told()
    with ReportEnv.vector(shared(OnThread).url, num_envs=3, on_progress=told) as envs:
        envs.reset()
        envs.step({0: Report(times=0), 1: Report(times=1), 2: Report(times=1)})
    assert {one.index for one in told.all} == {1, 2}


@pytest.mark.parametrize(
    ("data", "progress"),
    [
        ({"fraction": 1, "message": "m", "x": 2}, Progress(1.0, "m", {"x": 2})),
        ({"fraction": "half", "message": None}, Progress()),
        ({"fraction": True}, Progress()),
        ({}, Progress()),
        (None, Progress()),
        ([1], Progress()),
    ],
)
def test_whatever_a_server_tells_is_progress(data, progress):
    assert Progress.of(data) == progress
