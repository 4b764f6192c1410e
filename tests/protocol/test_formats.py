"""What a client makes of frames that no server of ours sends."""

import msgspec
import pytest
from tests.toys import Add, Count, Tally

from openenv.errors import InvalidReplyError
from openenv.protocol.batches import BatchCodec
from openenv.protocol.client_codec import ClientCodec
from openenv.protocol.formats import JSON, MSGPACK, unpack

CLIENT = ClientCodec(Add, Count, Tally)


def array(dtype: str, shape: list[int]) -> msgspec.msgpack.Ext:
    """Return the extension that stands for an array of one zero byte."""
    return msgspec.msgpack.Ext(1, msgspec.msgpack.encode((dtype, shape, b"\x00")))


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [("|b9", [1]), (",", [1]), ("|O", [1]), ("", [1]), ("|u1", [2]), ("|u1", [2**63]), ("|u1", [-1])],
)
def test_an_array_that_is_none_is_no_message(dtype, shape):
    raw = msgspec.msgpack.encode({"id": 1, "type": "observation", "data": array(dtype, shape)})
    with pytest.raises(ValueError):
        unpack(raw)
    with pytest.raises(InvalidReplyError):
        MSGPACK.read(raw)


@pytest.mark.parametrize(
    "data",
    [b'{"__ndarray__":"AA==","dtype":",","shape":[1]}', b"[" * 300 + b"]" * 300],
)
def test_data_without_meaning_is_an_invalid_reply_when_it_is_looked_at(data):
    with pytest.raises(InvalidReplyError):
        _ = JSON.read(b'{"id":1,"type":"observation","session":"s","seq":1,"data":%s}' % data).data


@pytest.mark.parametrize("reward", [0, 7, -(2**60) - 1, 2**70, True, 0.5, None])
def test_a_reward_in_a_batch_is_what_was_sent(reward):
    told = encoded(reward)
    raw = b'{"id":1,"type":"observations","items":[{"session":"s","seq":1,"data":%s}],"last":true}' % told
    ((_, result),), _ = BatchCodec(CLIENT).read(JSON.read(raw).raw)
    single = CLIENT.result(b'{"id":1,"type":"observation","session":"s","seq":1,"data":%s}' % told)
    assert (result.reward, type(result.reward)) == (single.reward, type(single.reward)) == (reward, type(reward))


def encoded(reward: object) -> bytes:
    return JSON.encode({"observation": {"total": 1}, "reward": reward, "done": False})
