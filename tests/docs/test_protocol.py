"""`docs/protocol.md` says what is so: its conversations are held, its tables are compared with the code."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from jsonschema import Draft202012Validator
from tests.docs.environments import Counter
from tests.docs.transcripts import Player, transcripts
from tests.servers import BOUND_S, Host
from tests.wire.conftest import CARRIERS
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from openenv import values
from openenv.protocol import describe
from openenv.protocol.codes import WSErrorCode
from openenv.protocol.formats import MSGPACK
from openenv.protocol.messages import SessionListing
from openenv.server.app import create_app
from openenv.server.routes.http import STATUS

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
TEXT = PAGE.read_text(encoding="utf-8")

OVER_HTTP_NEVER = {
    *("SEQUENCE_ERROR", "CANCELLED", "UNSUPPORTED_VERSION"),
    *("SNAPSHOT_UNSUPPORTED", "SNAPSHOT_NOT_FOUND", "SNAPSHOT_LIMIT"),
}


def section(title: str) -> str:
    """Return the text under a heading, with what is under headings below it."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,2}} |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert found, f"there is no section {title!r}"
    mark, text = found[1], TEXT[found.start(2) :]
    end = re.search(rf"^#{{1,{len(mark)}}} ", text, re.MULTILINE)
    return text[: end.start()] if end else text


def rows(text: str, *heads: str) -> Iterator[list[str]]:
    """Yield the cells of the rows of all tables with these heads."""
    wanted, lines = False, iter(text.splitlines())
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if cells[: len(heads)] == list(heads):
            wanted = True
            next(lines)
        elif wanted and cells:
            yield cells
        else:
            wanted = False


UNASKED = {(2, describe.SERVER, "ended")}
"""Frames that are hard to provoke, and so have no example."""


def test_every_conversation_comes_true_and_every_frame_fits_its_schema(host: Host):
    with Player(host) as player:
        for transcript in transcripts(PAGE):
            player.play(transcript)
    schemas = {
        (frame.version, frame.sender, frame.name): Draft202012Validator(describe.frame_schema(frame))
        for frame in describe.frames()
    }
    said = [((version, sender, frame.get("type")), frame) for version, sender, frame in player.said]
    fitting = {kind for kind, frame in said if kind in schemas and schemas[kind].is_valid(frame)}
    assert fitting == schemas.keys() - UNASKED, "every frame has an example"
    answers = [(kind, frame) for kind, frame in said if kind[1] == describe.SERVER]
    assert not [error.message for kind, frame in answers for error in schemas[kind].iter_errors(frame)]


# --- frames ------------------------------------------------------------------------------------------


def frame_tables(text: str) -> dict[str, dict[str, str]]:
    """Return the fields of each frame, or part of one, with their types as the page says."""
    found: dict[str, dict[str, str]] = {}
    name = ""
    for first, field, type_, *_ in rows(text, "frame", "field", "type"):
        name = first or name
        fields = found.setdefault(name, {})
        if field:
            fields[field.strip("`")] = type_
    return found


def spelled(schema: dict[str, Any]) -> str:
    """Return the type of a field as the page spells it."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return "text" if name in ("Cause", "Status") else name
    if "anyOf" in schema:
        *others, last = [spelled(one) for one in schema["anyOf"]]
        return f"{', '.join(others)} or {last}"
    match schema.get("type"):
        case "array":
            one = spelled(schema["items"])
            return f"list of {one}s" if one == "object" else f"list of {one}"
        case "string":
            return "text"
        case other:
            return str(other)


def fields_of(schema: dict[str, Any]) -> dict[str, str]:
    """Return the fields of a schema as the page spells them."""
    always = schema.get("required", ())
    fields = {
        name: spelled(field) + ("" if name in always else ", optional")
        for name, field in schema["properties"].items()
        if name not in ("id", "type")
    }
    if schema.get("additionalProperties") is True:
        fields["any other"] = ""
    return fields


@pytest.mark.parametrize("version", [1, 2])
def test_the_tables_of_frames_are_those_of_the_schemas(version: int):
    told = frame_tables(section(f"Frames of version {version}"))
    arrows = {describe.CLIENT: "→", describe.SERVER: "←"}
    frames = {f"{arrows[f.sender]} {f.name}": f for f in describe.frames() if f.version == version}
    assert {name for name in told if name[0] in "→←"} == frames.keys()
    for name, frame in frames.items():
        assert told[name] == fields_of(describe.frame_schema(frame)), name


def test_the_tables_of_parts_are_those_of_the_schemas():
    told = {name: fields for name, fields in frame_tables(TEXT).items() if name[0] not in "→←"}
    parts: dict[str, dict[str, Any]] = {}
    for frame in describe.frames():
        parts |= describe.frame_schema(frame).get("$defs", {})
    parts = {name: schema for name, schema in parts.items() if "properties" in schema}
    assert told.keys() == parts.keys()
    for name, schema in parts.items():
        assert told[name] == fields_of(schema), name


# --- the other tables --------------------------------------------------------------------------------


def test_every_error_code_is_told_with_its_http_status():
    told = {code: status for code, _, _, _, status in rows(section("Errors"), "code", "means")}
    assert told.keys() == set(WSErrorCode)
    for code, status in told.items():
        assert status == ("" if code in OVER_HTTP_NEVER else str(STATUS.get(code, 500))), code


def test_every_route_is_told():
    document = create_app(Counter).openapi()
    served = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert {route.strip("`") for route, *_ in rows(section("HTTP"), "route", "does")} == served


def test_the_list_of_sessions_is_told():
    text = section("The list of sessions")
    told = {name.strip("`"): type_ for name, type_, _ in rows(text, "a session's", "type")}
    schema = SessionListing.model_json_schema()
    assert told == {name: spelled(field) for name, field in schema["properties"].items()}
    [example] = json.loads(re.findall(r"```json\n(.*?)```", text, re.DOTALL)[0])
    SessionListing.model_validate(example, strict=True)
    assert example.keys() == told.keys()


def test_the_tags_are_those_of_the_codec():
    examples = re.findall(r"```json\n(.*?)```", section("Values that JSON lacks"), re.DOTALL)[0].splitlines()
    plain, array, dictionary = (values.loads(line) for line in examples)
    assert plain == b"\0\1\2"
    assert (array == numpy.array([[1, 2], [3, 4]], "u1")).all()
    assert dictionary == {"__bytes__": "a dictionary that only looks like a tag"}


def test_the_bytes_of_an_array_in_messagepack():
    shown = re.search(r"```text\n([0-9a-f ]+)\n", section("MessagePack"))
    assert shown
    array = numpy.array([[1, 2], [3, 4]], "u1")
    assert bytes.fromhex(shown[1]) == MSGPACK.pack(array, "array")


# --- closing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("subprotocol", [None, "openenv.v2"])
@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_server_that_shuts_down_closes_with_1012(host: Host, carrier: str, subprotocol: Any):
    server = host.run(create_app(Counter), **CARRIERS[carrier])
    offered = [subprotocol] if subprotocol else None
    url = f"{server.url.replace('http', 'ws', 1)}/ws"
    with connect(url, subprotocols=offered, compression=None, proxy=None) as socket:
        socket.send('{"id":1,"type":"hello","version":2}' if subprotocol else '{"type":"reset"}')
        socket.recv(BOUND_S)
        server.stop(wait=False)
        with pytest.raises(ConnectionClosed) as closed:
            list(iter(lambda: socket.recv(BOUND_S), None))  # sessions are told why before
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
