"""Version 2 where several things happen at once, or an environment is at fault; more is in `tests/conformance`."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from pydantic import field_validator
from tests.servers import BOUND_S, Server
from tests.toys import Count, Gate, InlineCounter, Tally, gated
from tests.wire.conftest import Connect, Serve

from openenv.client.link import websocket_url
from openenv.environment import Environment
from openenv.models import Action
from openenv.protocol.v2 import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from openenv.validation.conformance.dialects import V2Socket


class Fussy(Action):
    """An action with a validator that breaks."""

    amount: float = 0.0

    @field_validator("amount")
    @classmethod
    def _is_known(cls, amount: float) -> float:
        return {1.0: 1.0, 2.0: 2.0}[amount]


class FussyCounter(Environment[Fussy, Count, Tally]):
    SUPPORTS_CONCURRENT_SESSIONS = True
    NON_BLOCKING = True

    def reset(self) -> Count:
        self.tally = Tally()
        return Count(total=0)

    def step(self, action: Fussy) -> Count:
        self.tally.step_count += 1
        return Count(total=self.tally.step_count)

    @property
    def state(self) -> Tally:
        return self.tally


Speak = Callable[..., V2Socket]


@pytest.fixture
def speak() -> Iterator[Speak]:
    """A maker of version 2 connections that have said hello: `speak(server)`."""
    with ExitStack() as stack:

        def connected(server: Server, subprotocol: str = SUBPROTOCOL_JSON) -> V2Socket:
            socket = V2Socket(websocket_url(server.url), [subprotocol], BOUND_S)
            stack.callback(socket.close)
            assert socket.hello()["type"] == "welcome"
            return socket

        yield connected


def opened(socket: V2Socket) -> dict[str, Any]:
    """Open a session, reset it, and return what names it."""
    (session,) = socket.ask("open")["sessions"]
    assert socket.ask("reset", session=session["session"], seq=1)["type"] == "observation"
    return session


def test_a_refusal_behind_a_running_step_does_not_cost_the_step_its_answer(serve_on: Serve, speak: Speak):
    gate = Gate()
    socket = speak(serve_on(gated(gate)))
    session = opened(socket)["session"]
    running = socket.request("step", session=session, seq=2, data={"amount": 0})
    gate.wait_for(1)
    refused = socket.ask("step", session=session, seq=3, data={"amount": "many"})
    assert refused["data"]["code"] == "VALIDATION_ERROR"
    waiting = [socket.request("step", session=session, seq=seq, data={"amount": 5}) for seq in (4, 5)]
    gate.open()
    totals = [socket.answer(number)["data"]["observation"]["total"] for number in (running, *waiting)]
    assert totals == [0, 5, 10]


def test_a_request_that_is_sent_again_while_it_runs_is_answered_under_both_ids(serve_on: Serve, speak: Speak):
    gate = Gate()
    socket = speak(serve_on(gated(gate)))
    session = opened(socket)["session"]
    first, again = (socket.request("step", session=session, seq=2, data={"amount": 0}) for _ in range(2))
    gate.wait_for(1)
    gate.open()
    assert socket.answer(first)["data"] == socket.answer(again)["data"]
    assert socket.ask("state", session=session)["data"]["step_count"] == 1


@pytest.mark.parametrize("subprotocol", [SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK])
def test_a_validator_that_breaks_is_a_validation_error(serve_on: Serve, speak: Speak, subprotocol: str):
    socket = speak(serve_on(FussyCounter), subprotocol)
    session = opened(socket)["session"]
    error = socket.ask("step", session=session, seq=2, data={"amount": 3})
    assert (error["data"]["code"], error["data"]["exception"]) == ("VALIDATION_ERROR", "KeyError")
    items = [{"session": session, "seq": seq, "data": {"amount": seq}} for seq in (3, 4)]
    items[1]["data"] = {"amount": 1}
    batch = socket.request("step_many", items=items)
    answers: list[dict[str, Any]] = []
    while not answers or not answers[-1]["last"]:
        answers.append(socket.answer(batch))
    found = [item for answer in answers for item in answer["items"]]
    assert [(item["seq"], "error" in item) for item in found] == [(3, True), (4, False)]


def test_items_in_a_batch_that_hold_infinity_are_refused_by_themselves(serve_on: Serve, speak: Speak):
    socket = speak(serve_on(InlineCounter))
    session = opened(socket)["session"]
    items = [
        {"session": session, "seq": 2, "data": {"metadata": {"x": [float("inf")]}}},
        {"session": session, "seq": 3, "data": {"amount": 2}},
    ]
    socket.send(json.dumps({"id": 99, "type": "step_many", "items": items}))
    bad, good = socket.answer(99)["items"]
    assert bad["error"]["code"] in ("INVALID_JSON", "VALIDATION_ERROR")
    assert good["data"]["observation"]["total"] == 2


def test_sessions_that_could_not_all_be_opened_end_without_a_word(serve_on: Serve, speak: Speak):
    server = serve_on(InlineCounter, max_concurrent_envs=2)
    socket = speak(server)
    assert socket.ask("open", count=3)["data"]["code"] == "CAPACITY_REACHED"
    pong = socket.request("ping")
    assert socket.frame()["id"] == pong, "nothing was said of sessions that nobody has heard of"


@pytest.mark.parametrize("subprotocol", [SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK])
def test_a_session_is_reached_by_its_token_and_not_by_its_id(
    serve_on: Serve, speak: Speak, connect: Connect, http: httpx.Client, subprotocol: str
):
    server = serve_on(InlineCounter)
    socket = speak(server, subprotocol)
    session = opened(socket)["session"]
    path = f"{server.url}/sessions/{session}"
    answers = [
        http.get(f"{path}/state"),
        http.post(f"{path}/reset"),
        http.post(f"{path}/step", json={"action": {}}),
    ]
    assert [answer.json()["code"] for answer in answers] == ["SESSION_NOT_FOUND"] * 3
    thief = connect(server, f"?session_id={session}")
    assert thief.error()["code"] == "SESSION_NOT_FOUND"
    assert thief.close_code() == 1000
    assert socket.ask("step", session=session, seq=2, data={"amount": 3})["data"]["observation"]["total"] == 3


def test_a_session_that_is_ended_over_http_is_told_to_its_holder(serve_on: Serve, speak: Speak, http: httpx.Client):
    server = serve_on(InlineCounter)
    socket = speak(server)
    session = opened(socket)["session"]
    assert http.delete(f"{server.url}/sessions/{session}").status_code == 204
    ended = socket.notice("ended")
    assert (ended["session"], ended["data"]["code"]) == (session, "SESSION_LOST")
