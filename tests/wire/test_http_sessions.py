"""Episodes over plain HTTP: sessions by id, the default session, and a WebSocket that attaches to one."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from tests.servers import Server
from tests.toys import Counter, Gate, gated
from tests.wire.conftest import Connect, Serve
from tests.wire.environments import Unbuildable
from tests.wire.raw import CLOSE, RESET, STATE, step


def opened(http: httpx.Client, server: Server) -> str:
    """Open a session and return its address."""
    response = http.post(f"{server.url}/sessions")
    assert response.status_code == 201
    return f"{server.url}/sessions/{response.json()['session_id']}"


def test_an_episode_by_session_id_from_opening_to_404(shared, http: httpx.Client):
    session = opened(http, shared(Counter))

    reset = http.post(f"{session}/reset", json={"episode_id": "e1"})
    assert (reset.status_code, reset.json()["observation"]["total"], reset.json()["done"]) == (200, 0, False)
    stepped = http.post(f"{session}/step", json={"action": {"amount": 4}}).json()
    assert (stepped["observation"]["total"], stepped["reward"]) == (4, 4.0)
    assert http.post(f"{session}/step", json={"action": {"amount": 1}}).json()["observation"]["total"] == 5
    state = http.get(f"{session}/state").json()
    assert (state["episode_id"], state["step_count"], state["total"]) == ("e1", 2, 5)
    info = http.get(session).json()
    assert (info["phase"], info["episode_id"], info["step_count"]) == ("running", "e1", 2)

    assert http.delete(session).status_code == 204
    afterwards = [
        http.get(session),
        http.get(f"{session}/state"),
        http.post(f"{session}/reset"),
        http.post(f"{session}/step", json={"action": {}}),
        http.delete(session),
    ]
    assert [r.status_code for r in afterwards] == [404] * 5
    assert {r.json()["code"] for r in afterwards} == {"SESSION_NOT_FOUND"}
    assert all(r.json()["detail"] == r.json()["message"] for r in afterwards)


def test_sessions_do_not_share_state(shared, http: httpx.Client):
    one, other = opened(http, shared(Counter)), opened(http, shared(Counter))
    for session, amount in ((one, 1), (other, 2)):
        http.post(f"{session}/reset")
        http.post(f"{session}/step", json={"action": {"amount": amount}})
    assert [http.get(f"{s}/state").json()["total"] for s in (one, other)] == [1, 2]
    for session in (one, other):
        http.delete(session)


def test_the_default_session_holds_an_episode_together(serve, http: httpx.Client):
    url = serve(Counter).url
    assert http.post(f"{url}/reset", json={"episode_id": "e"}).json()["observation"]["total"] == 0
    for total in (2, 4):
        response = http.post(f"{url}/step", json={"action": {"amount": 2}})
        assert response.json()["observation"]["total"] == total
    state = http.get(f"{url}/state").json()
    assert (state["episode_id"], state["step_count"], state["total"]) == ("e", 2, 4)


def test_the_default_session_counts_against_capacity(serve_on: Serve, http: httpx.Client, connect: Connect):
    server = serve_on(Counter, max_concurrent_envs=1)
    assert http.get(f"{server.url}/capacity").json() == {"active_sessions": 0, "max_sessions": 1, "waiting": 0}
    assert http.post(f"{server.url}/reset").status_code == 200
    assert http.get(f"{server.url}/capacity").json() == {"active_sessions": 1, "max_sessions": 1, "waiting": 0}

    assert connect(server).error()["code"] == "CAPACITY_REACHED"
    full = http.post(f"{server.url}/sessions")
    assert (full.status_code, full.json()["code"]) == (503, "CAPACITY_REACHED")
    assert int(full.headers["retry-after"]) >= 1
    assert http.post(f"{server.url}/step", json={"action": {}}).status_code == 200


def test_a_full_server_refuses_the_default_session(serve_on: Serve, http: httpx.Client, connect: Connect):
    server = serve_on(Counter, max_concurrent_envs=1)
    connect(server).ask(RESET)
    refused = http.post(f"{server.url}/reset")
    assert (refused.status_code, refused.json()["code"]) == (503, "CAPACITY_REACHED")


def test_a_deleted_session_frees_its_slot(serve, http: httpx.Client):
    server = serve(Counter, max_concurrent_envs=1)
    session = opened(http, server)
    http.post(f"{session}/reset")
    http.delete(session)
    assert http.get(f"{server.url}/capacity").json()["active_sessions"] == 0
    opened(http, server)


@pytest.mark.parametrize("leave", [CLOSE, None], ids=["close frame", "closed socket"])
def test_a_websocket_attaches_to_a_session_which_outlives_it(
    serve_on: Serve, http: httpx.Client, connect: Connect, leave: str | None
):
    server = serve_on(Counter)
    session = opened(http, server)
    query = f"?session_id={session.rpartition('/')[2]}"
    http.post(f"{session}/reset", json={"episode_id": "shared"})

    first = connect(server, query)
    assert first.ask(step(3))["observation"]["total"] == 3
    if leave:
        first.send(leave)
        assert first.close_code() == 1000
    else:
        first.socket.close()

    assert http.post(f"{session}/step", json={"action": {"amount": 4}}).json()["observation"]["total"] == 7
    state = connect(server, query).ask(STATE)
    assert (state["episode_id"], state["total"], state["step_count"]) == ("shared", 7, 2)
    http.delete(session)


def test_a_session_deleted_while_it_works_answers_what_it_was_asked(serve, http: httpx.Client):
    gate = Gate()
    session = opened(http, serve(gated(gate)))
    http.post(f"{session}/reset")
    with ThreadPoolExecutor(1) as pool:
        stepping = pool.submit(http.post, f"{session}/step", json={"action": {"amount": 0}})
        gate.wait_for(1)
        http.delete(session)
        response = stepping.result()
        gate.open()
    assert (response.status_code, response.json()["code"]) == (410, "SESSION_LOST")


def test_an_environment_that_cannot_be_made_is_an_error_with_its_reason(serve, http: httpx.Client):
    url = serve(Unbuildable).url
    for _ in range(2):  # the next request tries again
        response = http.post(f"{url}/reset")
        error = response.json()
        assert (response.status_code, error["code"], error["exception"]) == (500, "FACTORY_ERROR", "OSError")
        assert error["detail"] == error["message"]
        assert "no board" in error["message"]


def test_a_body_that_is_not_there_resets(shared, http: httpx.Client):
    session = opened(http, shared(Counter))
    assert http.post(f"{session}/reset").status_code == 200
    http.delete(session)


def test_a_step_over_its_budget_is_a_timeout_of_the_server(serve: Serve, http: httpx.Client):
    gate = Gate()
    session = opened(http, serve(gated(gate)))
    http.post(f"{session}/reset")
    stopped = http.post(f"{session}/step", json={"action": {"amount": 0}, "timeout_s": 0.05})
    assert (stopped.status_code, stopped.json()["code"], stopped.json()["budget"]) == (
        504,
        "BUDGET_EXCEEDED",
        "step",
    )
    gate.open()
