"""Forks and lost connections, deaths and ends: each is made once, and nothing is left of any."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.servers import BOUND_S, wait_until
from tests.sessions import copies
from tests.sessions.copies import WAYS, Dice, DiceEnv, Roll, TellingDice, warm
from tests.sessions.environments import release
from tests.sessions.test_workers import descriptors, is_gone, runs
from tests.sessions.wire import Remote, Wires, pass_time, used

from openenv.errors import EnvironmentDiedError, SnapshotNotFoundError, SnapshotUnsupportedError
from openenv.server.budgets import Budgets

both_ways = pytest.mark.parametrize("way", ["thread", "forked"])


@pytest.fixture(autouse=True)
def nobody_waits():
    """Let `get_state` go through, unless a test says otherwise."""
    copies.hold.clear()
    copies.held.clear()
    yield
    copies.hold.clear()


def children(pid: int) -> list[int]:
    """Return the processes that a process has not waited for yet, those that have ended among them."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def deed(session: Remote, name: str) -> str:
    """Have a session do something and return what it says."""
    said = session.seen(session.send("step", {"deed": name}))["said"]
    assert isinstance(said, str)
    return said


def fork(session: Remote, seq: int, count: int = 2) -> dict:
    """Fork a session and return the answer."""
    return session.wire.ask("fork", session=session.id, seq=seq, data={"count": count})


# --- exactly once --------------------------------------------------------------------------------------


@both_ways
def test_a_fork_that_is_asked_for_again_is_made_once(serve, both: Wires, way):
    server = warm(serve(WAYS[way]))
    session = both(server).play()
    first = fork(session, 2)
    again = fork(session, 2)
    assert first["data"] == again["data"]
    assert used(server) == 3
    kept = session.wire.ask("snapshot", session=session.id, seq=3)["data"]["snapshot"]
    assert session.wire.ask("snapshot", session=session.id, seq=3)["data"]["snapshot"] == kept
    assert len(session.wire.ask("snapshots", session=session.id)["data"]["snapshots"]) == 1
    session.seq = 3
    session.seen(session.send("step"))
    data = {"snapshot": kept}
    for _ in range(2):
        assert session.wire.ask("restore", session=session.id, seq=5, data=data)["data"]["step_count"] == 0


@both_ways
def test_the_connection_that_gets_the_answer_holds_the_forks(serve, both: Wires, way):
    server = warm(serve(WAYS[way]))
    old = both(server)
    session = old.play()
    told = fork(session, 2)["data"]["sessions"]
    new = both(server)
    session.resume(new)
    assert fork(session, 2)["data"]["sessions"] == told
    forks = [Remote(new, one["session"], one["token"]) for one in told]
    for one in forks:
        one.seen(one.send("step"))
    assert {old.notice()["session"] for _ in range(3)} == {session.id, *(one.id for one in forks)}
    for one in [session, *forks]:
        new.ask("close", session=one.id)
    assert wait_until(lambda: used(server) == 0)


async def test_a_client_whose_connection_is_cut_in_the_middle_of_a_fork_gets_each_fork_once(serve):
    server = serve(TellingDice)
    async with DiceEnv(server.url) as env:
        await env.reset(seed=3)
        await env.step(Roll())
        copies.hold.set()
        forking = asyncio.ensure_future(env.fork(3))
        await asyncio.to_thread(copies.held.wait, BOUND_S)
        server.cut()
        copies.hold.clear()
        release.set()
        forks = await forking
        expected = (await env.step(Roll())).observation.own
        assert [(await one.step(Roll())).observation.own for one in forks] == [expected] * 3
        assert used(server) == 4
        server.cut()  # they share a connection, and all of them come back
        assert len({(await one.state()).episode_id for one in forks}) == 3
    assert await asyncio.to_thread(wait_until, lambda: used(server) == 0)


@pytest.mark.parametrize("way", ["thread", "process", "forked"])
def test_a_client_that_is_cut_off_again_and_again_gets_each_fork_once(serve, way):
    server = warm(serve(WAYS[way]))

    async def play() -> None:
        async with DiceEnv(server.url) as env:
            await env.reset(seed=3)
            for turn in range(5):
                forking = asyncio.ensure_future(env.fork(2))
                for _ in range(turn):
                    await asyncio.sleep(0)
                server.cut()
                forks = await forking
                own = [(await one.step(Roll())).observation.own for one in forks]
                assert own[0] == own[1]
                for one in forks:
                    await one.close()
            assert await asyncio.to_thread(wait_until, lambda: used(server) == 1)

    asyncio.run(asyncio.wait_for(play(), 6 * BOUND_S))


async def test_forks_that_come_too_late_for_their_caller_are_ended(serve):
    server = serve(TellingDice)
    async with DiceEnv(server.url) as env:
        await env.reset()
        copies.hold.set()
        forking = asyncio.ensure_future(env.fork(2))
        await asyncio.to_thread(copies.held.wait, BOUND_S)
        forking.cancel()
        release.set()
        await asyncio.gather(forking, return_exceptions=True)
        await env.step(Roll())
        assert await asyncio.to_thread(wait_until, lambda: used(server) == 1)


def test_a_session_that_ends_while_it_is_forked_takes_the_forks_along(serve, wires: Wires):
    server = serve(TellingDice)
    wire = wires(server)
    session = wire.play()
    copies.hold.set()
    number = wire.send("fork", session=session.id, seq=2, data={"count": 3})
    assert copies.held.wait(BOUND_S)
    wire.ask("close", session=session.id)
    assert session.error(number)["code"] == "SESSION_LOST"
    release.set()
    assert wait_until(lambda: used(server) == 0)
    assert not server.manager.sessions()


def test_a_fork_of_which_a_worker_can_not_be_made_costs_nothing(serve, wires: Wires):
    server = warm(serve(Dice))
    wire = wires(server)
    session = wire.play()
    pid = int(deed(session, "pid"))
    os.kill(pid, signal.SIGSTOP)
    number = wire.send("fork", session=session.id, seq=3, data={"count": 3})
    assert wait_until(lambda: used(server) == 4)
    os.kill(pid, signal.SIGKILL)
    assert session.error(number)["code"] == "ENVIRONMENT_DIED"
    assert wait_until(lambda: used(server) == 1)
    session.seq = 3
    assert session.reset()["own"] == []


def test_a_copy_that_takes_too_long_is_stopped(serve, wires: Wires):
    server = serve(TellingDice, budgets=Budgets(snapshot=0.05))
    session = wires(server).play()
    copies.hold.set()
    error = session.error(session.wire.send("snapshot", session=session.id, seq=2))
    assert (error["code"], error["budget"]) == ("BUDGET_EXCEEDED", "snapshot")
    copies.hold.clear()
    release.set()
    session.seq = 2
    assert session.reset()["own"] == []


# --- deaths and ends -------------------------------------------------------------------------------------


def test_forks_die_by_themselves_and_their_ends_are_told(serve):
    server = serve(Dice)
    with DiceEnv(server.url) as env:
        env.reset(seed=1)
        first, second = env.fork(2)
        with pytest.raises(EnvironmentDiedError, match="ended with exit code 7"):
            first.step(Roll(deed="die"))
        pid = int(second.step(Roll(deed="pid")).observation.said)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(EnvironmentDiedError, match="was killed by SIGKILL"):
            second.step(Roll())
        assert first.reset(seed=1).observation.own == []
        assert "a new environment" in second.reset(seed=1).info["warnings"][0]
        assert len(env.step(Roll()).observation.own) == 1
        [third] = env.fork()
        with pytest.raises(EnvironmentDiedError):
            env.step(Roll(deed="die"))
        assert len(third.step(Roll()).observation.own) == 2  # it lives on without its parent


def test_a_dead_session_is_brought_back_by_a_snapshot_and_a_dead_snapshot_is_told(serve):
    server = serve(Dice)
    with DiceEnv(server.url) as env:
        env.reset(seed=1)
        before = env.step(Roll()).observation
        kept = env.snapshot()
        with pytest.raises(EnvironmentDiedError):
            env.step(Roll(deed="die"))
        env.restore(kept)
        assert env.step(Roll()).observation.own[:1] == before.own
        [snapshot] = server.manager.snapshots._kept.values()
        os.kill(snapshot.runner._pid, signal.SIGKILL)
        with pytest.raises(SnapshotNotFoundError, match=r"is lost: .*SIGKILL"):
            env.restore(kept)
        assert len(env.step(Roll()).observation.own) == 3
        assert env.snapshots() == []


def test_workers_forks_and_snapshots_are_children_of_the_fork_server_and_none_is_left(serve):
    server = serve(Dice)
    with DiceEnv(server.url) as env:
        env.reset(seed=1)
        forks = env.fork(3)
        forks += forks[0].fork(2)
        env.snapshot()
        fork_server = server.manager._forks._process.pid
        pids = [int(one.step(Roll(deed="pid")).observation.said) for one in forks]
        pids.append(int(env.step(Roll(deed="pid")).observation.said))
        assert set(pids) < set(children(fork_server))
        assert {os.getpgid(pid) for pid in pids} == set(pids)
    assert wait_until(lambda: not children(fork_server))
    assert wait_until(lambda: used(server) == 0)
    assert runs(fork_server)


def test_a_server_that_stops_and_a_fork_server_that_dies_take_forks_and_snapshots_along(serve):
    for how in ("stop", "kill"):
        server = serve(Dice)
        with DiceEnv(server.url) as env:
            env.reset(seed=1)
            env.snapshot()
            forks = env.fork(2)
            pids = [*children(server.manager._forks._process.pid), server.manager._forks._process.pid]
            assert len(pids) == 5
            if how == "stop":
                server.stop()
            else:
                os.kill(pids[-1], signal.SIGKILL)
                assert is_gone(pids[0])
                with pytest.raises(EnvironmentDiedError):
                    forks[0].step(Roll())
            assert all(is_gone(pid) for pid in pids)


@both_ways
def test_nothing_is_left_open(serve, way):
    server = serve(WAYS[way])

    def live() -> None:
        with DiceEnv(server.url) as env:
            env.reset(seed=1)
            kept = env.snapshot()
            forks = env.fork(3)
            forks[0].restore(kept)
            forks[1].close()
            forks[2].step(Roll(deed="thread"))
            if way == "forked":
                with pytest.raises(SnapshotUnsupportedError):
                    forks[2].fork(2)
            env.restore(kept)
            env.drop_snapshot(kept)
            env.snapshot()

    live()
    assert wait_until(lambda: used(server) == 0)
    before = descriptors()
    for _ in range(3):
        live()
    assert wait_until(lambda: used(server) == 0)
    assert wait_until(lambda: descriptors() <= before)
    assert not server.manager.snapshots._kept


CLIENT = """
import sys
from tests.sessions.copies import DiceEnv, Roll
env = DiceEnv(sys.argv[1])
env.reset(seed=1)
forks = env.fork(3)
env.snapshot()
print([fork.step(Roll(deed="pid")).observation.said for fork in forks], flush=True)
sys.stdin.read()
"""


def test_a_client_that_is_killed_leaves_nothing_when_its_lease_is_over(serve):
    server = serve(Dice)
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, server.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    with client:
        said = client.stdout.readline().decode()  # type: ignore[union-attr]
        client.kill()
    pids = children(server.manager._forks._process.pid)
    assert len(pids) == 5, said
    assert wait_until(lambda: all(one.lease_until is not None for one in server.manager.sessions()))
    pass_time(server, 61)
    assert all(is_gone(pid) for pid in pids)
    assert wait_until(lambda: used(server) == 0)
    assert not server.manager.snapshots._kept
