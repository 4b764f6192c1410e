"""Episodes that are kept and put back, forks that go on by themselves, for every way in which a state is had."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.servers import wait_until
from tests.sessions.copies import (
    FORKED,
    WAYS,
    Dice,
    DiceEnv,
    ForgetfulDice,
    InlineTellingDice,
    Roll,
    SilentDice,
    TellingDice,
    warm,
)
from tests.sessions.test_workers import is_gone
from tests.sessions.wire import Wires, pass_time, used

from openenv.client import EnvPool, HTTPEnvClient
from openenv.errors import (
    EpisodeEndedError,
    ExecutionError,
    NotResetError,
    SessionCapacityError,
    SessionLost,
    SnapshotLimitError,
    SnapshotNotFoundError,
    SnapshotUnsupportedError,
)
from openenv.server.budgets import Budgets
from openenv.server.snapshots import SnapshotLimits

ways = pytest.mark.parametrize("way", WAYS)
sides = st.integers(2, 1000)


def roll(env: DiceEnv, *dice: int) -> tuple[list[int], list[int]]:
    """Take steps and return all that was rolled in the episode."""
    for one in dice:
        seen = env.step(Roll(sides=one)).observation
    return seen.own, seen.common


# --- what holds of all ---------------------------------------------------------------------------------


@ways
def test_the_same_actions_have_the_same_results_in_every_fork_and_after_every_restore(host, way):
    server = host.shared(WAYS[way])

    @settings(max_examples=8)
    @given(
        seed=st.integers(0, 2**32),
        before=st.lists(sides, min_size=1, max_size=4),
        after=st.lists(sides, min_size=1, max_size=4),
        aside=st.lists(sides, min_size=1, max_size=4),
    )
    def holds(seed: int, before: list[int], after: list[int], aside: list[int]) -> None:
        with DiceEnv(server.url) as env:
            env.reset(seed=seed)
            roll(env, *before)
            kept = env.snapshot()
            first, second = env.fork(2)
            roll(first, *aside)  # of which nobody else notices
            expected = roll(env, *after)
            assert roll(second, *after) == expected
            env.restore(kept)
            assert roll(env, *after) == expected
            first.restore(kept)
            assert roll(first, *after) == expected
            assert env.state().step_count == first.state().step_count == len(before) + len(after)

    holds()


@ways
def test_a_fork_is_another_episode_with_the_history_of_its_parent(host, way):
    with DiceEnv(host.shared(WAYS[way]).url) as env:
        env.reset(seed=5)
        roll(env, 6, 6)
        episode = env.state().episode_id
        forks = env.fork(3)
        ids = {fork.state().episode_id for fork in forks}
        assert len(ids | {env.state().episode_id}) == 4
        assert all(fork.forked_at.parent_id == episode or way == "forked" for fork in forks)
        assert {(fork.forked_at.seed, fork.forked_at.step_count, fork.forked_at.done) for fork in forks} == {
            (5, 2, False)
        }
        assert {fork.forked_at.episode_id for fork in forks} == ids
        [grandchild] = forks[0].fork()
        assert grandchild.forked_at.parent_id == forks[0].forked_at.episode_id
        assert roll(grandchild, 6)[0][:2] == roll(env, 6)[0][:2]
        forks[0].reset(seed=5)
        assert roll(forks[0], 6, 6)[0] == roll(env, 6)[0][:2]


@ways
def test_the_end_of_an_episode_is_kept_as_well(host, way):
    with DiceEnv(host.shared(WAYS[way]).url) as env:
        env.reset(seed=1)
        running = env.snapshot()
        assert env.step(Roll(deed="end")).done
        over = env.snapshot()
        [fork] = env.fork()
        assert fork.forked_at.done
        with pytest.raises(EpisodeEndedError):
            fork.step(Roll())
        assert not env.restore(running).done
        env.step(Roll())
        assert env.restore(over).done
        with pytest.raises(EpisodeEndedError):
            env.step(Roll())


@ways
def test_what_can_be_done_with_episodes_is_declared(host, way):
    with DiceEnv(host.shared(WAYS[way]).url) as env:
        reseed = [] if way in FORKED else ["reseed"]
        assert env.capabilities() == env.metadata().capabilities == ["snapshot", "restore", "fork", *reseed]
        env.reset()
        assert env.metadata().capabilities == ["snapshot", "restore", "fork", *reseed]


@pytest.mark.parametrize("way", [way for way in WAYS if way not in FORKED])
def test_forks_with_seeds_go_on_with_random_numbers_of_their_own(host, way):
    with DiceEnv(host.shared(WAYS[way]).url) as env:
        env.reset(seed=1)
        roll(env, 1000)
        forks = env.fork(3, seeds=[7, 8, 7])
        first, second, third = (roll(fork, 1000)[0][1] for fork in forks)
        assert first == third == random.Random(7).randrange(1000)
        assert first != second
        assert roll(env, 1000)[0][1] != first


@ways
async def test_forks_of_an_async_client_are_async_and_end_with_it(host, way):
    server = await asyncio.to_thread(warm, host.shared(WAYS[way]))
    async with DiceEnv(server.url) as env:
        await env.reset(seed=1)
        forks = await env.fork(2)
        async with forks[0]:
            await forks[0].step(Roll())
        with pytest.raises(SessionLost):
            await forks[0].step(Roll())
        await forks[1].step(Roll())
        await env.step(Roll())
    with pytest.raises(SessionLost):
        await forks[1].step(Roll())


async def test_forks_of_a_client_that_nobody_entered_can_be_awaited_and_used(host):
    env = DiceEnv(host.shared(InlineTellingDice).url)
    await env.reset(seed=1)
    first, second = await env.fork(2)
    assert (await first.step(Roll())).observation.own == second.step(Roll()).observation.own
    env.close()


def test_a_parent_that_is_closed_by_itself_leaves_no_thread_and_forks_end_with_it(host):
    server = host.shared(InlineTellingDice)
    assert wait_until(lambda: used(server) == 0)  # the sessions of the tests before
    env = DiceEnv(server.url)
    env.reset()
    forks = env.fork(2)
    env.close()
    with pytest.raises(SessionLost):
        forks[0].step(Roll())
    assert not any(fork._tenancy.active for fork in forks)
    assert wait_until(lambda: used(server) == 0)


def test_the_blocking_face_keeps_and_forks_too(host):
    env = DiceEnv(host.shared(InlineTellingDice).url).sync()
    with env:
        env.reset(seed=1)
        kept = env.snapshot()
        [fork] = env.fork()
        assert fork.step(Roll()).observation == env.step(Roll()).observation
        assert env.restore(kept).step_count == 0
        assert fork.new_session().forked_at is None


async def test_forks_of_a_lease_end_with_it(host):
    server = host.shared(InlineTellingDice)
    async with EnvPool(DiceEnv, [server.url]) as pool:
        async with pool.lease() as env:
            await env.reset(seed=1)
            forks = await env.fork(2)
            await forks[0].step(Roll())
        with pytest.raises(SessionLost):
            await forks[0].step(Roll())
    assert await asyncio.to_thread(wait_until, lambda: used(server) == 0)


# --- what is refused -----------------------------------------------------------------------------------


def test_what_can_not_be_copied_is_refused_and_told_what_to_do_about_it(host):
    with DiceEnv(host.shared(SilentDice).url) as env:
        env.reset()
        for ask in (env.snapshot, env.fork):
            with pytest.raises(SnapshotUnsupportedError, match=r"get_state\(\).*isolation='process'"):
                ask()
        assert env.capabilities() == []
        env.step(Roll())


def test_nothing_is_kept_or_forked_before_the_first_reset(host):
    with DiceEnv(host.shared(TellingDice).url) as env:
        for ask in (env.snapshot, env.fork):
            with pytest.raises(NotResetError):
                ask()


def test_a_worker_with_a_thread_of_its_own_is_not_forked_and_the_episode_goes_on(host):
    with DiceEnv(host.shared(Dice).url) as env:
        env.reset(seed=1)
        kept = env.snapshot()
        env.step(Roll(deed="thread"))
        for ask in (env.snapshot, env.fork):
            with pytest.raises(SnapshotUnsupportedError, match="a thread of mine"):
                ask()
        assert len(env.step(Roll()).observation.own) == 2
        env.restore(kept)
        forks = env.fork(2)
        assert len(forks) == 2


def test_a_report_that_waits_to_be_told_is_no_reason_not_to_fork(host):
    with DiceEnv(host.shared(Dice).url, on_progress=lambda _: None) as env:
        env.reset(seed=1)
        for _ in range(5):
            env.step(Roll(deed="report"))
            env.fork()[0].close()


def test_seeds_need_an_environment_that_takes_them(host):
    with DiceEnv(host.shared(Dice).url) as env:
        env.reset()
        with pytest.raises(SnapshotUnsupportedError, match=r"reseed\(seed\)"):
            env.fork(2, seeds=[1, 2])


def test_over_plain_http_nothing_is_kept(host):
    env = HTTPEnvClient(host.shared(InlineTellingDice).url)
    with env, pytest.raises(SnapshotUnsupportedError, match="version 2"):
        env.snapshot()


def test_an_environment_that_can_not_be_put_back_has_no_episode_and_a_fork_of_it_is_told(host):
    server = host.shared(ForgetfulDice)
    with DiceEnv(server.url) as env:
        env.reset()
        kept = env.snapshot()
        before = used(server)
        with pytest.raises(ExecutionError, match="which dice"):
            env.fork(2)
        assert wait_until(lambda: used(server) == before)
        env.step(Roll())
        with pytest.raises(ExecutionError, match="which dice"):
            env.restore(kept)
        with pytest.raises(NotResetError):
            env.step(Roll())


# --- limits and leases -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["thread", "forked"])
def test_a_server_keeps_so_many_snapshots_and_no_more(serve, way):
    with DiceEnv(serve(WAYS[way], snapshots=SnapshotLimits(count=2)).url) as env:
        env.reset()
        first, second = env.snapshot(), env.snapshot()
        with pytest.raises(SnapshotLimitError, match=r"2 snapshots of 2.*SnapshotLimits\(count"):
            env.snapshot()
        assert [one.snapshot_id for one in env.snapshots()] == [first, second]
        assert env.drop_snapshot(first)
        assert not env.drop_snapshot(first)
        env.snapshot()


def test_a_server_keeps_so_many_bytes_and_no_more(serve):
    with DiceEnv(serve(TellingDice, snapshots=SnapshotLimits(megabytes=0.01)).url) as env:
        env.reset()
        env.snapshot()
        with pytest.raises(SnapshotLimitError, match="megabytes"):
            env.snapshot()
        [kept] = env.snapshots()
        assert 5000 < kept.size < 10000


def test_forks_count_as_sessions_and_all_of_them_are_opened_or_none(serve):
    for way in ("thread", "forked"):
        server = serve(WAYS[way], max_concurrent_envs=4)
        with DiceEnv(server.url) as env:
            env.reset()
            with pytest.raises(SessionCapacityError, match=r"1/4.*4 more"):
                env.fork(4)
            assert used(server) == 1
            forks = env.fork(3)
            assert len(forks) == 3
            assert used(server) == 4


@pytest.mark.parametrize("way", ["thread", "forked"])
def test_a_snapshot_ends_with_its_lease_or_its_session(serve, way):
    server = serve(WAYS[way], budgets=Budgets(snapshot_lease=1000))
    snapshots = server.manager.snapshots

    def pass_(seconds: float) -> None:
        def go_by() -> None:
            for one in snapshots._kept.values():
                one.used_at -= seconds
            snapshots._look()

        server.on_loop(go_by)

    with DiceEnv(server.url) as env, DiceEnv(server.url) as other:
        env.reset()
        kept = env.snapshot()
        pass_(600)
        assert env.snapshots()[0].expires_s < 500
        other.restore(kept)  # begins the lease anew
        pass_(600)
        other.restore(kept)
        pass_(1000)
        with pytest.raises(SnapshotNotFoundError, match="was not used for 1000 s"):
            other.restore(kept)
        again = env.snapshot()
        env.close()
        with pytest.raises(SnapshotNotFoundError):
            other.restore(again)
        assert len(other.step(Roll()).observation.own) == 1  # nothing was changed


def test_a_lost_connection_whose_lease_runs_out_takes_forks_and_snapshots_along(serve, wires: Wires):
    server = warm(serve(Dice))
    wire = wires(server)
    session = wire.play()
    pid = int(session.seen(session.send("step", {"deed": "pid"}))["said"])
    forks = wire.ask("fork", session=session.id, seq=3, data={"count": 2})["data"]["sessions"]
    wire.ask("snapshot", session=session.id, seq=4)
    assert len(forks) == 2
    wire.drop()
    wires(server)  # which is served after the end of the first
    assert wait_until(lambda: all(one.lease_until is not None for one in server.manager.sessions()))
    pass_time(server, 61)
    assert is_gone(pid)
    assert wait_until(lambda: used(server) == 0)
    assert not server.manager.snapshots._kept
