"""What must hold of every decoder, whatever it is fed: a typed error or a value, and a connection that goes on.

`test_targets` gives each target a second, `python -m tests.fuzz` minutes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from hypothesis import given, seed, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.fuzz.frames import (
    CLIENT,
    FORMATS,
    SERVER,
    SERVER_V2,
    SESSION,
    Deed,
    batches_v2,
    deeds,
    herds,
    mutated,
    numbers,
    replies_v1,
    replies_v2,
    requests_v1,
    requests_v2,
    results,
    standings,
)
from tests.fuzz.frames import errors as error_data
from tests.fuzz.worlds import ClientWorld, ServerWorld
from tests.models.test_round_trip import assert_same

from openenv.errors import InvalidReplyError, InvalidRequestError, RequestError
from openenv.protocol import client_codec
from openenv.protocol.batches import BatchCodec
from openenv.protocol.codec_v2 import batch_of, readable
from openenv.protocol.envelopes import StepMany
from openenv.protocol.formats import JSON, MSGPACK, Format, unpack
from openenv.protocol.messages import WSStepMessage
from openenv.server.worker.messages import Frames, packed

BATCHES = BatchCodec(CLIENT)


@dataclass(frozen=True)
class Target:
    """One thing that must hold.

    Attributes:
        holds: Raises if it does not.
        fed: What it is fed with.
    """

    holds: Callable[..., None]
    fed: dict[str, st.SearchStrategy[Any]]

    @property
    def name(self) -> str:
        return self.holds.__name__

    def run(self, how: settings, number: int | None = None) -> None:
        """Feed it; a number decides with what."""
        test = given(**self.fed)(self.holds)
        how(test if number is None else seed(number)(test))()


TARGETS: list[Target] = []


@contextmanager
def fed_with(raw: Any) -> Iterator[None]:
    """Tell what it was, if it fails."""
    try:
        yield
    except Exception as error:
        error.add_note(f"fed with {raw!r}")
        raise


def target(**fed: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a target."""

    def add(holds: Callable[..., None]) -> Callable[..., None]:
        TARGETS.append(Target(holds, fed))
        return holds

    return add


def both(frames: Callable[[Format], st.SearchStrategy[bytes]]) -> st.SearchStrategy[tuple[Format, list[bytes]]]:
    """A format, and frames in it that are right or were right once."""
    return FORMATS.flatmap(lambda form: st.tuples(st.just(form), herds(frames(form))))


# --- the server's decoders ------------------------------------------------------------------------------


@target(herd=herds(requests_v1()))
def server_decodes_version_1(herd: list[bytes]) -> None:
    for raw in herd:
        with fed_with(raw):
            try:
                SERVER.decode(raw)
            except InvalidRequestError as error:
                JSON.pack_error(error)


@target(fed=both(requests_v2))
def server_decodes_version_2(fed: tuple[Format, list[bytes]]) -> None:
    for raw in fed[1]:
        with fed_with(raw):
            _server_decodes(fed[0], raw)


def _server_decodes(form: Format, raw: bytes) -> None:
    try:
        slowly = SERVER_V2.decode(raw, form)
    except (ValidationError, InvalidRequestError):
        slowly = None
        batch = batch_of(readable(raw, form))
        for item in batch[2] if batch is not None else ():
            _decodes_item(batch[1] if batch is not None else "", item, form)
    if form is JSON:
        quickly = SERVER_V2.plain_steps(raw)
        if quickly is not None and slowly is not None:
            frame, given = quickly
            assert frame.id == slowly.id
            many = isinstance(frame, StepMany)
            quick = zip(frame.items, given, strict=True) if many else [(frame, given)]
            for (item, action), slow in zip(quick, slowly.items if many else [slowly], strict=True):
                assert (item.session, item.seq) == (slow.session, slow.seq)
                assert_same(action, slow.data)


def _decodes_item(kind: str, item: Any, form: Format) -> None:
    try:
        SERVER_V2.item(kind, item, form)
    except (ValidationError, InvalidRequestError):
        return


@target(frames=st.lists(mutated(requests_v1()), min_size=1, max_size=4))
def server_goes_on_after_any_frames_of_version_1(frames: list[bytes]) -> None:
    with ServerWorld() as world:
        world.feed_version_1(frames)


@target(form=FORMATS, data=st.data())
def server_goes_on_after_any_frames_of_version_2(form: Format, data: st.DataObject) -> None:
    frames = data.draw(st.lists(mutated(requests_v2(form)), min_size=1, max_size=4))
    with ServerWorld() as world:
        world.feed_version_2(form, frames)


# --- the client's decoders ------------------------------------------------------------------------------


@target(herd=herds(replies_v1()))
def client_decodes_version_1(herd: list[bytes]) -> None:
    for raw in herd:
        with fed_with(raw):
            _reads_or_refuses(raw)


def _reads_or_refuses(raw: bytes | dict[str, Any]) -> None:
    for read in (CLIENT.result, CLIENT.state, client_codec.reply_data):
        try:
            read(raw)
        except RequestError as error:
            _is_an_error(error)


@target(fed=both(replies_v2))
def client_decodes_version_2(fed: tuple[Format, list[bytes]]) -> None:
    for raw in fed[1]:
        with fed_with(raw):
            _client_decodes(fed[0], raw)


def _client_decodes(form: Format, raw: bytes) -> None:
    try:
        incoming = form.read(raw)
        whole = incoming.data
    except InvalidReplyError:
        return
    assert isinstance(whole, dict)
    _reads_or_refuses(incoming.raw)
    one = BATCHES.read_one(incoming.raw)
    assert isinstance(one, RequestError) or one.observation is not None
    _is_an_error(RequestError.from_wire(whole.get("data")))


@target(fed=both(batches_v2))
def client_decodes_batches(fed: tuple[Format, list[bytes]]) -> None:
    for raw in fed[1]:
        with fed_with(raw):
            _client_decodes_batch(fed[0], raw)


def _client_decodes_batch(form: Format, raw: bytes) -> None:
    try:
        incoming = form.read(raw)
        answers, _last = BATCHES.read(incoming.raw)
    except InvalidReplyError:
        return
    for _session, result in answers:
        if isinstance(result, RequestError):
            _is_an_error(result)
        else:
            assert result.observation is not None


@target(form=FORMATS, data=st.data())
def client_goes_on_after_any_frames(form: Format, data: st.DataObject) -> None:
    frames = data.draw(st.lists(mutated(replies_v2(form)), max_size=4))
    with ClientWorld(form) as world:
        world.feed(frames)


def _is_an_error(error: RequestError) -> None:
    """An error that came over the wire can be shown, judged, and sent on."""
    assert str(error)
    assert error.outcome is not None
    assert JSON.pack_error(error)
    assert MSGPACK.pack_error(error)


# --- between server and worker --------------------------------------------------------------------------


@target(messages=st.lists(st.dictionaries(st.text(max_size=4), st.integers(0, 9)), max_size=4), data=st.data())
def messages_of_workers_are_cut_at_any_byte(messages: list[dict[str, Any]], data: st.DataObject) -> None:
    raw, got, frames = b"".join(map(packed, messages)), [], Frames()
    while raw:
        size = data.draw(st.integers(1, len(raw)))
        got += frames.feed(raw[:size])
        raw = raw[size:]
    assert got == messages


@target(herd=herds(requests_v2(MSGPACK)))
def messagepack_is_read_or_refused(herd: list[bytes]) -> None:
    for raw in herd:
        with fed_with(raw), suppress(ValueError):
            unpack(raw)


# --- there and back -------------------------------------------------------------------------------------


@target(deed=deeds)
def actions_arrive_as_they_were_sent(deed: Deed) -> None:
    message = SERVER.decode(b'{"type":"step","data":%s}' % CLIENT.payload_json(deed))
    assert isinstance(message, WSStepMessage)
    assert_same(message.data, deed)
    for form in (JSON, MSGPACK):
        try:
            raw = form.request(7, "step", SESSION, 3, CLIENT.pack_action(deed, form))
        except RequestError:  # an integer of more than 64 bits has no form in MessagePack
            assert form is MSGPACK
            continue
        frame = SERVER_V2.decode(raw, form)
        assert (frame.id, frame.session, frame.seq) == (7, SESSION, 3)
        assert_same(frame.data, deed)
        [packed_deed] = BATCHES.pack_steps([deed], form)
        assert isinstance(packed_deed, bytes)
        batch = SERVER_V2.decode(form.batch(8, "step_many", [(SESSION, 4, packed_deed)]), form)
        assert_same(batch.items[0].data, deed)


@target(result=results(), number=numbers, seq=numbers)
def results_arrive_as_they_were_sent(result: Any, number: int, seq: int) -> None:
    for form in (JSON, MSGPACK):
        try:
            data = form.pack_result(result)
        except RequestError:
            assert form is MSGPACK
            continue
        incoming = form.read(form.answer(number, "observation", SESSION, seq, data))
        assert (incoming.id, incoming.kind) == (number, "observation")
        _same_result(CLIENT.result(incoming.raw), result)
        items = form.items(number, [form.item(SESSION, seq, "data", data)] * 2, True)
        answers, last = BATCHES.read(form.read(items).raw)
        assert last
        for session, answer in answers:
            assert session == SESSION
            _same_result(answer, result)


def _same_result(got: Any, sent: Any) -> None:
    sent.observation.reward, sent.observation.done = sent.reward, sent.done
    assert (got.reward, got.done) == (sent.reward, sent.done)
    assert_same(got.observation, sent.observation)


@target(state=standings)
def states_arrive_as_they_were_sent(state: Any) -> None:
    for form in (JSON, MSGPACK):
        try:
            raw = form.answer(1, "state", SESSION, 0, form.pack_state(state))
        except RequestError:
            assert form is MSGPACK
            continue
        assert_same(CLIENT.state(form.read(raw).raw), state)


@target(data=error_data)
def errors_arrive_as_they_were_sent(data: dict[str, Any]) -> None:
    error = RequestError.from_wire(data)
    for form in (JSON, MSGPACK):
        raw = form.answer(1, "error", SESSION, 1, form.pack_error(error))
        again = RequestError.from_wire(form.read(raw).data["data"])
        assert type(again) is type(error)
        assert again.to_wire() == error.to_wire()
