"""The one thread that all blocking clients of a process share: it ends with the last of them, and starts again."""

import asyncio
import gc
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.client.conftest import portal_threads, told_to_be_dropped
from tests.servers import wait_until
from tests.toys import Add, Count, Counter, CounterEnv, Tally

from openenv.client import HTTPEnvClient, portal
from openenv.errors import ConnectionFailedError, OpenEnvError


class CounterHTTP(HTTPEnvClient[Add, Count, Tally]):
    """The HTTP client of the counters."""


def opened(cls: type[CounterEnv], url: str) -> CounterEnv:
    client = cls(url)
    client.reset()
    return client


def collected(condition: Callable[[], bool]) -> bool:
    """Return whether a condition comes true once what nobody uses is collected, in a bounded time."""
    return wait_until(lambda: gc.collect() >= 0 and condition())


@pytest.fixture
def sessions(serve):
    """The address of a server, and how many sessions it has."""
    server = serve(Counter)
    return server.url, lambda: server.manager.capacity().active_sessions


def test_many_blocking_clients_share_one_thread_which_ends_with_the_last(sessions):
    url, count = sessions
    clients = [opened(cls, url) for cls in (CounterEnv, CounterHTTP) * 8]
    clients += [CounterEnv(url).sync().connect() for _ in range(2)]
    assert (len(portal_threads()), count()) == (1, 18)
    for client in clients[1:]:
        client.close()
    assert clients[0].step(Add()).observation.total == 1
    assert len(portal_threads()) == 1
    clients[0].close()
    assert not portal_threads()


def test_it_starts_again_for_the_next_client(shared):
    client = CounterEnv(shared(Counter).url)
    for _ in range(3):
        assert client.reset().observation.total == 0
        assert len(portal_threads()) == 1
        client.close()
        assert not portal_threads()


def test_a_call_that_opens_no_session_leaves_no_thread(shared):
    CounterEnv(shared(Counter).url).capacity()
    assert not portal_threads()


def test_a_call_that_fails_to_connect_leaves_no_thread():
    with pytest.raises(ConnectionFailedError):
        CounterEnv("http://127.0.0.1:9").reset()
    assert not portal_threads()


@pytest.mark.parametrize("cls", [CounterEnv, CounterHTTP])
def test_a_client_that_is_dropped_without_close_ends_its_session_and_the_thread(sessions, cls):
    url, count = sessions
    with told_to_be_dropped(cls.__name__):
        opened(cls, url)
        assert collected(lambda: count() == 0 and not portal_threads())


def test_a_client_that_is_dropped_ends_its_session_while_others_go_on(sessions):
    url, count = sessions
    with CounterEnv(url) as other:
        other.reset()
        with told_to_be_dropped():
            opened(CounterEnv, url)
            assert collected(lambda: count() == 1)
        assert other.step(Add()).observation.total == 1


def test_a_client_found_by_the_portals_own_thread_ends_its_session(sessions):
    url, count = sessions
    with CounterEnv(url) as other:
        other.reset()
        held = [opened(CounterEnv, url)]
        there = other._tenancy.enter()
        with told_to_be_dropped():
            there.loop.call_soon_threadsafe(held.clear)  # the last reference goes on that thread
            assert wait_until(lambda: there.loop.call_soon_threadsafe(gc.collect) and count() == 1)
        other._tenancy.leave()


async def test_bare_clients_inside_a_loop_leave_no_thread(sessions):
    url, count = sessions
    clients = [CounterEnv(url) for _ in range(4)]
    await asyncio.gather(*(client.reset() for client in clients))
    assert len(portal_threads()) == 1
    await asyncio.gather(*(client.close() for client in clients))
    assert await asyncio.to_thread(wait_until, lambda: not portal_threads())
    assert await asyncio.to_thread(wait_until, lambda: count() == 0)


async def test_a_bare_client_that_is_dropped_inside_a_loop_leaves_no_thread(sessions):
    url, count = sessions
    client = CounterEnv(url)
    await client.reset()
    with told_to_be_dropped():
        del client
        assert await asyncio.to_thread(collected, lambda: count() == 0 and not portal_threads())


async def test_an_async_client_that_is_dropped_without_close_ends_its_session(sessions):
    url, count = sessions
    client = await CounterEnv(url)
    await client.reset()
    with told_to_be_dropped("CounterEnv"):
        del client
        assert await asyncio.to_thread(collected, lambda: count() == 0)


def test_one_that_was_closed_and_moved_to_another_loop_is_ended_there(sessions):
    url, count = sessions
    client = CounterEnv(url)

    async def play() -> None:
        async with client:
            await client.reset()

    asyncio.run(play())

    async def drop() -> None:
        nonlocal client
        await (await client).reset()
        with told_to_be_dropped():
            del client
            assert await asyncio.to_thread(collected, lambda: count() == 0)
        while portal._closing:  # the server's side has gone; this loop is not to end before our own has
            await asyncio.sleep(0)

    asyncio.run(drop())


async def test_one_that_was_closed_may_be_dropped(shared):
    client = await CounterEnv(shared(Counter).url)
    await client.reset()
    await client.close()
    del client
    assert collected(lambda: True)  # a warning would fail this test


async def test_an_async_client_needs_no_thread(shared):
    async with CounterEnv(shared(Counter).url) as env:
        await env.reset()
        await env.capacity()
        assert not portal_threads()


async def test_a_short_call_does_not_end_the_thread_under_a_longer_one(shared):
    for _ in range(10):
        client = CounterEnv(shared(Counter).url)
        capacity, first = client.capacity(), client.reset()
        assert (await first).observation.total == 0
        assert (await capacity).max_sessions > 1
        await client.close()


def test_threads_may_open_and_close_clients_as_they_like(sessions):
    url, count = sessions

    def play(_number: int) -> int:
        with CounterEnv(url) as env:
            env.reset()
            return env.step(Add(amount=4)).observation.total

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(play, range(30))) == [4] * 30
    assert wait_until(lambda: count() == 0)


def test_it_leaves_no_thread_of_an_executor_either(shared):
    with CounterEnv(shared(Counter).url.replace("127.0.0.1", "localhost")) as env:
        assert env.reset().observation.total == 0
        assert env.capacity().active_sessions >= 1
    assert not portal_threads()


def test_a_hook_that_makes_a_blocking_call_is_told_that_it_would_wait_for_ever(shared):
    class Recursive(CounterEnv):
        def _parse_result(self, payload):
            self.state()

    with Recursive(shared(Counter).url) as env, pytest.raises(OpenEnvError, match="wait for itself"):
        env.reset()


FORKING = """
import atexit, os, sys, time
from openenv.client import GenericEnvClient
from openenv.errors import OpenEnvError

def check_that_nothing_was_waited_for():
    if os.getpid() == child_pid and time.monotonic() - began > 4:
        print("it waited for a thread that did not come along", file=sys.stderr, flush=True)
        os._exit(1)

child_pid = 0
atexit.register(check_that_nothing_was_waited_for)  # runs after what clients register
parent = GenericEnvClient(sys.argv[1])
parent.reset()
if (child := os.fork()) == 0:
    try:
        with GenericEnvClient(sys.argv[1]) as env:
            env.reset()
            assert env.step({"amount": 2}).observation["total"] == 2
        try:
            parent.step({"amount": 3})
        except OpenEnvError as error:
            assert "fork" in str(error), error
        else:
            raise AssertionError("the parent's client was used")
        child_pid, began = os.getpid(), time.monotonic()
        parent.close()
        del parent
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    sys.exit(7)  # the usual way, with all that is to be done at exit
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
assert parent.step({"amount": 5}).observation["total"] == 5
parent.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_after_a_fork_the_child_makes_clients_of_its_own_and_leaves_the_parents_alone(shared):
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, shared(Counter).url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
