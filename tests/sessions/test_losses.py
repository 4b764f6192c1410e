"""What a client sees when its connection, or the server itself, is gone: the session again, or `SessionLost`."""

import asyncio
from collections.abc import Iterator

import pytest
from tests.servers import Server, wait_until
from tests.sessions.cable import World
from tests.sessions.ledger import Awaited, Ledger, Mark, kept_in
from tests.sessions.wire import pass_time
from tests.toys import Add, AsyncCounter, Counter, CounterEnv, Gate, gated

from openenv.client.mux import Multiplexer, RemoteSession
from openenv.errors import InvalidReplyError, RequestCancelledError, SessionLost
from openenv.protocol import encoding
from openenv.protocol.formats import JSON
from openenv.server import multiplex
from openenv.server.app import create_app
from openenv.server.budgets import Budgets


def mux_of(env: CounterEnv) -> Multiplexer:
    """Return the connection of a client."""
    mux = env._core.link._mux
    assert isinstance(mux, Multiplexer)
    return mux


def test_a_connection_cut_between_two_calls_goes_unnoticed(serve):
    server = serve(Counter)
    with CounterEnv(server.url) as env:
        env.reset()
        for total in range(1, 6):
            server.cut()
            assert env.step(Add()).observation.total == total
        assert env.state().step_count == 5
        assert wait_until(lambda: mux_of(env).reconnects == 5)


def test_a_connection_cut_during_a_step_goes_unnoticed_and_the_step_is_executed_once(serve):
    gate = Gate()
    server = serve(gated(gate))

    async def play() -> tuple[int, int]:
        async with CounterEnv(server.url) as env:
            await env.reset()
            step = asyncio.create_task(env.step(Add(amount=0)))
            await asyncio.to_thread(gate.wait_for, 1)
            await asyncio.to_thread(server.cut)
            gate.open()
            total = (await step).observation.total
            return total, (await env.state()).step_count

    assert asyncio.run(play()) == (0, 1)


def test_calls_of_all_kinds_that_are_made_while_the_connection_is_gone_are_answered(serve):
    server = serve(AsyncCounter)

    async def play() -> list[int]:
        async with CounterEnv(server.url) as env:
            await env.reset()
            totals = []
            for _ in range(10):
                await asyncio.to_thread(server.cut)
                results = await asyncio.gather(env.step(Add()), env.state())
                totals.append(results[0].observation.total)
            return totals

    assert asyncio.run(play()) == list(range(1, 11))


def test_a_server_that_is_gone_is_a_session_that_is_lost(serve):
    server = serve(Counter, budgets=Budgets(lease=0.2))
    with CounterEnv(server.url) as env:
        env.reset()
        server.stop()
        for _ in range(2):
            with pytest.raises(SessionLost, match=r"reset\(\)"):
                env.step(Add())
        with pytest.raises(SessionLost):
            env.state()


def restarted(host, server: Server, **options) -> Server:
    """End a server and start another in its place."""
    port = int(server.url.rpartition(":")[2])
    server.cut()
    server.stop()
    return host.run(create_app(Counter, **options), port=port)


def test_a_step_is_never_executed_by_the_server_that_came_after(serve, host):
    server = serve(Counter)
    with CounterEnv(server.url) as env:
        env.reset()
        env.step(Add(amount=5))
        second = restarted(host, server)
        with pytest.raises(SessionLost):
            env.step(Add(amount=5))
        with pytest.raises(SessionLost):
            env.state()
        assert second.manager.sessions() == [], "no session was opened behind the back of a step"
        assert env.reset().observation.total == 0
        assert env.step(Add(amount=5)).observation.total == 5
        assert len(second.manager.sessions()) == 1


def test_a_reset_after_a_loss_opens_a_session_that_has_nothing_of_the_last(serve):
    server = serve(Counter, budgets=Budgets(lease=0.05))
    with CounterEnv(server.url) as env:
        env.reset(episode_id="first")
        env.step(Add(amount=50))
        server.on_loop(lambda: [session.end() for session in server.manager.sessions()])
        with pytest.raises(SessionLost):
            env.step(Add())
        assert env.reset().observation.total == 0
        assert env.state().episode_id != "first"


def test_a_session_that_ends_on_the_server_is_told_with_its_reason(serve):
    server = serve(Counter, budgets=Budgets(idle=60))
    with CounterEnv(server.url) as env:
        env.reset()
        pass_time(server, 61)
        assert wait_until(lambda: not server.manager.sessions())
        with pytest.raises(SessionLost, match="idle budget"):
            env.step(Add())


def test_abandoning_a_call_stops_nothing_and_cancel_does(serve):
    gate = Gate()
    server = serve(gated(gate))

    async def play() -> None:
        async with CounterEnv(server.url) as env:
            await env.reset()
            step = asyncio.create_task(env.step(Add(amount=0)))
            await asyncio.to_thread(gate.wait_for, 1)
            step.cancel()
            with pytest.raises(asyncio.CancelledError):
                await step
            waiting = asyncio.create_task(env.step(Add()))
            assert await env.cancel() is True
            with pytest.raises(RequestCancelledError):
                await waiting
            assert (await env.reset()).observation.total == 0

    asyncio.run(play())
    gate.open()


# --- what is asked about the connection -------------------------------------------------------------


def test_sessions_that_are_opened_while_the_connection_is_gone_are_opened_when_it_is_back(world: World):
    world.loop.settle(world.cables[0].unplug)
    opening = world.begin(world.client.open_sessions(2))
    world.loop.advance(5)
    world.carry_everything()
    assert len(opening.result()) == 2
    assert len(world.manager.sessions()) == 3


def test_a_step_that_is_cancelled_while_the_connection_is_gone_is_cancelled_when_it_is_back(world: World):
    [session] = world.client._sessions.values()
    step = world.begin(world.client.request(session, "step", b'{"number":1,"hold":true}'))
    world.carry_everything()
    world.loop.settle(world.cables[0].unplug)
    cancelling = world.begin(world.client.cancel(session))
    world.loop.advance(5)
    world.carry_everything()
    assert cancelling.result() is True
    assert step.result().data["data"]["code"] == "CANCELLED"


def test_what_is_asked_in_vain_is_not_sent_when_the_connection_is_back(world: World):
    world.loop.settle(world.cables[0].unplug)
    opening = world.begin(world.client.open_sessions(2))
    world.loop.settle(opening.cancel)
    world.loop.advance(5)
    world.carry_everything()
    assert len(world.manager.sessions()) == 1


def test_what_is_asked_where_no_connection_will_come_back_is_refused_at_once(world: World):
    world.do(world.client.close_sessions([session_in(world)]))
    world.loop.settle(world.cables[0].unplug)
    with pytest.raises(SessionLost, match="no connection"):
        world.do(world.client.open_sessions(1))


def test_closing_twice_at_the_same_time_ends_the_sessions_once(world: World):
    world.do(world.client.open_sessions(2))
    closing = [world.begin(world.client.close()) for _ in range(2)]
    world.carry_everything()
    assert all(task.done() for task in closing)
    assert world.manager.sessions() == []


def test_a_connection_that_is_lost_while_it_is_closed_is_closed(world: World):
    closing = world.begin(world.client.close())
    world.loop.settle(world.cables[0].unplug)
    assert closing.done()
    assert len(world.cables) == 1, "it did not connect again"


# --- heartbeats ------------------------------------------------------------------------------------


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A client that holds one session, and a clock that only goes when told."""
    made = World(kept_in(Ledger(), Awaited), Mark, JSON, budgets=Budgets(lease=1e6))
    monkeypatch.setattr("openenv.client.socket.Socket.open", made.connect)
    made.do(made.client.connect())
    made.do(made.client.open_sessions(1))
    made.do(made.client.request(session_in(made), "reset", b"{}"))
    yield made
    made.do(made.client.close())
    made.loop.close()


def session_in(world: World) -> RemoteSession:
    """Return the only session of its client."""
    [session] = world.client._sessions.values()
    return session


def test_a_step_of_ten_minutes_survives_a_proxy_that_cuts_what_is_silent_for_half_a_minute(world: World):
    ledger = world.manager.factory.book
    step = world.begin(world.client.request(session_in(world), "step", b'{"number":1,"hold":true}'))
    for _ in range(600 * 2):
        world.loop.advance(0.5)
        world.carry_everything()
        assert world.loop.time() - world.last_frame_at < 30
    assert len(world.cables) == 1
    world.loop.settle(ledger.let_go)
    world.carry_everything()
    assert step.result().data["data"]["observation"]["number"] == 1


def test_a_server_that_does_not_answer_heartbeats_counts_as_lost_and_the_session_goes_on_elsewhere(world: World):
    world.cables[0].replies = type(world.cables[0].replies)(maxlen=0)  # nothing comes back from now on
    world.loop.advance(4 * multiplex.HEARTBEAT_S + 1)
    assert len(world.cables) == 2
    world.carry_everything()
    assert world.client.reconnects == 1
    step = world.do(world.client.request(session_in(world), "step", b'{"number":1}'))
    assert step.data["data"]["observation"]["number"] == 1


def test_a_connection_on_which_there_is_traffic_needs_no_heartbeat(world: World):
    for number in range(1, 40):
        world.loop.advance(5)
        world.do(world.client.request(session_in(world), "step", b'{"number":%d}' % number))
    assert not [raw for raw in world.cables[0].carried if b'"ping"' in raw]


def test_an_answer_that_is_no_message_loses_its_session_at_once_and_no_other(serve, monkeypatch):
    server = serve(Counter)

    async def play() -> int:
        async with CounterEnv(server.url) as env, CounterEnv(server.url) as other:
            await env.reset()
            await other.reset()
            with monkeypatch.context() as patched:
                patched.setattr(encoding, "_plain_result", lambda *_: b'{"reward":nan}')
                with pytest.raises(InvalidReplyError, match="no message"):
                    await env.step(Add())
            with pytest.raises(InvalidReplyError, match="no message"):
                await env.step(Add())
            assert mux_of(env).reconnects == 0
            assert (await other.step(Add(amount=2))).observation.total == 2
            await env.reset()
            return (await env.step(Add(amount=3))).observation.total

    assert asyncio.run(play()) == 3
    assert wait_until(lambda: not server.manager.sessions())
