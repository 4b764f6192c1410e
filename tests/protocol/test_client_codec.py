"""What a client sends for an action, and what it makes of a reply."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import strategies
from tests.toys import Add, Count, Tally

from openenv import errors
from openenv.errors import InvalidReplyError, InvalidRequestError, RequestError, SerializationError
from openenv.models import Action, Observation, State, StepResult
from openenv.protocol import client_codec, codec, encoding


class Paint(Action):
    blob: bytes = b""
    pixels: np.ndarray | None = None
    note: Any = None


class Picture(Observation):
    blob: bytes
    pixels: np.ndarray | None = None
    note: Any = None


ADD = client_codec.ClientCodec(Add, Count, Tally)
PAINT = client_codec.ClientCodec(Paint, Picture, State)
DICTS = client_codec.ClientCodec(dict[str, Any], dict[str, Any], dict[str, Any])
UNTYPED = client_codec.ClientCodec(None, Observation, State)


def test_empty_metadata_is_left_out_for_servers_that_do_not_know_it():
    assert json.loads(ADD.payload_json(Add(amount=2))) == {"amount": 2, "trouble": ""}
    assert json.loads(ADD.payload_json(Add(metadata={"x": 1})))["metadata"] == {"x": 1}


@pytest.mark.parametrize("client", [ADD, DICTS, UNTYPED], ids=["typed", "dictionaries", "untyped"])
def test_an_action_may_be_a_model_or_any_mapping(client):
    for action in (Add(amount=2), {"amount": 2, "trouble": ""}, [("amount", 2), ("trouble", "")]):
        assert client.payload(action) == json.loads(client.payload_json(action)) == {"amount": 2, "trouble": ""}


@pytest.mark.parametrize("action", [5, None, "text", 1j, [1]], ids=repr)
def test_what_is_no_action_is_refused_before_anything_is_sent(action):
    with pytest.raises(InvalidRequestError, match="An action is a model or a dictionary, not"):
        ADD.payload_json(action)


def test_an_action_that_cannot_be_sent_says_why():
    with pytest.raises(SerializationError, match=r"holds NaN or infinity at metadata\.x"):
        ADD.payload_json(Add(metadata={"x": float("nan")}))
    with pytest.raises(SerializationError, match="The action holds NaN"):
        DICTS.payload_json({"x": float("nan")})


def test_the_payload_hook_gets_values_and_not_their_wire_form():
    action = Paint(pixels=np.arange(3), note={"b": b"\xff", "look": {"__bytes__": 1}})
    payload = PAINT.payload(action)
    assert isinstance(payload["pixels"], np.ndarray)
    assert payload["note"] == {"b": b"\xff", "look": {"__bytes__": 1}}
    sent = codec.values.dumps(payload)
    received = codec.ServerCodec(Paint, Picture).decode(encoding.frame("step", sent)).data
    assert received == action


def test_the_result_hook_may_pass_on_what_it_got():
    picture = Picture(blob=b"\xff", pixels=np.arange(3), note=[b"\x00"], reward=1.5, done=True)
    sent = encoding.frame(
        "observation", encoding.encode_result(StepResult(picture, 1.5, True, info={"b": b"\xff"}))
    )
    payload = client_codec.reply_data(sent)
    assert payload["observation"]["note"] == [b"\x00"]
    assert isinstance(payload["observation"]["pixels"], np.ndarray)
    assert PAINT.parse_result(payload) == PAINT.result(sent)
    assert PAINT.parse_result(payload).observation == picture


def test_the_state_hook_may_pass_on_what_it_got():
    state = Tally(episode_id="e", step_count=2, total=5, more=[b"\xff"])
    sent = encoding.frame("state", encoding.encode_state(state))
    assert ADD.parse_state(client_codec.reply_data(sent)) == ADD.state(sent) == state


def test_reward_and_done_are_in_the_result_and_in_the_typed_observation():
    reply = b'{"type":"observation","data":{"observation":{"total":1,"metadata":{"k":1}},"reward":2,"done":true}}'
    result = ADD.result(reply)
    assert (result.reward, result.done, result.metadata) == (2, True, {"k": 1})
    assert result.observation == Count(total=1, reward=2, done=True, metadata={"k": 1})
    assert result.observation.model_fields_set >= {"reward", "done"}
    untyped = DICTS.result(reply)
    assert (untyped.observation, untyped.reward) == ({"total": 1, "metadata": {"k": 1}}, 2)
    assert untyped.metadata == {"k": 1}


@pytest.mark.parametrize(
    "extra",
    ['"metadata":null', '"metadata":{"k":1}', '"info":{"warnings":["x"]}', '"truncated":true', '"new_in_2030":[1]'],
)
def test_replies_of_older_and_newer_servers_are_understood(extra):
    reply = f'{{"type":"observation","data":{{"observation":{{"total":1}},"reward":null,"done":false,{extra}}}}}'
    assert ADD.result(reply.encode()).observation.total == 1
    assert ADD.parse_result(client_codec.reply_data(reply.encode())) == ADD.result(reply.encode())


BAD_REPLIES = [
    b"",
    b"not json",
    b"5",
    b"[]",
    b"{}",
    b'{"type":"nope","data":{}}',
    b'{"type":"state","data":{}}',
    b'{"type":"observation"}',
    b'{"type":"observation","data":5}',
    b'{"type":"observation","data":{}}',
    b'{"type":"observation","data":{"observation":{"total":"many"}}}',
    b'{"type":"observation","data":{"observation":{"unknown":1,"total":1}}}',
    b'{"type":"observation","data":{"observation":{"total":1},"reward":NaN}}',
    b'{"type":"observation","data":{"observation":{"total":1},"done":"maybe"}}',
    b"\xff",
]


@pytest.mark.parametrize("reply", BAD_REPLIES, ids=repr)
def test_a_reply_that_does_not_fit_says_so_and_where(reply):
    with pytest.raises(InvalidReplyError) as wrong:
        ADD.result(reply)
    assert wrong.value.code == "INVALID_REPLY"
    assert "same version" in wrong.value.message or "no message" in wrong.value.message


def test_a_reply_that_does_not_fit_names_the_field():
    with pytest.raises(
        InvalidReplyError, match=r"observation\.data\.observation\.total: Input should be a valid int"
    ):
        ADD.result(b'{"type":"observation","data":{"observation":{"total":"many"}}}')


@pytest.mark.parametrize("code", RequestError.by_code)
def test_an_error_reply_is_raised_as_the_class_of_its_code(code):
    reply = encoding.frame("error", encoding.encode_error(RequestError("what happened", code=code, error_id="e")))
    for read in (ADD.result, ADD.state, DICTS.result, client_codec.reply_data):
        with pytest.raises(RequestError.by_code[code]) as raised:
            read(reply)
        assert (raised.value.message, raised.value.code, raised.value.error_id) == ("what happened", code, "e")


@pytest.mark.parametrize(
    "data", ["{}", '{"message":"m"}', '{"code":"NEW","extra":1}', '{"active_sessions":2,"code":"CAPACITY_REACHED"}']
)
def test_an_error_of_an_older_or_newer_server_is_an_error(data):
    for read in (ADD.result, client_codec.reply_data):
        with pytest.raises(RequestError):
            read(f'{{"type":"error","data":{data}}}'.encode())


def test_an_error_with_data_of_another_form_is_an_error_all_the_same():
    for data in ("null", "5", '"text"', "[]"):
        with pytest.raises(RequestError):
            ADD.result(f'{{"type":"error","data":{data}}}'.encode())
        with pytest.raises(RequestError):
            client_codec.reply_data(f'{{"type":"error","data":{data}}}'.encode())


@given(st.binary(max_size=40) | strategies.json_values.map(lambda value: json.dumps(value).encode()))
def test_random_replies_raise_nothing_but_what_is_documented(reply):
    for read in (ADD.result, ADD.state, DICTS.result, client_codec.reply_data):
        try:
            read(reply)
        except errors.RequestError:
            continue
        assert json.loads(reply)["type"]
