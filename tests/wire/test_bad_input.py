"""What the server makes of every kind of bad input, over the WebSocket on both carriers and over HTTP.

Each row is sent at the same point of an episode. The answer is one error with a stable code; the state is as before
unless the row says what was executed; and the session goes on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.servers import Host, Server
from tests.toys import LAST_TOTAL, UNLUCKY
from tests.wire.conftest import CARRIERS, Connect
from tests.wire.environments import Moody
from tests.wire.raw import RESET, STATE, step

from openenv.server.app import create_app

STATUS = {
    "INVALID_JSON": 422,
    "VALIDATION_ERROR": 422,
    "NOT_RESET": 409,
    "EPISODE_ENDED": 409,
    "EXECUTION_ERROR": 500,
    "SERIALIZATION_ERROR": 500,
}

# How an episode stands before the row, as the totals of its steps; None is a session without an episode.
FRESH, RUNNING, ENDED = None, [5], [LAST_TOTAL]
Before = list[int] | None


@dataclass(frozen=True)
class Row:
    """One bad input.

    Attributes:
        name: What it is.
        code: What the error says.
        frame: What is sent over the WebSocket; None if the row is about HTTP alone.
        http: Verb and body of the same over HTTP; None if there is no such thing.
        before: How the episode stands.
        executed: `reset` or `step` if the environment did it and only then failed.
        lost: Whether a reset is needed to go on.
    """

    name: str
    code: str
    frame: str | bytes | list[Any] | None
    http: tuple[str, str] | None = None
    before: Before = None
    executed: str = ""
    lost: bool = False


def bare(name: str, code: str, text: str, **more: Any) -> Row:
    """Return the row of a whole message: the frame, and the body of a step."""
    return Row(name, code, text, ("step", text), **{"before": RUNNING, **more})


def frame(name: str, code: str, text: str | bytes | list[Any], **more: Any) -> Row:
    """Return the row of a frame that has no like over HTTP."""
    return Row(name, code, text, **{"before": RUNNING, **more})


def data(verb: str, name: str, code: str, text: str, **more: Any) -> Row:
    """Return the row of the data of a reset or step."""
    body = text if verb == "reset" else f'{{"action":{text}}}'
    return Row(name, code, f'{{"type":"{verb}","data":{text}}}', (verb, body), **{"before": RUNNING, **more})


ROWS = [
    bare("a number", "VALIDATION_ERROR", "5"),
    bare("null", "VALIDATION_ERROR", "null"),
    bare("a list", "VALIDATION_ERROR", "[1,2]"),
    bare("a string", "VALIDATION_ERROR", '"x"'),
    bare("true", "VALIDATION_ERROR", "true"),
    bare("not JSON", "INVALID_JSON", "{not json"),
    bare("a megabyte of brackets", "INVALID_JSON", "[" * 2**20),
    bare("a megabyte of braces", "INVALID_JSON", '{"a":' * 2**18),
    frame("nothing", "INVALID_JSON", ""),
    frame("binary", "INVALID_JSON", b'{"type":"step","data":{}}'),
    frame("binary in fragments", "INVALID_JSON", [b'{"type":"step",', b'"data":{}}']),
    frame("an empty object", "UNKNOWN_TYPE", "{}"),
    frame("an unknown type", "UNKNOWN_TYPE", '{"type":"nope"}'),
    frame("a type that is a number", "UNKNOWN_TYPE", '{"type":5}'),
    frame("a type that is null", "UNKNOWN_TYPE", '{"type":null}'),
    frame("a type that is an object", "UNKNOWN_TYPE", '{"type":{}}'),
    frame(
        "an unknown field beside the data",
        "VALIDATION_ERROR",
        '{"type":"step","data":{"amount":1},"request_id":"x"}',
    ),
    frame("data in a state", "VALIDATION_ERROR", '{"type":"state","data":{}}'),
    frame("data in a close", "VALIDATION_ERROR", '{"type":"close","data":{}}'),
    frame("a tool call without data", "VALIDATION_ERROR", '{"type":"mcp"}'),
    Row("a step without data", "VALIDATION_ERROR", '{"type":"step"}', ("step", "{}"), RUNNING),
    data("step", "an action that is null", "VALIDATION_ERROR", "null"),
    data("step", "an action that is a list", "VALIDATION_ERROR", "[1]"),
    data("step", "an unknown field", "VALIDATION_ERROR", '{"amount":1,"bonus":2}'),
    data("step", "a field of the wrong type", "VALIDATION_ERROR", '{"amount":"many"}'),
    data("step", "a field that is not of its choices", "VALIDATION_ERROR", '{"trouble":"none of these"}'),
    data("step", "a validator that raises ValueError", "VALIDATION_ERROR", f'{{"amount":{UNLUCKY}}}'),
    data("step", "NaN in a field", "VALIDATION_ERROR", '{"amount":NaN}'),
    data("step", "NaN in metadata", "VALIDATION_ERROR", '{"metadata":{"x":NaN}}'),
    data("step", "infinity in metadata", "VALIDATION_ERROR", '{"metadata":{"x":[-Infinity]}}'),
    data("step", "a number too large to be finite in metadata", "VALIDATION_ERROR", '{"metadata":{"x":1e999}}'),
    data("reset", "a seed that is text", "VALIDATION_ERROR", '{"seed":"abc"}'),
    data("reset", "a seed below zero", "VALIDATION_ERROR", '{"seed":-1}'),
    data("reset", "a seed with a fraction", "VALIDATION_ERROR", '{"seed":1.5}'),
    data("reset", "an episode id that is a number", "VALIDATION_ERROR", '{"episode_id":7}'),
    data("reset", "a reset of null", "VALIDATION_ERROR", "null"),
    data("reset", "a reset of a list", "VALIDATION_ERROR", "[]"),
    data("step", "a step before reset", "NOT_RESET", '{"amount":1}', before=FRESH),
    data("step", "a step after done", "EPISODE_ENDED", '{"amount":1}', before=ENDED),
    data("reset", "an exception in reset", "EXECUTION_ERROR", '{"trouble":"raise"}', lost=True),
    data("step", "an exception in step", "EXECUTION_ERROR", '{"trouble":"raise"}', executed="step"),
    data("step", "sys.exit in step", "EXECUTION_ERROR", '{"trouble":"exit"}', executed="step"),
    data(
        "reset",
        "a first observation of a foreign class",
        "SERIALIZATION_ERROR",
        '{"trouble":"foreign"}',
        executed="reset",
    ),
    data(
        "step", "an observation of a foreign class", "SERIALIZATION_ERROR", '{"trouble":"foreign"}', executed="step"
    ),
    data("step", "NaN in an observation", "SERIALIZATION_ERROR", '{"trouble":"nan"}', executed="step"),
    data(
        "step",
        "a lone surrogate in an observation",
        "SERIALIZATION_ERROR",
        '{"trouble":"surrogate"}',
        executed="step",
    ),
    Row("a time of zero seconds", "VALIDATION_ERROR", None, ("step", '{"action":{},"timeout_s":0}'), RUNNING),
]


ON_THE_WEBSOCKET = [pytest.param(row, id=row.name) for row in ROWS if row.frame is not None]
OVER_HTTP = [pytest.param(row, id=row.name) for row in ROWS if row.http is not None]


@pytest.fixture(scope="module")
def server(host: Host, carrier: str) -> Server:
    return host.run(create_app(Moody), **CARRIERS[carrier])


@pytest.mark.parametrize("row", ON_THE_WEBSOCKET)
def test_a_bad_frame_is_answered_once_and_the_session_goes_on(row: Row, server: Server, connect: Connect):
    ws = connect(server)

    def play(verb: str, amount: int = 1) -> dict[str, Any]:
        return ws.ask({"reset": RESET, "step": step(amount), "state": STATE}[verb])

    start(row, play)
    before = standing(play)

    error = ws.refused(row.frame)

    check_error(error, row)
    check_the_session_goes_on(
        row, before, play
    )  # its next frame is the answer to its question, so there was one error


@pytest.mark.parametrize("row", OVER_HTTP)
def test_a_bad_body_is_answered_with_its_status_and_the_session_goes_on(
    row: Row, session: Callable[..., httpx.Response]
):
    def play(verb: str, amount: int = 1) -> dict[str, Any]:
        response = session(verb, {"reset": "{}", "step": f'{{"action":{{"amount":{amount}}}}}', "state": ""}[verb])
        assert response.status_code == 200, response.text
        return response.json()

    start(row, play)
    before = standing(play)

    assert row.http is not None
    response = session(*row.http)

    assert response.status_code == STATUS[row.code]
    error = response.json()
    assert error.pop("detail") == error.get("errors", error["message"])
    check_error(error, row)
    check_the_session_goes_on(row, before, play)


@pytest.fixture
def session(shared: Callable[[Any], Server], http: httpx.Client):
    """A function that asks something of an HTTP session of one's own."""
    base = shared(Moody).url + "/sessions"
    path = f"{base}/{http.post(base).json()['session_id']}"

    def ask(verb: str, body: str) -> httpx.Response:
        return http.get(f"{path}/state") if verb == "state" else http.post(f"{path}/{verb}", content=body)

    yield ask
    assert http.delete(path).status_code == 204


def start(row: Row, play: Callable[..., dict[str, Any]]) -> None:
    """Bring the episode to where the row begins."""
    if row.before is not None:
        play("reset")
        for amount in row.before:
            play("step", amount)


def standing(play: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Return the state, but for the clock."""
    state = play("state")
    state.pop("elapsed_time")
    return state


def check_error(error: dict[str, Any], row: Row) -> None:
    """Check that it is the row's error, says something, and nothing of the server's inside."""
    assert error["code"] == row.code
    assert error["message"]
    assert ("errors" in error) == (row.code == "VALIDATION_ERROR")
    for fault in error.get("errors", ()):
        assert fault.keys() == {"loc", "msg", "type"}
    assert ("error_id" in error) == (row.code == "EXECUTION_ERROR")
    assert "Traceback" not in str(error)
    assert ".py" not in str(error)


def check_the_session_goes_on(row: Row, before: dict[str, Any], play: Callable[..., dict[str, Any]]) -> None:
    """Check that only what the row says was executed, and that the next request works."""
    after = standing(play)
    if row.executed == "step":
        assert (after["step_count"], after["total"]) == (before["step_count"] + 1, before["total"] + 1)
    elif row.executed == "reset":
        assert (after["step_count"], after["total"]) == (0, 0)
    else:
        assert after == ({**before, "episode_id": None} if row.lost else before)
    if row.lost or row.before in (FRESH, ENDED):
        assert play("reset")["observation"]["total"] == 0
        assert play("step", 2)["observation"]["total"] == 2
    else:
        assert play("step", 2)["observation"]["total"] == after["total"] + 2
