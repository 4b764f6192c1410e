"""Where an environment runs: on which thread, or on the event loop itself."""

import asyncio
import inspect
import json
import threading

import pytest
from tests import shapes
from tests.server.driving import STATE, Answers, asked, manage, opened, reset, step, until
from tests.toys import Add, AsyncCounter, Counter, Gate, InlineCounter, gated

from openenv.errors import ConfigurationError
from openenv.server import threads
from openenv.server.runner import _close
from openenv.server.threads import ThreadPool


class Noting:
    """Notes the thread of every call."""

    def __init__(self) -> None:
        self.threads = {"constructor": threading.current_thread()}

    def note(self, verb: str) -> None:
        self.threads[verb] = threading.current_thread()


class Sync(Noting, Counter):
    def __init__(self) -> None:
        Noting.__init__(self)
        notes.append(self.threads)

    def reset(self):
        self.note("reset")
        return super().reset()

    def step(self, action):
        self.note("step")
        return super().step(action)

    @property
    def state(self):
        self.note("state")
        return self.tally

    def close(self):
        self.note("close")


class Affine(Sync):
    REQUIRES_SINGLE_THREAD_EXECUTOR = True


class Inline(Sync):
    NON_BLOCKING = True


class SlowToReset(Sync):
    NON_BLOCKING = ("step", "state")


class AffineAndSlowToReset(SlowToReset):
    REQUIRES_SINGLE_THREAD_EXECUTOR = True


class SaysWhatTakesLong(Inline):
    """Its resets take long, and steps of 2."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asked_about

    def reset(self, seed: int | None = None, **options):
        return super().reset()

    def takes_long(self, verb, arguments):
        self.asked.append((verb, arguments, threading.current_thread()))
        return verb == "reset" or arguments["action"].amount == 2


class AffineAndSaysWhatTakesLong(SaysWhatTakesLong):
    REQUIRES_SINGLE_THREAD_EXECUTOR = True


class Async(Noting, AsyncCounter):
    def __init__(self) -> None:
        Noting.__init__(self)
        notes.append(self.threads)

    async def reset(self):
        self.note("reset")
        return await super().reset()

    async def step(self, action):
        self.note("step")
        return await super().step(action)

    @property
    def state(self):
        self.note("state")
        return self.tally

    async def close(self):
        self.note("close")


class AffineAsync(Async):
    REQUIRES_SINGLE_THREAD_EXECUTOR = True


notes: list[dict[str, threading.Thread]] = []
asked_about: list[tuple] = []


async def played(environment) -> dict[str, threading.Thread]:
    """Play a session from its beginning to its end and return which thread did what."""
    notes.clear()
    manager = manage(environment, sessions=2)
    session = await opened(manager)
    assert (await asked(session, reset(), step(1), STATE))[:2] == [0, 1]
    session.end()
    await until(lambda: manager.capacity().active_sessions == 0)
    assert set(notes[0]) == {"constructor", "reset", "step", "state", "close"}
    return notes[0]


@pytest.mark.parametrize(
    "environment", [Sync, Affine, lambda: Affine()], ids=["pooled", "affine", "affine by factory"]
)
async def test_a_sync_environment_never_runs_on_the_event_loop(environment):
    assert threading.current_thread() not in (await played(environment)).values()


@pytest.mark.parametrize("environment", [Affine, lambda: Affine()], ids=["class", "factory"])
async def test_one_thread_does_everything_for_an_environment_that_asks_for_it(environment):
    assert len(set((await played(environment)).values())) == 1


async def test_sessions_of_thread_bound_environments_have_a_thread_each():
    notes.clear()
    manager = manage(Affine)
    first, second = await opened(manager), await opened(manager)
    for session in (first, second, first, second):
        await asked(session, reset(), step(1))
    assert [len(set(one.values())) for one in notes] == [1, 1]
    assert notes[0]["step"] is not notes[1]["step"]


@pytest.mark.parametrize("environment", [Inline, lambda: Inline()], ids=["class", "factory"])
async def test_an_environment_that_never_blocks_runs_on_the_loop_but_for_its_constructor(environment):
    done_by = await played(environment)
    assert done_by.pop("constructor") is not threading.current_thread()
    assert set(done_by.values()) == {threading.current_thread()}


async def test_of_an_environment_that_names_what_never_blocks_the_rest_runs_on_threads():
    done_by = await played(SlowToReset)
    here = threading.current_thread()
    assert {verb for verb, thread in done_by.items() if thread is here} == {"step", "state"}


async def test_a_call_that_takes_long_runs_on_a_thread_and_the_others_on_the_loop():
    here = threading.current_thread()
    done_by = await played(SaysWhatTakesLong)
    assert {verb for verb, thread in done_by.items() if thread is here} == {"step", "state", "close"}
    session = await opened(manage(SaysWhatTakesLong))
    await asked(session, reset(), step(2))
    assert notes[-1]["step"] is not here
    await asked(session, step(1))
    assert notes[-1]["step"] is here


async def test_what_a_call_is_given_is_known_when_it_is_asked_whether_it_takes_long():
    session = await opened(manage(SaysWhatTakesLong))
    asked_about.clear()
    await asked(session, reset(5, level="deep"), step(1), STATE)
    here = threading.current_thread()
    action = Add(amount=1)
    assert asked_about == [("reset", {"seed": 5, "level": "deep"}, here), ("step", {"action": action}, here)]


async def test_what_raises_when_it_is_asked_has_failed_and_the_session_goes_on():
    class Raises(InlineCounter):
        def takes_long(self, verb, arguments):
            if verb == "step" and arguments["action"].amount == 3:
                raise LookupError("no idea")
            return False

    session = await opened(manage(Raises))
    assert await asked(session, reset(), step(3), step(2)) == [0, "EXECUTION_ERROR", 2]
    assert json.loads(session.step_now(1, Add(amount=2)).data)["observation"]["total"] == 4
    assert session.step_now(2, Add(amount=3)) is None


@pytest.mark.parametrize("environment", [AffineAndSlowToReset, AffineAndSaysWhatTakesLong])
async def test_one_that_is_bound_to_a_thread_runs_there_even_where_it_never_blocks(environment):
    done_by = await played(environment)
    assert len(set(done_by.values())) == 1
    assert threading.current_thread() not in done_by.values()


async def test_a_verb_that_there_is_not_can_not_be_named_as_one_that_never_blocks():
    class Misspelt(Counter):
        NON_BLOCKING = "step"

    with pytest.raises(ConfigurationError, match="NON_BLOCKING of Misspelt is 'step': True, or a tuple of"):
        manage(Misspelt)


@pytest.mark.parametrize("environment", [Async, AffineAsync])
async def test_coroutines_run_on_the_loop_and_so_does_the_state_beside_them(environment):
    done_by = await played(environment)
    assert done_by.pop("constructor") is not threading.current_thread()
    assert set(done_by.values()) == {threading.current_thread()}


async def test_a_coroutine_returned_by_a_sync_method_is_awaited_on_the_loop():
    session = await opened(manage(shapes.SyncThatReturnsACoroutine))
    assert await asked(session, reset(), step(4)) == [0, 4]


async def test_a_step_that_does_not_block_is_answered_before_the_call_returns():
    session = await opened(manage(InlineCounter))
    answers = Answers(session)
    answers.ask(reset())
    answers.ask(step(2))
    assert answers() == [0, 2]


async def test_as_many_sessions_as_there_are_can_be_in_a_step_at_once():
    gate = Gate()
    manager = manage(gated(gate))
    sessions = [await opened(manager) for _ in range(30)]
    answers = [Answers(session) for session in sessions]
    for one in answers:
        one.ask(reset())
        one.ask(step(0))
    await asyncio.to_thread(gate.wait_for, 30)
    gate.open()
    await until(lambda: all(one() == [0, 0] for one in answers))


async def test_a_slow_constructor_stops_nobody_else():
    gate = Gate()
    first = True

    class Slow(Counter):
        def __init__(self) -> None:
            nonlocal first
            slow, first = first, False
            if slow:
                gate.pass_through()

    manager = manage(Slow)
    waiting = Answers(manager.open())
    waiting.ask(reset())
    await asyncio.to_thread(gate.wait_for, 1)
    assert await asked(await opened(manager), reset(), step(1)) == [0, 1]
    assert waiting() == [None]
    gate.open()
    await until(lambda: waiting() == [0])


# --- the threads themselves -----------------------------------------------------------------------


async def test_the_pool_uses_a_thread_again_and_grows_when_all_are_busy():
    pool = ThreadPool(asyncio.get_running_loop(), name="pool-test")
    used: list[threading.Thread] = []

    async def run(count: int) -> None:
        barrier = threading.Barrier(count)
        left = count

        def done(thread, error):
            nonlocal left
            assert error is None
            used.append(thread)
            left -= 1

        for _ in range(count):
            pool.run(lambda: barrier.wait(10) is not None and threading.current_thread(), done)
        await until(lambda: not left)

    for count in (1, 1, 3, 2):
        await run(count)
    assert used[0] is used[1]
    assert len(set(used)) == 3
    pool.close()
    await until(lambda: not any(thread.is_alive() for thread in used))


async def test_threads_without_work_end_after_a_while(monkeypatch):
    monkeypatch.setattr(threads, "IDLE_S", 0.02)
    pool = ThreadPool(asyncio.get_running_loop())
    used = []
    for _ in range(2):
        pool.run(threading.current_thread, lambda thread, _error: used.append(thread))
    await until(lambda: len(used) == 2 and not any(thread.is_alive() for thread in used))
    pool.run(threading.current_thread, lambda thread, _error: used.append(thread))
    await until(lambda: len(used) == 3)


async def test_a_pool_that_is_closed_ends_busy_threads_when_they_finish():
    pool, gate, used = ThreadPool(asyncio.get_running_loop()), Gate(), []

    def work():
        gate.pass_through()
        return threading.current_thread()

    pool.run(work, lambda thread, _error: used.append(thread))
    await asyncio.to_thread(gate.wait_for, 1)
    pool.close()
    gate.open()
    await until(lambda: used and not used[0].is_alive())


async def test_a_thousand_quick_starts_at_once_share_a_few_threads():
    pool, used = ThreadPool(asyncio.get_running_loop()), []

    def started(thread, _value, _error):
        used.append(thread)
        pool.release(thread)

    for _ in range(1000):
        pool.start(lambda: None, started)
    await until(lambda: len(used) == 1000)
    assert len(set(used)) < 100
    pool.close()


async def test_starts_that_hang_hold_up_no_other():
    pool, gate, used = ThreadPool(asyncio.get_running_loop()), Gate(), []

    def started(thread, _value, _error):
        used.append(thread)
        pool.release(thread)

    for _ in range(40):
        pool.start(gate.pass_through, started)
    pool.start(lambda: None, started)
    await until(lambda: len(used) == 1)
    gate.open()
    await until(lambda: len(used) == 41)
    pool.close()


async def test_a_start_that_waits_when_the_pool_is_closed_is_run_all_the_same():
    pool, gate, used = ThreadPool(asyncio.get_running_loop()), Gate(), []

    def started(thread, _value, _error):
        used.append(thread)
        pool.release(thread)

    for _ in range(10):
        pool.start(gate.pass_through, started)
    pool.close()
    gate.open()
    await until(lambda: len(used) == 10)


async def test_what_a_thread_raises_comes_back_whatever_it_is():
    pool, got = ThreadPool(asyncio.get_running_loop()), []
    for error in (ValueError("x"), SystemExit(1), KeyboardInterrupt()):

        def work(error=error):
            raise error

        pool.run(work, lambda value, raised: got.append((value, raised)))
    await until(lambda: len(got) == 3)
    assert {type(raised) for _, raised in got} == {ValueError, SystemExit, KeyboardInterrupt}
    assert [value for value, _ in got] == [None] * 3
    pool.close()


def test_a_thread_that_finishes_after_its_loop_is_closed_just_ends():
    gate, threads_seen = Gate(), []

    async def leave_it_running() -> None:
        pool = ThreadPool(asyncio.get_running_loop())

        def work():
            threads_seen.append(threading.current_thread())
            gate.pass_through()

        pool.run(work, lambda _value, _error: None)
        await asyncio.to_thread(gate.wait_for, 1)

    asyncio.run(leave_it_running())
    gate.open()
    threads_seen[0].join(10)
    assert not threads_seen[0].is_alive()


def test_a_coroutine_that_is_stopped_before_it_begins_takes_with_it_those_it_was_given():
    async def given() -> None: ...

    async def begins(coming) -> None:
        await coming

    inner = given()
    outer = begins(inner)
    _close(outer)
    states = [inspect.getcoroutinestate(one) for one in (outer, inner)]
    assert states == [inspect.CORO_CLOSED, inspect.CORO_CLOSED]
