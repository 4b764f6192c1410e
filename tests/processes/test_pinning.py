"""Whatever arrives at a process that has not the session reaches the one that has it."""

import json
from collections import Counter as Tally
from contextlib import closing
from http.client import HTTPConnection

import pytest
from tests.processes.running import Several, Wires, process_of
from tests.servers import BOUND_S, wait_until
from tests.sessions.wire import Remote
from websockets.sync.client import connect

from openenv.client.generic import GenericEnvClient


def opened_in_both(server: Several) -> list[str]:
    """Return the ids of two HTTP sessions that are in different processes."""
    found: dict[str, str] = {}
    more = []
    for _ in range(20):
        with server.fresh() as http:
            session = http.post("/sessions").json()["session_id"]
        if found.setdefault(process_of(session), session) != session:
            more.append(session)  # ended later: what a process has counts when it is chosen
        if len(found) == server.workers:
            for session in more:
                server.http.delete(f"/sessions/{session}")
            return list(found.values())
    raise AssertionError(f"all sessions were opened in {set(found)}")


def test_the_connections_of_a_vector_client_are_spread_evenly(pair: Several):
    with GenericEnvClient.vector(base_url=pair.url, num_envs=8, connections=8) as envs:
        processes = Tally(result.observation["process"] for result in envs.reset())
    assert len(processes) == 2
    assert max(processes.values()) <= 5  # a connection of the test before may still be counted


def test_a_session_over_http_is_reached_over_any_connection(pair: Several):
    for session in opened_in_both(pair):
        route = f"/sessions/{session}"
        for turn in range(4):
            with pair.fresh() as http:
                if turn == 0:
                    assert http.post(f"{route}/reset", json={"episode_id": "e"}).status_code == 200
                answer = http.post(f"{route}/step", json={"action": {"amount": 2}}).json()
                assert answer["observation"]["total"] == 2 * (turn + 1)
                assert http.get(f"{route}/state").json()["step_count"] == turn + 1
                assert http.get(route).json()["step_count"] == turn + 1
                assert http.post(f"{route}/step", json={"action": 5}).status_code == 422
        statuses = []
        for _ in range(2):
            with pair.fresh() as http:
                statuses.append(http.delete(route).status_code)
        assert statuses == [204, 404]


def test_requests_without_a_session_id_share_one_session(pair: Several):
    totals = []
    for turn in range(6):
        with pair.fresh() as http:
            if turn == 0:
                http.post("/reset")
            totals.append(http.post("/step", json={"action": {}}).json()["observation"]["total"])
    assert totals == [1, 2, 3, 4, 5, 6]


def rpc(http, method: str, session: str | None = None, **params):
    """Ask by JSON-RPC, in a session of MCP or without one."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    headers = {"accept": "application/json, text/event-stream"}
    return http.post("/mcp", json=body, headers=headers | ({"mcp-session-id": session} if session else {}))


def test_a_client_of_mcp_is_known_over_any_connection(pair: Several):
    with pair.fresh() as http:
        session = rpc(http, "initialize", protocolVersion="2025-06-18").headers["mcp-session-id"]
    for turn in range(1, 7):
        with pair.fresh() as http:
            answer = rpc(http, "tools/call", session, name="do", arguments={"amount": 2}).json()
            assert answer["result"]["structuredContent"]["total"] == 2 * turn
            assert rpc(http, "tools/list", session).json()["result"]["tools"]
    statuses = []
    for _ in range(2):
        with pair.fresh() as http:
            statuses.append(http.delete("/mcp", headers={"mcp-session-id": session}).status_code)
    assert statuses == [204, 404]


def test_a_call_that_wants_to_hear_of_progress_is_answered_wherever_its_session_is(pair: Several):
    with pair.fresh() as http:
        session = rpc(http, "initialize", protocolVersion="2025-06-18").headers["mcp-session-id"]
    for turn in range(6):
        with pair.fresh() as http:
            meta = {"progressToken": 1}
            answer = rpc(http, "tools/call", session, name="do", arguments={"amount": 1}, _meta=meta)
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert f'"total":{turn + 1}' in answer.text
    pair.http.delete("/mcp", headers={"mcp-session-id": session})


def test_what_can_not_be_read_is_answered_by_the_application(pair: Several):
    for _ in range(4):
        with pair.fresh() as http:
            assert http.post("/mcp", content=b"[" * 100_000).status_code == 400
            assert http.post("/mcp", content=b"{}", headers={b"mcp-session-id": b"\xff"}).status_code == 404


def test_calls_of_tools_without_a_session_share_one_and_named_ones_reach_theirs(pair: Several):
    with pair.fresh() as http:
        http.post("/reset")
        named = rpc(http, "openenv/session/create").json()["result"]["session_id"]
    totals = []
    for _ in range(6):
        with pair.fresh() as http:
            plain = rpc(http, "tools/call", name="do", arguments={"amount": 1}).json()
            own = rpc(http, "tools/call", name="do", arguments={"amount": 5}, session_id=named).json()
            totals.append((plain["result"]["data"]["total"], own["result"]["data"]["total"]))
    assert totals == [(turn, 5 * turn) for turn in range(1, 7)]
    with pair.fresh() as http:
        assert rpc(http, "openenv/session/close", session_id=named).json()["result"]["closed"]


def test_a_request_that_is_too_large_is_refused_wherever_its_session_is(pair: Several):
    for session in opened_in_both(pair):
        for _ in range(4):
            with closing(HTTPConnection(pair.url.removeprefix("http://"), timeout=BOUND_S)) as http:
                http.putrequest("POST", f"/sessions/{session}/step")
                http.putheader("content-length", str(200 * 1024 * 1024))
                http.endheaders()
                assert http.getresponse().status == 413
        pair.http.delete(f"/sessions/{session}")


def test_capacity_and_sessions_are_told_of_all_processes(pair: Several, wires: Wires):
    before = pair.http.get("/capacity").json()["active_sessions"]
    sessions = [wire.play() for wire in wires.one_in_each()]
    own = opened_in_both(pair)
    for _ in range(4):
        with pair.fresh() as http:
            assert http.get("/capacity").json()["active_sessions"] == before + 4
            listed = http.get("/sessions").json()
            assert len(listed) == before + 4
            text = json.dumps(listed)
            assert not [session.id for session in sessions if session.id in text]
    for session in own:
        pair.http.delete(f"/sessions/{session}")
    for session in sessions:
        session.wire.ask("close", session=session.id)
    assert wait_until(lambda: pair.http.get("/capacity").json()["active_sessions"] == before)


def test_a_session_is_resumed_over_a_connection_to_another_process(wires: Wires):
    here, there = wires.one_in_each()
    session = here.play()
    assert session.step()["total"] == 1
    here.drop()
    resumed = session.resume(there)
    assert (resumed["session"], resumed["seq"], resumed["phase"]) == (session.id, 2, "running")
    assert session.step()["total"] == 2
    assert session.step(seq=session.seq)["total"] == 2  # the kept answer: it was executed once
    assert session.error(session.begin(seq=session.seq + 2))["code"] == "SEQUENCE_ERROR"
    assert session.state()["step_count"] == 2
    assert session.error(session.send("step", {"amount": "much"}))["code"] == "VALIDATION_ERROR"
    assert session.step()["total"] == 3
    there.ask("close", session=session.id)
    assert there.refused("state", session=session.id)["code"] == "SESSION_NOT_FOUND"


def test_requests_may_follow_a_resume_before_its_answer(wires: Wires):
    here, there = wires.one_in_each()
    session = here.play()
    resuming = there.send("resume", session=session.id, token=session.token)
    session.wire = there
    first, second = session.begin(), session.begin()
    assert there.answer(resuming)["type"] == "resumed"
    assert [session.seen(first)["total"], session.seen(second)["total"]] == [1, 2]
    assert here.notice()["type"] == "ended"  # it was taken away from there


def test_a_batch_for_sessions_of_several_processes_is_answered_as_one(wires: Wires):
    here, there = wires.one_in_each()
    own, away = there.open(3), here.open(3)
    for session in away:
        session.resume(there)
    mixed = [session for both in zip(own, away, strict=True) for session in both]
    for kind, data in (("reset_many", {}), ("step_many", {"amount": 4})):
        for session in mixed:
            session.seq += 1
        items = [{"session": session.id, "seq": session.seq, "data": data} for session in mixed]
        number = there.send(kind, items=items)
        answered, last = [], False
        while not last:
            answer = there.answer(number)
            assert answer["type"] == "observations"
            answered += answer["items"]
            last = answer["last"]
        assert sorted(item["session"] for item in answered) == sorted(session.id for session in mixed)
        assert {item["data"]["observation"]["total"] for item in answered} == {data.get("amount", 0)}
        assert len({item["data"]["observation"]["process"] for item in answered}) == 2
    assert there.has_no_more()
    for session in mixed:
        there.ask("close", session=session.id)


def test_a_step_in_another_process_is_cancelled(wires: Wires):
    here, there = wires.one_in_each()
    session = here.play()
    session.resume(there)
    number = session.send("step", {"what": "hang"})
    cancelled = there.ask("cancel", target=number)
    assert (cancelled["target"], cancelled["found"]) == (number, True)
    assert session.error(number)["code"] == "CANCELLED"
    assert there.ask("cancel", target=number)["found"] is False
    assert session.reset()["total"] == 0
    assert there.has_no_more()
    there.ask("close", session=session.id)


def test_a_wrong_token_is_refused_in_the_same_words_in_every_process(wires: Wires):
    here, there = wires.one_in_each()
    session = here.play()
    words = set()
    for wire in (here, there):
        for name in (session.id, f"{process_of(session.id)}-unknown"):
            error = wire.refused("resume", session=name, token="forged")
            assert error["code"] == "SESSION_NOT_FOUND"
            words.add(error["message"].replace(name, ""))
        assert wire.refused("resume", session="p999-unknown", token="forged")["code"] == "SESSION_NOT_FOUND"
    assert len(words) == 1
    assert session.step()["total"] == 1


def test_a_connection_lost_detaches_the_sessions_it_has_in_other_processes(wires: Wires):
    here, there = wires.one_in_each()
    session = here.play()
    session.resume(there)
    there.drop()
    assert session.resume(here)["phase"] == "running"
    assert session.step()["total"] == 1
    here.ask("close", session=session.id)


@pytest.mark.parametrize("turn", range(2))
def test_a_version_1_connection_is_attached_to_a_session_of_any_process(pair: Several, turn: int):
    sessions = opened_in_both(pair)
    for session in sessions:
        for total in (1, 2, 3):
            url = f"{pair.url.replace('http', 'ws', 1)}/ws?session_id={session}"
            with connect(url, compression=None, proxy=None, open_timeout=BOUND_S) as socket:
                if total == 1:
                    socket.send('{"type":"reset"}')
                    socket.recv(BOUND_S)
                socket.send('{"type":"step","data":{}}')
                assert json.loads(socket.recv(BOUND_S))["data"]["observation"]["total"] == total
                socket.send("nonsense")
                assert json.loads(socket.recv(BOUND_S))["data"]["code"] == "INVALID_JSON"
        pair.http.delete(f"/sessions/{session}")


def test_a_fork_stays_in_the_process_of_its_session_also_over_a_connection_to_another(pair: Several, wires: Wires):
    here, there = wires.one_in_each()
    session = here.play()
    session.step(amount=5)
    session.resume(there)
    kept = there.ask("snapshot", session=session.id, seq=3)["data"]["snapshot"]
    told = there.ask("fork", session=session.id, seq=4, data={"count": 2})["data"]["sessions"]
    assert {process_of(one["session"]) for one in told} == {process_of(kept)} == {process_of(session.id)}
    forks = [Remote(there, one["session"], one["token"]) for one in told]
    assert [one.step(amount=number)["total"] for number, one in enumerate(forks)] == [5, 6]
    assert there.ask("fork", session=session.id, seq=4, data={"count": 2})["data"]["sessions"] == told
    back = there.ask("restore", session=forks[1].id, seq=2, data={"snapshot": kept})
    assert back["data"]["step_count"] == 1
    stranger = there.play()
    error = there.refused("restore", session=stranger.id, seq=2, data={"snapshot": kept})
    assert error["code"] == "SNAPSHOT_NOT_FOUND"
    assert "another process" in error["message"]
    for one in [session, stranger, *forks]:
        there.ask("close", session=one.id)
