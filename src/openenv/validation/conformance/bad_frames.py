"""What a server must answer with an error and survive: frames that are no request.

Each row is a frame and the codes that may answer it. `{session}` in a frame stands for a session that is open.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["IN_COMMON", "V1", "V2", "V2_MSGPACK", "BadFrame"]

JSON, TYPE, VALID = "INVALID_JSON", "UNKNOWN_TYPE", "VALIDATION_ERROR"


class BadFrame(NamedTuple):
    """A frame that is no request.

    Attributes:
        frame: Text, bytes, or the fragments of one message.
        codes: Any of these is a right answer.
        id: The request id that can be read of it, or several if that depends on the parser (version 2).
    """

    frame: str | bytes | list[str]
    codes: frozenset[str]
    id: int | tuple[int, None] | None = None


def _bad(frame: str | bytes | list[str], *codes: str, id: int | tuple[int, None] | None = None) -> BadFrame:
    return BadFrame(frame, frozenset(codes), id)


IN_COMMON = {
    "a number": _bad("5", VALID),
    "null": _bad("null", VALID),
    "a list": _bad("[1,2]", VALID),
    "a text": _bad('"x"', VALID),
    "true": _bad("true", VALID),
    "not JSON": _bad("{not json", JSON),
    "nothing": _bad("", JSON),
    "half a frame": _bad('{"type":"reset"', JSON),
    "two frames in one": _bad('{"type":"state"}{"type":"state"}', JSON),
    "200 kB of brackets": _bad("[" * 200_000, JSON, VALID),
    "200 kB of braces": _bad('{"a":' * 40_000, JSON, VALID),
    "in fragments": _bad(["{", '"type"', ":"], JSON),
    "an empty object": _bad("{}", TYPE),
}

V1 = {
    **IN_COMMON,
    "a binary frame": _bad(b'{"type":"state"}', JSON),
    "an unknown type": _bad('{"type":"nope"}', TYPE),
    "a type that is a number": _bad('{"type":5}', TYPE),
    "a type that is null": _bad('{"type":null}', TYPE),
    "a type of version 2": _bad('{"id":1,"type":"ping"}', TYPE),
    "an unknown field": _bad('{"type":"state","request_id":"x"}', VALID),
    "data in a state request": _bad('{"type":"state","data":{}}', VALID),
    "a step without data": _bad('{"type":"step"}', VALID),
    "a step of null": _bad('{"type":"step","data":null}', VALID),
    "a reset of a list": _bad('{"type":"reset","data":[]}', VALID),
    "a seed that is text": _bad('{"type":"reset","data":{"seed":"abc"}}', VALID),
    "a seed below zero": _bad('{"type":"reset","data":{"seed":-1}}', VALID),
    "a seed of NaN": _bad('{"type":"reset","data":{"seed":NaN}}', VALID, JSON),
    "an mcp without data": _bad('{"type":"mcp"}', VALID),
}

V2 = {
    **IN_COMMON,
    "a binary frame": _bad(b'{"id":7,"type":"ping"}', JSON),
    "no type": _bad('{"id":7}', TYPE, id=7),
    "an unknown type": _bad('{"id":7,"type":"nope"}', TYPE, id=7),
    "no id": _bad('{"type":"ping"}', VALID),
    "an id below zero": _bad('{"id":-7,"type":"ping"}', VALID, id=-7),
    "an id that is an object": _bad('{"id":{},"type":"ping"}', VALID),
    "an unknown field": _bad('{"id":7,"type":"ping","x":1}', VALID, id=7),
    "open nothing": _bad('{"id":7,"type":"open","count":0}', VALID, id=7),
    "open more than there is": _bad('{"id":7,"type":"open","count":1000000000}', VALID, id=7),
    "a step without a session": _bad('{"id":7,"type":"step","seq":1,"data":{}}', VALID, id=7),
    "a session that is a number": _bad('{"id":7,"type":"state","session":5}', VALID, id=7),
    "number 0": _bad('{"id":7,"type":"reset","session":"{session}","seq":0}', VALID, id=7),
    "a number that is text": _bad('{"id":7,"type":"reset","session":"{session}","seq":"x"}', VALID, id=7),
    "a seed of NaN": _bad(
        '{"id":7,"type":"reset","session":"{session}","seq":99,"data":{"seed":NaN}}', VALID, JSON, id=(7, None)
    ),
    "an empty batch": _bad('{"id":7,"type":"step_many","items":[]}', VALID, id=7),
    "a batch that is no list": _bad('{"id":7,"type":"step_many","items":5}', VALID, id=7),
    "items in a frame of no batch": _bad(
        '{"id":7,"type":"nope","items":[{"session":"{session}","seq":2,"data":{}}]}', TYPE, id=7
    ),
    "a batch with an unknown field": _bad(
        '{"id":7,"type":"reset_many","items":[{"session":"{session}","seq":2}],"x":1}', VALID, id=7
    ),
    "a cancel without a target": _bad('{"id":7,"type":"cancel"}', VALID, id=7),
    "a resume without a token": _bad('{"id":7,"type":"resume","session":"{session}"}', VALID, id=7),
}

V2_MSGPACK = {
    "a text frame": _bad('{"id":7,"type":"ping"}', JSON),
    "nothing": _bad(b"", JSON),
    "a byte that means nothing": _bad(b"\xc1", JSON),
    "half a frame": _bad(b"\x82\xa2id\x07\xa4type", JSON),
    "a number": _bad(b"\x05", VALID),
    "a list": _bad(b"\x92\x01\x02", VALID),
    "100 kB of brackets": _bad(b"\x91" * 100_000, JSON, VALID),
    "an unknown type": _bad(b"\x82\xa2id\x07\xa4type\xa4nope", TYPE, id=7),
    "an unknown extension": _bad(b"\x83\xa2id\x07\xa4type\xa4ping\xa1x\xd4\x63\x00", JSON, VALID),
    "an array that is none": _bad(b"\x83\xa2id\x07\xa4type\xa4ping\xa1x\xd4\x01\x05", JSON, VALID),
}
