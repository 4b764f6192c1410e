"""Which implementation carries `/ws`, and what every carrier does alike beside bad input."""

from typing import Any

from tests.servers import Host, Server
from tests.toys import Counter, Gate, gated
from tests.wire.conftest import Connect, Serve
from tests.wire.environments import Unbuildable
from tests.wire.raw import CLOSE, RESET, STATE, step

from openenv.server.app import create_app
from openenv.server.fast import FastWebSocket
from openenv.server.serving import wire_options


def carriers_of(server: Server) -> set[str]:
    """Return the modules of what holds the server's open WebSockets."""
    connections = server.on_loop(lambda: list(server._uvicorn.server_state.connections))
    return {type(c).__module__ for c in connections if "http" not in type(c).__module__}


def test_each_carrier_of_these_tests_is_the_one_it_says(serve_on: Serve, connect: Connect, carrier: str):
    server = serve_on(Counter)
    connect(server).ask(RESET)
    (module,) = carriers_of(server)
    assert (module == FastWebSocket.__module__) == (carrier == "fast")


def test_our_own_carrier_is_the_usual_one():
    assert wire_options()["ws"] is FastWebSocket


def test_an_application_with_middleware_sees_the_websocket(host: Host, connect: Connect):
    seen = []

    class Watching:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            seen.append((scope["type"], scope.get("path")))
            await self.app(scope, receive, send)

    app = create_app(Counter)
    app.add_middleware(Watching)
    server = host.run(app)
    ws = connect(server)
    ws.ask(RESET)
    assert ws.ask(step(3))["observation"]["total"] == 3
    assert ("websocket", "/ws") in seen
    assert FastWebSocket.__module__ not in carriers_of(server)


def test_two_clients_at_once_do_not_share_state(serve_on: Serve, connect: Connect):
    server = serve_on(Counter)
    one, other = connect(server), connect(server)
    one.ask('{"type":"reset","data":{"episode_id":"a"}}')
    other.ask(RESET)
    one.send(step(3))
    other.send(step(4))
    assert one.receive()["data"]["observation"]["total"] == 3
    assert other.receive()["data"]["observation"]["total"] == 4
    assert (one.ask(STATE)["total"], other.ask(STATE)["total"]) == (3, 4)
    assert one.ask(STATE)["episode_id"] == "a" != other.ask(STATE)["episode_id"]


def test_many_frames_in_one_write_are_answered_in_order(serve_on: Serve, connect: Connect):
    ws = connect(serve_on(Counter))
    frames = [RESET, *[step(0 if n % 5 else -n) for n in range(100)], "5", STATE]
    ws.send_at_once(frames)
    answers = [ws.receive() for _ in frames]
    totals = [a["data"]["observation"]["total"] for a in answers[:101]]
    assert totals == [0, *[-sum(range(0, n + 1, 5)) for n in range(100)]]
    assert answers[101]["data"]["code"] == "VALIDATION_ERROR"
    assert answers[102]["data"]["step_count"] == 100


def test_a_refusal_waits_for_the_answers_before_it(serve_on: Serve, connect: Connect):
    gate = Gate()
    ws = connect(serve_on(gated(gate)))
    ws.ask(RESET)
    ws.send(step(0))
    gate.wait_for(1)
    for bad in ("5", b"{}", step("many")):
        ws.send(bad)
    ws.send(step(2))
    ws.send("{")
    gate.open()
    said = [(a["type"], a["data"].get("code")) for a in (ws.receive() for _ in range(6))]
    assert said == [
        ("observation", None),
        ("error", "VALIDATION_ERROR"),
        ("error", "INVALID_JSON"),
        ("error", "VALIDATION_ERROR"),
        ("observation", None),
        ("error", "INVALID_JSON"),
    ]


def test_a_close_frame_ends_the_session_without_a_word(serve_on: Serve, connect: Connect):
    server = serve_on(Counter, max_concurrent_envs=1)
    for _ in range(3):  # each needs the one slot
        ws = connect(server)
        ws.ask(RESET)
        ws.send(CLOSE)
        assert ws.close_code() == 1000


def test_a_server_without_room_says_so_and_closes(serve_on: Serve, connect: Connect):
    server = serve_on(Counter, max_concurrent_envs=1)
    first = connect(server)
    first.ask(RESET)
    second = connect(server)
    error = second.error()
    assert error["code"] == "CAPACITY_REACHED"
    assert (error["active_sessions"], error["max_sessions"]) == (1, 1)
    assert error["retry_after"] > 0
    assert second.close_code() == 1000
    assert first.ask(step())["observation"]["total"] == 1


def test_an_environment_that_cannot_be_made_is_an_error_and_a_close(serve_on: Serve, connect: Connect):
    ws = connect(serve_on(Unbuildable))
    error = ws.error()
    assert error["code"] == "FACTORY_ERROR"
    assert error["exception"] == "OSError"
    assert "no board on /dev/board" in error["message"]
    assert error["error_id"]
    assert ws.close_code() == 1000


def test_an_unknown_session_is_an_error_and_a_close(serve_on: Serve, connect: Connect):
    ws = connect(serve_on(Counter), "?session_id=nope")
    assert ws.error()["code"] == "SESSION_NOT_FOUND"
    assert ws.close_code() == 1000
