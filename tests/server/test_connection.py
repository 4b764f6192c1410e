"""One version 1 WebSocket without the WebSocket: frames in, frames out."""

import asyncio
import json
from typing import Any

import pytest
from tests.server.driving import asked, manage, opened, reset, step, until
from tests.toys import Add, AsyncCounter, Count, Counter, Gate, InlineCounter, gated

from openenv.protocol.codec import ServerCodec
from openenv.server.connection import Connection, wrong_frame
from openenv.server.manager import SessionManager

RESET = '{"type":"reset"}'
STATE = '{"type":"state"}'
MCP = '{"type":"mcp","data":{"jsonrpc":"2.0","id":%s,"method":"tools/list"}}'


def add(amount: int, **fields: Any) -> str:
    return json.dumps({"type": "step", "data": {"amount": amount, **fields}})


class Wire:
    """A transport that keeps what it is given."""

    def __init__(self, manager: SessionManager, max_size: int = 10_000, session_id: str | None = None) -> None:
        self.frames: list[Any] = []
        self.closed: list[int] = []
        self.connection = Connection(
            manager,
            ServerCodec(Add, Count),
            lambda raw: self.frames.append(json.loads(raw)),
            self.closed.append,
            max_size=max_size,
            session_id=session_id,
        )
        self.connection.opened()

    async def __call__(self, *raws: str | bytes, answers: int | None = None) -> list[Any]:
        """Hand over frames at once and return the new answers: totals, codes, or the data of others."""
        before = len(self.frames)
        for raw in raws:
            self.connection.received(raw)
        await until(lambda: len(self.frames) == before + (len(raws) if answers is None else answers))
        return [self._told(frame) for frame in self.frames[before:]]

    @staticmethod
    def _told(frame: dict[str, Any]) -> Any:
        data = frame["data"]
        return {"observation": lambda: data["observation"]["total"], "error": lambda: data["code"]}.get(
            frame["type"], lambda: data
        )()


@pytest.mark.parametrize("counter", [Counter, InlineCounter, AsyncCounter])
async def test_an_episode_frame_by_frame(counter):
    wire = Wire(manage(counter))
    assert await wire(RESET, add(3), add(97), add(1)) == [0, 3, 100, "EPISODE_ENDED"]
    [state] = await wire(STATE)
    assert (state["total"], state["step_count"]) == (100, 2)
    assert wire.frames[1] == {
        "type": "observation",
        "data": {"observation": {"metadata": {}, "total": 3, "extra": None}, "reward": 3.0, "done": False},
    }


@pytest.mark.parametrize("counter", [Counter, InlineCounter, AsyncCounter])
async def test_answers_come_in_the_order_of_the_frames_whatever_the_frames_are(counter):
    wire = Wire(manage(counter))
    got = await wire(RESET, add(1), "5", add(1), "{bad", MCP % 7, add(1), '{"type":"x"}', STATE)
    assert got[:5] == [0, 1, "VALIDATION_ERROR", 2, "INVALID_JSON"]
    assert got[5]["id"] == 7
    assert got[6:8] == [3, "UNKNOWN_TYPE"]
    assert got[8]["total"] == 3


async def test_a_bad_frame_during_a_step_is_answered_after_the_step():
    gate = Gate()
    wire = Wire(manage(gated(gate)))
    await wire(RESET)
    for raw in (add(0), "null", MCP % 1, "null"):
        wire.connection.received(raw)
    wire.connection.refused(wrong_frame(False))
    await asyncio.to_thread(gate.wait_for, 1)
    assert len(wire.frames) == 1
    gate.open()
    got = await wire(answers=5)
    assert got[0] == 0
    assert (got[1], got[3], got[4]) == ("VALIDATION_ERROR", "VALIDATION_ERROR", "INVALID_JSON")
    assert got[2]["result"]["tools"]


@pytest.mark.parametrize("request_id", ["1", '"a"', "null"])
async def test_a_tool_request_is_answered_under_its_id(request_id):
    wire = Wire(manage(Counter))
    [answer] = await wire(MCP % request_id)
    assert answer["id"] == json.loads(request_id)
    assert [tool["name"] for tool in answer["result"]["tools"]] == ["add"]


@pytest.mark.parametrize("request_id", ['{"__bytes__":"AA=="}', "[1]", "true", "1.5"])
async def test_a_tool_request_under_an_id_that_none_can_have_is_refused(request_id):
    wire = Wire(manage(Counter))
    [answer] = await wire(MCP % request_id)
    assert (answer["id"], answer["error"]["code"]) == (None, -32600)


async def test_no_frame_at_all_can_break_a_connection():
    wire = Wire(manage(Counter))
    await wire(RESET, add(2))
    nasty = [
        '{"type":"mcp","data":{"id":1e999}}',
        '{"type":"step","data":{"metadata":{"x":1e999}}}',
        "[" * 10**5,
        b"\xff",
    ]
    await wire(*nasty)
    assert wire.closed == []
    [state] = await wire(STATE)
    assert state["total"] >= 2


async def test_the_session_lives_as_long_as_the_connection():
    manager = manage(Counter, sessions=1)
    wire = Wire(manager)
    assert manager.capacity().active_sessions == 1
    await wire(RESET)
    wire.connection.lost()
    await until(lambda: manager.capacity().active_sessions == 0)
    wire.connection.received(RESET)
    await asyncio.sleep(0)
    assert len(wire.frames) == 1


async def test_a_close_frame_ends_the_session_and_closes_normally_without_an_answer():
    manager = manage(Counter)
    wire = Wire(manager)
    await wire(RESET)
    await wire('{"type":"close"}', answers=0)
    assert wire.closed == [1000]
    await until(lambda: manager.capacity().active_sessions == 0)
    assert len(wire.frames) == 1


async def test_without_room_the_client_is_told_and_the_connection_closed():
    manager = manage(Counter, sessions=1)
    Wire(manager)
    refused = Wire(manager)
    assert refused.closed == [1000]
    [frame] = refused.frames
    assert frame["data"]["code"] == "CAPACITY_REACHED"
    assert (frame["data"]["active_sessions"], frame["data"]["max_sessions"]) == (1, 1)
    await refused(RESET, answers=0)


async def test_a_constructor_that_fails_is_told_and_the_connection_closed():
    class Unbuildable(Counter):
        def __init__(self) -> None:
            raise OSError("no board")

    wire = Wire(manage(Unbuildable))
    assert await wire(answers=1) == ["FACTORY_ERROR"]
    assert wire.closed == [1000]


async def test_the_end_of_the_session_is_told_and_the_connection_closed():
    manager = manage(Counter)
    wire = Wire(manager)
    await wire(RESET)
    [session] = manager.sessions()
    session.end()
    assert await wire(answers=0) == []
    assert wire.frames[-1]["data"]["code"] == "SESSION_LOST"
    assert wire.closed == [1000]


async def test_an_answer_over_the_limit_is_replaced_by_an_error_and_the_session_goes_on():
    wire = Wire(manage(Counter), max_size=1000)
    assert await wire(RESET, add(1, trouble="large"), add(1)) == [0, "MESSAGE_TOO_LARGE", 2]
    assert "limit is 1,000" in wire.frames[1]["data"]["message"]


async def test_a_connection_to_an_existing_session_goes_on_with_it_and_leaves_it():
    manager = manage(Counter)
    session = await opened(manager, attached=False)
    await asked(session, reset(), step(5))
    first = Wire(manager, session_id=session.id)
    assert await first(add(1)) == [6]
    await first('{"type":"close"}', answers=0)
    assert first.closed == [1000]
    assert await Wire(manager, session_id=session.id)(add(1)) == [7]
    unknown = Wire(manager, session_id="never was")
    assert [frame["data"]["code"] for frame in unknown.frames] == ["SESSION_NOT_FOUND"]
    assert unknown.closed == [1000]
