"""The two encodings: the same sessions give the same results, and arrays travel as what they are."""

from typing import Any

import numpy as np
import pytest
from tests.sessions.environments import Coroutines, Do, Undeclared
from tests.sessions.wire import Remote, Wires

from openenv.client import EnvClient
from openenv.environment import Environment
from openenv.errors import RequestError
from openenv.models import Action, Observation, State
from openenv.protocol.formats import JSON, MSGPACK

VALUES = [
    None,
    True,
    -1,
    2**62,
    0.1,
    "",
    "text \N{SNOWMAN} \N{GRINNING FACE} \x00 \"'\\",
    [],
    {},
    [1, [2, [3, {"deep": [None]}]]],
    {"a": {"b": {"c": 1.5}}, "": "empty key"},
    "x" * 70_000,
    list(range(1000)),
]


@pytest.mark.parametrize("environment", [Coroutines, Undeclared])
def test_the_same_requests_give_the_same_answers(shared, wires: Wires, environment):
    def play(format_) -> list[Any]:
        wire = wires(shared(environment), format_)
        [session] = wire.open()
        answers = [error(session.begin(), session), plain(session.reset())]
        answers += [plain(session.step(anything=value)) for value in VALUES]
        answers += [error(session.send("step", {"amount": "many"}), session), error(session.begin("fail"), session)]
        return [*answers, {**session.state(), "episode_id": "", "elapsed_time": 0}]

    def error(number: int, session: Remote) -> dict[str, Any]:
        return {**session.error(number), "error_id": ""}

    def plain(seen: dict[str, Any]) -> dict[str, Any]:
        return {**seen, "pid": 0, "thread": 0}

    answers = play(JSON)
    assert answers == play(MSGPACK)
    assert [one["anything"] for one in answers[2 : 2 + len(VALUES)]] == VALUES


class Frame(Observation):
    pixels: np.ndarray
    more: Any = None


class Camera(Environment[Do, Frame, State]):
    """Gives back images, and whatever it is given."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    async def reset(self) -> Frame:
        return Frame(pixels=IMAGE)

    async def step(self, action: Do) -> Frame:
        return Frame(pixels=IMAGE, more=action.anything)

    async def state(self) -> State:
        return State()


class Cam(EnvClient[Do, Frame, State]):
    """Its client."""


IMAGE = np.random.default_rng(1).integers(0, 256, (84, 84, 4), dtype=np.uint8)


def test_an_array_travels_as_its_bytes_in_messagepack(serve, wires: Wires):
    wire = wires(serve(Camera), MSGPACK)
    [session] = wire.open()
    session.send("reset")
    raw = wire.socket.recv()
    assert IMAGE.tobytes() in raw
    assert len(raw) <= 1.1 * IMAGE.nbytes


@pytest.mark.parametrize("format_", [JSON, MSGPACK], ids=["json", "msgpack"])
@pytest.mark.parametrize(
    "value",
    [
        np.arange(6, dtype=np.int16).reshape(2, 3),
        np.zeros((0, 3), dtype=np.float32),
        np.array(5, dtype=np.uint8),
        np.array([[1 + 2j]]),
        b"\x00\xff bytes",
        {"nested": [np.ones(3), b"\x01"]},
    ],
    ids=["matrix", "empty", "scalar", "complex", "bytes", "nested"],
)
def test_arrays_and_bytes_come_back_as_they_were_sent(serve, format_, value, monkeypatch):
    monkeypatch.setattr(Cam, "_make_link", link_in(format_))
    with Cam(serve(Camera).url) as env:
        assert np.array_equal(env.reset().observation.pixels, IMAGE)
        more = env.step(Do(anything=value)).observation.more
        assert repr(more) == repr(value)


def link_in(format_) -> Any:
    """Return what makes the links of a client that speaks this encoding."""
    from openenv.client.link import websocket_url
    from openenv.client.session_link import SessionLink

    return lambda client, url: SessionLink(websocket_url(url), client._options, format_)


def test_a_value_without_a_form_on_the_wire_is_told_and_the_session_goes_on(serve, both: Wires):
    class Odd(Action):
        kind: str = ""

    class Loose(Observation):
        value: Any = None

    class Strange(Environment[Odd, Loose, State]):
        SUPPORTS_CONCURRENT_SESSIONS = True

        async def reset(self) -> Loose:
            return Loose()

        async def step(self, action: Odd) -> Loose:
            kinds = {"nan": float("nan"), "foreign": object(), "surrogate": "\ud800", "set": {object()}}
            return Loose(value=kinds.get(action.kind))

        async def state(self) -> State:
            return State()

    session = both(serve(Strange)).play()
    for kind in ("nan", "foreign", "surrogate", "set"):
        error = session.error(session.send("step", {"kind": kind}))
        assert RequestError.from_wire(error).code == "SERIALIZATION_ERROR", kind
        assert session.seen(session.send("step", {}))["value"] is None
