"""One size limit that both ends know, in both directions."""

import httpx
import pytest
from tests.servers import Server
from tests.toys import Add, CounterEnv, InlineCounter
from tests.wire.conftest import Connect, Serve
from tests.wire.environments import Moody
from tests.wire.raw import RESET, STATE, step

from openenv.errors import MessageTooLargeError

LIMIT = 2**16


@pytest.fixture
def server(serve_on: Serve, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server with a small limit, told by the environment variable while it is made."""
    monkeypatch.setenv("OPENENV_MAX_MESSAGE_SIZE_MB", str(LIMIT / 2**20))
    server = serve_on(Moody)
    monkeypatch.delenv("OPENENV_MAX_MESSAGE_SIZE_MB")
    return server


def step_of(size: int) -> str:
    """Return a step frame of so many bytes."""
    return step(metadata={"x": "y" * (size - len(step(metadata={"x": ""})))})


def halves(message: str) -> list[str]:
    """Return a message as two fragments."""
    return [message[: len(message) // 2], message[len(message) // 2 :]]


def test_the_limit_is_told_in_the_handshake(server: Server, connect: Connect):
    assert connect(server).socket.response.headers["x-openenv-max-message-size"] == str(LIMIT)


@pytest.mark.parametrize("cut", [str, halves], ids=["whole", "in fragments"])
def test_a_message_of_just_the_limit_is_taken(server: Server, connect: Connect, cut):
    ws = connect(server)
    ws.ask(RESET)
    assert ws.ask(cut(step_of(LIMIT)))["observation"]["total"] == 1


@pytest.mark.parametrize("cut", [str, halves], ids=["whole", "in fragments"])
@pytest.mark.parametrize("size", [LIMIT + 1, 4 * LIMIT])
def test_a_message_over_the_limit_closes_with_1009(server: Server, connect: Connect, size: int, cut):
    ws = connect(server)
    ws.ask(RESET)
    ws.send_too_much(cut(step_of(size)))
    assert ws.close_code() == 1009


def test_many_small_fragments_over_the_limit_close_with_1009(server: Server, connect: Connect):
    ws = connect(server)
    ws.send_too_much(["x" * 1024] * (LIMIT // 1024 + 1))
    assert ws.close_code() == 1009


def test_fragments_become_one_message(server: Server, connect: Connect):
    ws = connect(server)
    ws.send(list(RESET))
    assert ws.receive()["type"] == "observation"
    assert ws.ask(["", *halves(step(7)), ""])["observation"]["total"] == 7


def test_an_answer_over_the_limit_becomes_an_error_and_the_session_goes_on(server: Server, connect: Connect):
    ws = connect(server)
    ws.ask(RESET)
    assert ws.refused(step(trouble="large"))["code"] == "MESSAGE_TOO_LARGE"
    assert ws.ask(STATE)["step_count"] == 1, "the step itself was executed"
    assert ws.ask(step())["observation"]["total"] == 2


def test_the_client_refuses_what_the_server_would_not_take(server: Server):
    with CounterEnv(base_url=server.url) as env:
        env.reset()
        with pytest.raises(MessageTooLargeError, match=f"{LIMIT:,}"):
            env.step(Add(metadata={"x": "y" * LIMIT}))
        assert env.step(Add()).observation.total == 1, "nothing was sent, so the session is as before"


def test_a_body_over_the_limit_is_refused_before_it_is_executed(server: Server, http: httpx.Client):
    too_much = f'{{"action":{{"metadata":{{"x":"{"y" * LIMIT}"}}}}}}'
    http.post(f"{server.url}/reset")
    responses = [
        http.post(f"{server.url}/step", content=too_much),
        http.post(
            f"{server.url}/step", content=(piece.encode() for piece in halves(too_much))
        ),  # no Content-Length
        http.post(f"{server.url}/reset", content=too_much),
    ]
    assert [r.status_code for r in responses] == [413] * 3
    assert {r.json()["code"] for r in responses} == {"MESSAGE_TOO_LARGE"}
    assert http.get(f"{server.url}/state").json()["step_count"] == 0


def test_an_answer_over_the_limit_is_413_over_http(server: Server, http: httpx.Client):
    http.post(f"{server.url}/reset")
    response = http.post(f"{server.url}/step", json={"action": {"trouble": "large"}})
    assert (response.status_code, response.json()["code"]) == (413, "MESSAGE_TOO_LARGE")
    assert http.get(f"{server.url}/state").json()["step_count"] == 1


def test_large_answers_of_one_turn_do_not_get_into_one_another(serve_on: Serve, connect: Connect):
    socket = connect(serve_on(InlineCounter))
    socket.ask(RESET)
    amounts = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]  # so that the answers differ in length
    socket.send_at_once([step(amount, trouble="large") for amount in amounts])
    answers = [socket.receive()["data"] for _ in amounts]
    assert [answer["observation"]["total"] for answer in answers] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert {len(answer["observation"]["extra"]) for answer in answers} == {3_000_000}
