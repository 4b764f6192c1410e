"""One connection: its handshake, its heartbeat, many sessions and many requests at once, and frames of no sense."""

import pytest
from tests.sessions.cable import Cable, World
from tests.sessions.environments import Coroutines
from tests.sessions.wire import Wire, Wires, error_of, other
from tests.toys import Add, Counter, Gate, InlineCounter, gated

from openenv.protocol.formats import JSON, MSGPACK
from openenv.server.budgets import HANDSHAKE_S


def test_the_handshake_tells_versions_capabilities_and_limits(shared, both: Wires):
    welcome = both.raw(shared(Counter)).ask("hello", version=2, client="a test")
    assert welcome["type"] == "welcome"
    assert welcome["version"] == 2
    assert welcome["server"].startswith("openenv/")
    assert {"batch", "cancel", "resume"} <= set(welcome["capabilities"])
    assert welcome["limits"].keys() == {"max_message_size", "heartbeat_s", "lease_s"}
    assert welcome["limits"]["heartbeat_s"] < 30, "proxies cut what is idle for 30 s"


@pytest.mark.parametrize("says_hello", [True, False])
def test_only_who_has_said_hello_may_be_silent(says_hello):
    world = World(Counter, Add, JSON)
    cable = world.loop.settle(lambda: Cable(world, lambda _raw: None, lambda *_: None))
    world.loop.advance(HANDSHAKE_S - 1)
    if says_hello:
        cable.requests.append(b'{"id":1,"type":"hello","version":2}')
        world.loop.settle(cable.carry_request)
    world.loop.advance(24 * 3600)
    assert cable.served is says_hello
    assert not world.loop.failures
    world.loop.close()


@pytest.mark.parametrize("request_", ["ping", "open", "state", "close", "step"])
def test_before_hello_nothing_is_done(shared, both: Wires, request_):
    fields = {"state": {"session": "s"}, "close": {"session": "s"}, "step": {"session": "s", "seq": 1, "data": {}}}
    wire = both.raw(shared(Counter))
    error = wire.refused(request_, **fields.get(request_, {}))
    assert error["code"] == "VALIDATION_ERROR"
    assert "hello" in error["message"]
    wire.ask("hello", version=2)
    wire.ask("ping")


@pytest.mark.parametrize("version", [0, 1, 3, 10**12, -2])
def test_a_version_that_is_not_spoken_is_refused_and_the_connection_closed(shared, both: Wires, version):
    wire = both.raw(shared(Counter))
    error = wire.refused("hello", version=version)
    assert error["code"] == "UNSUPPORTED_VERSION"
    assert f"versions 1 and 2 of the protocol, not {version}" in error["message"]
    assert wire.close_code() == 1002


def test_hello_may_be_said_again(shared, both: Wires):
    wire = both(shared(Coroutines))
    session = wire.play()
    assert wire.ask("hello", version=2)["type"] == "welcome"
    assert session.step()["steps"] == 1


@pytest.mark.parametrize(
    ("offer", "spoken"),
    [
        (["openenv.v2.msgpack", "openenv.v2"], "openenv.v2.msgpack"),
        (["openenv.v2", "openenv.v2.msgpack"], "openenv.v2"),
        (["openenv.v9", "openenv.v2"], "openenv.v2"),
        (["openenv.v9"], None),
        (["OPENENV.V2"], None),
        ([], None),
    ],
)
def test_the_first_subprotocol_that_is_known_is_spoken_else_version_1(shared, wires: Wires, offer, spoken):
    wire = wires.raw(shared(Counter), offer=offer)
    assert wire.socket.subprotocol == spoken
    if spoken is None:
        wire.socket.send('{"type":"reset"}')
        assert wire.receive()["type"] == "observation"


def test_heartbeats_are_answered_at_any_time(serve, both: Wires):
    gate = Gate()
    session = both(serve(gated(gate))).play()
    running = session.send("step", {"amount": 0})
    gate.wait_for(1)
    pings = [session.wire.send("ping") for _ in range(5)]
    assert [session.wire.answer(ping)["type"] for ping in pings] == ["pong"] * 5
    gate.open()
    assert session.seen(running)["total"] == 0


def test_requests_of_many_sessions_are_sent_at_once_and_each_answer_finds_its_request(shared, both: Wires):
    wire = both(shared(InlineCounter))
    sessions = wire.open(50)
    for session in sessions:
        session.send("reset")
    numbers = {
        session.send("step", {"amount": 20 + place}): (session, 20 + place)
        for place, session in enumerate(sessions)
    }
    for number, (session, total) in reversed(numbers.items()):
        assert session.seen(number)["total"] == total


def test_a_session_that_is_slow_delays_no_other(serve, both: Wires):
    gate = Gate()
    wire = both(serve(gated(gate)))
    slow, quick = wire.play(), wire.play()
    waiting = slow.send("step", {"amount": 0})
    gate.wait_for(1)
    for total in range(1, 20):
        assert quick.seen(quick.send("step", {"amount": 1}))["total"] == total
    gate.open()
    assert slow.seen(waiting)["total"] == 0


def test_ids_are_the_senders_own_and_come_back_as_they_are(shared, both: Wires):
    wire = both(shared(Counter))
    for number in (0, 7, 2**53, 2**63 - 1):
        wire.put({"id": number, "type": "ping"})
        assert wire.receive() == {"id": number, "type": "pong"}


NONSENSE = {
    "nothing": {},
    "no type": {"id": 5},
    "no id": {"type": "ping"},
    "an id below zero": {"id": -1, "type": "ping"},
    "an id that is text": {"id": "five", "type": "ping"},
    "an id that is nothing": {"id": None, "type": "ping"},
    "a type that is none": {"id": 5, "type": "fly"},
    "a type that is a number": {"id": 5, "type": 1},
    "too many keys": {"id": 5, "type": "ping", "x": 1},
    "no session": {"id": 5, "type": "step", "seq": 1, "data": {}},
    "no session of ours": {"id": 5, "type": "step", "session": "x", "seq": 1, "data": {}},
    "a session that is a list": {"id": 5, "type": "state", "session": ["x"]},
    "too few sessions": {"id": 5, "type": "open", "count": 0},
    "too many sessions": {"id": 5, "type": "open", "count": 10**9},
    "an answer": {"id": 5, "type": "observation", "session": "x", "seq": 1, "data": {}},
}


@pytest.mark.parametrize("name", NONSENSE)
def test_a_frame_of_no_sense_is_refused_and_does_no_harm(shared, both: Wires, name):
    wire = both(shared(Coroutines))
    session = wire.play()
    wire.put(NONSENSE[name])
    answer = wire.receive()
    assert error_of(answer)["code"] in ("VALIDATION_ERROR", "UNKNOWN_TYPE", "SESSION_NOT_FOUND")
    assert answer["id"] == (5 if NONSENSE[name].get("id") == 5 else -1 if name == "an id below zero" else None)
    assert session.step()["steps"] == 1
    assert wire.has_no_more()


@pytest.mark.parametrize(
    "raw", ["", "{", "null", "[]", "3", '"step"', '{"id":1,}', "\x00", '{"id":NaN}', "[" * 5000]
)
def test_what_is_no_json_object_is_refused_and_does_no_harm(shared, wires: Wires, raw):
    session = wires(shared(Coroutines)).play()
    session.wire.put(raw)
    assert error_of(session.wire.receive())["code"] in ("INVALID_JSON", "VALIDATION_ERROR", "UNKNOWN_TYPE")
    assert session.step()["steps"] == 1


@pytest.mark.parametrize(
    "raw", [b"", b"\xc1", b"\x90", b"\x03", b"\xa4step", b"\x81", b"\x91" * 5000, b"\xff" * 100]
)
def test_what_is_no_messagepack_object_is_refused_and_does_no_harm(shared, wires: Wires, raw):
    session = wires(shared(Coroutines), MSGPACK).play()
    session.wire.put(raw)
    assert error_of(session.wire.receive())["code"] in ("INVALID_JSON", "VALIDATION_ERROR", "UNKNOWN_TYPE")
    assert session.step()["steps"] == 1


def test_a_frame_of_the_other_kind_is_refused_and_does_no_harm(shared, both: Wires):
    session = both(shared(Coroutines)).play()
    frame = other(both.format).encode({"id": 99, "type": "ping"})
    session.wire.socket.send(frame if both.format is JSON else frame.decode())
    answer = session.wire.receive()
    assert answer["id"] is None
    assert error_of(answer)["code"] == "INVALID_JSON"
    assert session.step()["steps"] == 1


def test_a_step_sent_in_fragments_is_one_step(shared, both: Wires):
    session = both(shared(Coroutines)).play()
    frame = both.format.encode(
        {"id": 99, "type": "step", "session": session.id, "seq": 2, "data": {"note": "x" * 100}}
    )
    parts = [frame[place : place + 20] for place in range(0, len(frame), 20)]
    session.wire.socket.send(parts if both.format.binary else [part.decode() for part in parts])
    assert session.seen(99)["note"] == "x" * 100


def test_tools_are_answered_in_the_session_or_refused(shared, both: Wires):
    session = both(shared(Coroutines)).play()
    call = {"jsonrpc": "2.0", "id": 8, "method": "tools/list"}
    answer = session.wire.ask("mcp", session=session.id, data=call)
    assert answer["type"] == "mcp"
    assert answer["data"]["id"] == 8
    assert [tool["name"] for tool in answer["data"]["result"]["tools"]] == ["do"]


def test_two_connections_do_not_share_their_ids(shared, both: Wires):
    wires: list[Wire] = [both(shared(Coroutines)) for _ in range(2)]
    first, second = (wire.play() for wire in wires)
    assert first.begin(note="first") == second.begin(note="second")
    assert first.wire.receive()["data"]["observation"]["note"] == "first"
    assert second.wire.receive()["data"]["observation"]["note"] == "second"


def test_tools_of_a_session_that_is_not_held_here_are_refused(shared, both: Wires):
    server = shared(Coroutines)
    wire, session = both(server), both(server).play()
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    for unknown in ("nope", session.id):
        assert wire.refused("mcp", session=unknown, data=request)["code"] == "SESSION_NOT_FOUND"
    assert session.wire.ask("mcp", session=session.id, data=request)["data"]["id"] == 1
