"""`docs/schemas` is what the models say, and what its own formats allow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from openenv.protocol import describe, v2

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"

FRAMES = describe.frames()


def test_the_committed_files_are_up_to_date():
    stale = describe.stale(FOLDER)
    assert not stale, "run: python -m openenv.protocol.describe docs/schemas"


def test_every_frame_of_version_2_is_described():
    models = [getattr(v2, name) for name in v2.__all__]
    typed = {model for model in models if "type" in getattr(model, "model_fields", ())}
    assert typed == {frame.model for frame in FRAMES if frame.version == 2}


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame.path)
def test_a_schema_is_one_and_says_what_every_field_is(frame: describe.FrameType):
    schema = describe.frame_schema(frame)
    Draft202012Validator.check_schema(schema)
    assert schema["description"]
    assert schema["properties"]["type"]["const"] == frame.name
    assert "type" in schema["required"]
    for name, part in schema.get("$defs", {}).items():
        assert part["description"], name
    if frame.version == 2:
        for name, field in schema["properties"].items():
            assert name in ("id", "type") or field.get("description"), name


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("v1/client/step.json", {"type": "step"}),
        ("v1/client/state.json", {"type": "state", "data": {}}),
        ("v2/client/step.json", {"id": 1, "type": "step", "session": "x", "seq": 0, "data": {}}),
        ("v2/client/step.json", {"id": 1, "type": "step", "session": "x", "seq": 1, "data": {}, "more": 1}),
        ("v2/client/open.json", {"id": 1, "type": "open", "count": 0}),
        ("v2/client/hello.json", {"id": 1, "version": 2}),
        ("v2/server/observation.json", {"id": 1, "type": "observation", "session": "x", "seq": 1, "data": {}}),
        ("v2/server/error.json", {"type": "error", "data": {"message": "x", "code": "Y"}}),
        (
            "v2/server/observations.json",
            {"id": 1, "type": "observations", "items": [{"session": "x", "seq": 1}], "last": True},
        ),
    ],
)
def test_what_is_wrong_does_not_fit(path: str, wrong: dict[str, Any]):
    (frame,) = (frame for frame in FRAMES if frame.path == path)
    assert not Draft202012Validator(describe.frame_schema(frame)).is_valid(wrong)


# --- AsyncAPI ----------------------------------------------------------------------------------------


def references(node: Any) -> Iterator[str]:
    """Yield every `$ref` in a document."""
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else ())
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def test_every_reference_of_the_asyncapi_document_leads_somewhere():
    document = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text(encoding="utf-8"))
    for reference in references(document):
        file, _, pointer = reference.partition("#")
        if file:
            assert (FOLDER / file).is_file(), reference
            continue
        found = document
        for part in pointer.strip("/").split("/"):
            assert part in found, reference
            found = found[part]


def test_every_frame_is_a_message_and_is_asked_or_answers():
    document = describe.asyncapi()
    messages = {ref for ref in references(document["channels"]) if "/messages/" in ref}
    assert len(messages) == len(FRAMES) == len(document["components"]["messages"])
    used = {ref.rpartition("/")[2] for ref in references(document["operations"]) if "/messages/" in ref}
    assert used == document["components"]["messages"].keys()


def test_every_request_has_a_row_that_says_what_answers_it():
    for version in (1, 2):
        requests = {f.name for f in FRAMES if f.version == version and f.sender == describe.CLIENT}
        answers = {f.name for f in FRAMES if f.version == version and f.sender == describe.SERVER}
        assert requests == describe.ANSWERS[version].keys()
        assert set(filter(None, describe.ANSWERS[version].values())) <= answers


# --- the command -------------------------------------------------------------------------------------


def test_the_command_writes_what_is_missing_and_removes_what_is_no_more(tmp_path: Path, capsys):
    assert describe.main([str(tmp_path), "--check"]) == 1
    assert "stale:" in capsys.readouterr().out
    assert describe.main([str(tmp_path)]) == 0
    assert describe.main([str(tmp_path), "--check"]) == 0
    gone = tmp_path / "v2" / "client" / "teleport.json"
    gone.write_text("{}")
    changed = tmp_path / "v1" / "client" / "step.json"
    changed.write_text("{}")
    assert sorted(describe.stale(tmp_path)) == ["v1/client/step.json", "v2/client/teleport.json"]
    describe.main([str(tmp_path)])
    assert not gone.exists()
    assert describe.stale(tmp_path) == []
