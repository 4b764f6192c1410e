"""`/health` answers however busy the environments are. Nothing is timed: the environments wait for the test."""

import httpx
from tests.toys import Gate, gated
from tests.wire.conftest import Connect, Serve
from tests.wire.raw import RESET, STATE, step

SESSIONS = 10


def test_health_answers_while_ten_sessions_block_in_step(serve_on: Serve, http: httpx.Client, connect: Connect):
    gate = Gate()
    server = serve_on(gated(gate))
    sockets = [connect(server) for _ in range(SESSIONS)]
    for ws in sockets:
        ws.ask(RESET)
        ws.send(step(0))
    gate.wait_for(SESSIONS)

    assert http.get(f"{server.url}/health").json() == {"status": "healthy"}
    assert http.get(f"{server.url}/capacity").json()["active_sessions"] == SESSIONS
    another = connect(server)
    assert another.ask(RESET)["observation"]["total"] == 0
    assert another.ask(step(1))["observation"]["total"] == 1

    gate.open()
    assert [ws.receive()["type"] for ws in sockets] == ["observation"] * SESSIONS


def test_health_answers_while_a_constructor_blocks(serve_on: Serve, http: httpx.Client, connect: Connect):
    gate = Gate()

    class SlowToMake(gated(Gate())):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            gate.pass_through()

    server = serve_on(SlowToMake)
    ws = connect(server)
    ws.send_at_once([RESET, step(2), STATE])
    gate.wait_for(1)

    assert http.get(f"{server.url}/health").json() == {"status": "healthy"}
    assert http.get(f"{server.url}/schema").status_code == 200
    session = http.post(f"{server.url}/sessions").json()
    assert session["phase"] == "creating"

    gate.open()
    assert [ws.receive()["type"] for _ in range(3)] == ["observation", "observation", "state"]
