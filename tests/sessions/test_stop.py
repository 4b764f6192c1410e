"""A server that is stopped in good order tells whoever holds a session; who comes later finds it out at once."""

import asyncio
import json
import time

import httpx
import pytest
from tests.servers import BOUND_S, Host
from tests.sessions.wire import Wires
from tests.toys import Add, Counter, CounterEnv, Gate, gated
from tests.wire.conftest import CARRIERS
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from openenv.errors import SessionLost
from openenv.server.app import create_app

WHY = "The server is shutting down"


@pytest.mark.parametrize("carrier", CARRIERS)
def test_whoever_holds_sessions_is_told_that_they_end_and_why(host: Host, both: Wires, carrier: str):
    server = host.run(create_app(Counter), **CARRIERS[carrier])
    wire = both(server)
    ids = {session.id for session in wire.open(3)}
    server.stop(wait=False)
    notices = [wire.notice() for _ in ids]
    assert {notice["session"] for notice in notices} == ids
    assert {notice["type"] for notice in notices} == {"ended"}
    assert {(notice["data"]["code"], notice["data"]["message"]) for notice in notices} == {("SESSION_LOST", WHY)}
    assert wire.close_code() == 1012


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_version_1_client_is_told_too(host: Host, carrier: str):
    server = host.run(create_app(Counter), **CARRIERS[carrier])
    with connect(f"{server.url.replace('http', 'ws', 1)}/ws", compression=None, proxy=None) as socket:
        socket.send('{"type":"reset"}')
        socket.recv(BOUND_S)
        server.stop(wait=False)
        told = json.loads(socket.recv(BOUND_S))
        assert (told["type"], told["data"]["code"], told["data"]["message"]) == ("error", "SESSION_LOST", WHY)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(BOUND_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012


def test_a_request_under_way_is_answered_with_the_reason(serve):
    gate = Gate()
    server = serve(gated(gate))

    async def play() -> None:
        async with CounterEnv(server.url) as env, httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
            await env.reset()
            route = f"/sessions/{(await http.post('/sessions')).json()['session_id']}"
            await http.post(f"{route}/reset")
            stepping = asyncio.create_task(env.step(Add(amount=0)))
            over_http = asyncio.create_task(
                http.post(f"{route}/step", json={"action": {"amount": 0}}, timeout=BOUND_S)
            )
            await asyncio.to_thread(gate.wait_for, 2)
            server.stop(wait=False)
            with pytest.raises(SessionLost, match=WHY):
                await stepping
            answer = await over_http
            assert (answer.status_code, answer.json()["message"]) == (410, WHY)

    try:
        asyncio.run(play())
    finally:
        gate.open()


def test_a_client_between_two_calls_is_told_and_does_not_try_to_come_back(serve):
    server = serve(Counter)
    with CounterEnv(server.url, message_timeout_s=6 * BOUND_S) as env:
        env.reset()
        server.stop()
        began = time.monotonic()
        with pytest.raises(SessionLost, match=WHY):
            env.step(Add())
        assert time.monotonic() - began < BOUND_S  # far less than the lease of 60 s


def test_a_client_that_comes_back_to_a_server_that_does_not_know_its_session_loses_it_at_once(host: Host, serve):
    first = serve(Counter)
    with CounterEnv(first.url, message_timeout_s=6 * BOUND_S) as env:
        env.reset()
        first.vanish()
        second = host.run(create_app(Counter), port=int(first.url.rpartition(":")[2]))
        with pytest.raises(SessionLost, match="is of another server"):
            env.step(Add())
        assert env.reset().observation.total == 0
    second.stop(wait=False)
