"""The wire described for programs: a JSON Schema of every frame, and an AsyncAPI document that ties them together.

    python -m openenv.protocol.describe docs/schemas

Everything is derived from the models of `messages` and `v2`: a frame that is added there is described without an
edit here, except for the row that says what answers it. The schemas leave actions, observations and states open,
since those are the environment's own; a running server describes them at `GET /schema`.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple, TypeGuard, get_args, get_origin

import yaml
from pydantic import BaseModel

from openenv.protocol import messages, v2

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

CLIENT, SERVER = "client", "server"


class FrameType(NamedTuple):
    """A kind of frame.

    Attributes:
        version: Of the wire: 1 or 2.
        sender: `client` or `server`.
        name: The value of its `type`.
        model: What it is made of.
    """

    version: int
    sender: str
    name: str
    model: type[BaseModel]

    @property
    def path(self) -> str:
        """Where its schema is, relative to the folder of all of them."""
        return f"v{self.version}/{self.sender}/{self.name}.json"


ANSWERS: dict[int, dict[str, str | None]] = {
    1: {"reset": "observation", "step": "observation", "state": "state", "mcp": "mcp", "close": None},
    2: {
        "hello": "welcome",
        "open": "opened",
        "resume": "resumed",
        "reset": "observation",
        "step": "observation",
        "reset_many": "observations",
        "step_many": "observations",
        "state": "state",
        "mcp": "mcp",
        "close": "closed",
        "cancel": "cancelled",
        "ping": "pong",
        "snapshot": "snapshotted",
        "restore": "restored",
        "fork": "forked",
        "snapshots": "snapshots",
        "drop": "dropped",
    },
}
"""What answers a request that goes well; one that does not is answered by `error`."""

_ALWAYS_SENT = {
    "ResultData": ("observation", "reward", "done"),
    "ErrorData": ("message", "code"),
    "WSErrorResponse": ("data",),
    "Resumed": ("episode_id",),
}
"""Fields that have a default for readers' sake although no server leaves them out."""


def frames() -> list[FrameType]:
    """Return every frame of both versions: what clients send first, in the order in which they are defined."""
    return [
        *_frames_in(1, (messages,), messages.BaseMessage),
        *_frames_in(2, (v2.requests, v2.answers, v2.copies, v2.notices), v2.Frame),
    ]


def _frames_in(version: int, modules: Sequence[ModuleType], request: type[BaseModel]) -> list[FrameType]:
    found = []
    for module in modules:
        for model in vars(module).values():
            if not _is_model(model) or model.__module__ != module.__name__:
                continue
            field = model.model_fields.get("type")
            if field is not None and get_origin(field.annotation) is Literal:
                sender = CLIENT if issubclass(model, request) else SERVER
                found.append(FrameType(version, sender, get_args(field.annotation)[0], model))
    return sorted(found, key=lambda frame: frame.sender == SERVER)


def _is_model(found: Any) -> TypeGuard[type[BaseModel]]:
    return inspect.isclass(found) and issubclass(found, BaseModel)


# --- schemas -----------------------------------------------------------------------------------------


def frame_schema(frame: FrameType) -> Schema:
    """Return the JSON Schema of a frame."""
    schema = frame.model.model_json_schema()
    models = _models_within(frame.model)
    definitions = {name: _tidy(found, models.get(name)) for name, found in schema.pop("$defs", {}).items()}
    schema = _tidy(schema, frame.model)
    schema["required"] = ["type", *schema.get("required", ())]
    identity = f"urn:openenv:v{frame.version}:{frame.sender}:{frame.name}"
    head = {"$schema": DIALECT, "$id": identity}
    return {**head, **schema, **({"$defs": definitions} if definitions else {})}


def _models_within(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return all models that a model's fields are made of, by name."""
    found: dict[str, type[BaseModel]] = {}
    pending: list[Any] = [field.annotation for field in model.model_fields.values()]
    while pending:
        annotation = pending.pop()
        pending += get_args(annotation)
        if _is_model(annotation) and annotation.__name__ not in found:
            found[annotation.__name__] = annotation
            pending += [field.annotation for field in annotation.model_fields.values()]
    return found


def _tidy(schema: Schema, model: type[BaseModel] | None) -> Schema:
    """Return a model's schema as a page for readers: the field docs in it, and what is always sent required."""
    if model is None:  # an enumeration, which has no fields
        return schema
    summary, docs = _documentation(model)
    properties = {}
    for name, found in schema.get("properties", {}).items():
        properties[name] = {k: v for k, v in found.items() if k not in ("title", "default")}
        if name in docs:
            properties[name]["description"] = docs[name]
    always = (*schema.get("required", ()), *_ALWAYS_SENT.get(model.__name__, ()))
    required = [name for name in properties if name in always]
    tidy: Schema = {"title": model.__name__, "description": summary, "type": "object", "properties": properties}
    if required:
        tidy["required"] = required
    if "additionalProperties" in schema:
        tidy["additionalProperties"] = schema["additionalProperties"] is not False
    if model is v2.AnswerItem:
        tidy["oneOf"] = [{"required": ["data"]}, {"required": ["error"]}]
    return tidy


_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)


def _documentation(model: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """Return what a model's docstring says of it, and of its fields, those it inherited among them."""
    docs: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        _, _, attributes = (inspect.getdoc(cls) or "").partition("Attributes:\n")
        if issubclass(cls, BaseModel):
            docs |= {name: " ".join(text.split()) for name, text in _ATTRIBUTE.findall(attributes)}
    docs |= {name: field.description for name, field in model.model_fields.items() if field.description}
    summary = (inspect.getdoc(model) or "").partition("Attributes:\n")[0]
    return " ".join(summary.split()), docs


# --- AsyncAPI ----------------------------------------------------------------------------------------

_PROTOCOLS: dict[int, str] = {
    1: "Version 1, spoken where the client offers no subprotocol that the server knows: one session for the "
    "connection, answers in the order of the requests.",
    2: f"Version 2, asked for by the subprotocol `{v2.SUBPROTOCOL_JSON}` (JSON in text frames) or "
    f"`{v2.SUBPROTOCOL_MSGPACK}` (the same frames as MessagePack in binary frames): many sessions on a connection, "
    "answers matched by `id`. The first frame is `hello`.",
}


def asyncapi() -> Schema:
    """Return the AsyncAPI 3 description of `/ws`, from the server's side."""
    known = frames()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "OpenEnv",
            "version": str(v2.VERSION),
            "description": "How a trainer talks to an environment over a WebSocket. The reference is "
            "docs/protocol.md; this file is written by `python -m openenv.protocol.describe`.",
            "license": {"name": "BSD-3-Clause"},
        },
        "defaultContentType": "application/json",
        "servers": {"local": {"host": "127.0.0.1:8000", "protocol": "ws"}},
        "channels": {f"v{version}": _channel(version, known) for version in _PROTOCOLS},
        "operations": {_operation_name(frame): _operation(frame) for frame in known if _begins(frame)},
        "components": {"messages": {_message_name(frame): _message(frame) for frame in known}},
    }


def _begins(frame: FrameType) -> bool:
    """Return whether a frame is not the answer to another one."""
    if frame.sender == CLIENT:
        return True
    return frame.name != "error" and frame.name not in ANSWERS[frame.version].values()


def _message_name(frame: FrameType) -> str:
    return f"v{frame.version}_{frame.sender}_{frame.name}"


def _operation_name(frame: FrameType) -> str:
    return f"v{frame.version}_{frame.name}"


def _channel(version: int, known: Sequence[FrameType]) -> Schema:
    channel: Schema = {
        "address": "/ws",
        "description": _PROTOCOLS[version],
        "servers": [{"$ref": "#/servers/local"}],
        "messages": {
            _message_name(frame): {"$ref": f"#/components/messages/{_message_name(frame)}"}
            for frame in known
            if frame.version == version
        },
    }
    if version == v2.VERSION:
        subprotocols = {"type": "string", "enum": [v2.SUBPROTOCOL_JSON, v2.SUBPROTOCOL_MSGPACK]}
        headers = {
            "type": "object",
            "properties": {"Sec-WebSocket-Protocol": subprotocols},
            "required": ["Sec-WebSocket-Protocol"],
        }
        channel["bindings"] = {"ws": {"method": "GET", "headers": headers}}
    return channel


def _operation(frame: FrameType) -> Schema:
    channel = f"#/channels/v{frame.version}"
    operation: Schema = {
        "action": "receive" if frame.sender == CLIENT else "send",
        "channel": {"$ref": channel},
        "summary": _documentation(frame.model)[0],
        "messages": [{"$ref": f"{channel}/messages/{_message_name(frame)}"}],
    }
    if frame.sender == CLIENT:
        answer = ANSWERS[frame.version][frame.name]
        names = [f"v{frame.version}_{SERVER}_{name}" for name in (answer, "error") if name]
        answers = [{"$ref": f"{channel}/messages/{name}"} for name in names]
        operation["reply"] = {"channel": {"$ref": channel}, "messages": answers}
    return operation


def _message(frame: FrameType) -> Schema:
    message: Schema = {"name": frame.name, "summary": _documentation(frame.model)[0]}
    if "id" in frame.model.model_fields:
        location = {"description": "A request and its answers.", "location": "$message.payload#/id"}
        message["correlationId"] = location
    return {**message, "payload": {"$ref": frame.path}}


# --- files -------------------------------------------------------------------------------------------


def files() -> dict[str, str]:
    """Return the text of every file, by its path relative to the folder."""
    schemas = {frame.path: json.dumps(frame_schema(frame), indent=2) + "\n" for frame in frames()}
    return {**schemas, "asyncapi.yaml": yaml.safe_dump(asyncapi(), sort_keys=False, width=110)}


def stale(folder: Path) -> list[str]:
    """Return the files of a folder that are missing, not up to date, or of frames that no longer exist."""
    wanted = files()
    wrong = [name for name, text in wanted.items() if not _reads(folder / name, text)]
    return wrong + [name for name in _schemas_in(folder) if name not in wanted]


def write(folder: Path) -> int:
    """Write the files, remove schemas of frames that no longer exist, and return how many were written."""
    wanted = files()
    for name in _schemas_in(folder):
        if name not in wanted:
            (folder / name).unlink()
    for name, text in wanted.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return len(wanted)


def _reads(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _schemas_in(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.glob("v*/*/*.json")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the description into a folder, or say what of it is stale."""
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser("python -m openenv.protocol.describe", description=about)
    parser.add_argument("folder", type=Path, help="where the files go; docs/schemas in the repository")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if any is stale")
    given = parser.parse_args(arguments)
    if not given.check:
        print(f"{write(given.folder)} files in {given.folder}")
        return 0
    wrong = stale(given.folder)
    for name in wrong:
        print(f"stale: {given.folder / name}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
