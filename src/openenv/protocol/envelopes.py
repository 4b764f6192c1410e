"""What is around the data of the commonest frames of version 2 in JSON, read without reading the data.

msgspec reads a frame's few fields and leaves the data as text, which is then validated once, by the pydantic type
it is of. A frame that has more, or less, or is wrong is refused here, and understood or explained by the codecs
that know all frames.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

Id = Annotated[int, msgspec.Meta(ge=0)]
Seq = Annotated[int, msgspec.Meta(ge=1)]


class Answer(msgspec.Struct, gc=False):
    """Any frame of a server.

    Attributes:
        kind: Its type.
        id: Of the request it answers; None for a notice.
        data: Its data as text, empty if it has none.
    """

    kind: str = msgspec.field(name="type")
    id: int | None = None
    data: msgspec.Raw = msgspec.Raw(b"")


class Result(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The data of an ordinary answer to a reset or step: nothing but these three."""

    observation: msgspec.Raw
    reward: bool | int | float | None
    done: bool


class Step(msgspec.Struct, tag_field="type", tag="step", forbid_unknown_fields=True, gc=False):
    """A request to take a step, without a limit of its own.

    Attributes:
        data: The action as text.
    """

    id: Id
    session: str
    seq: Seq
    data: msgspec.Raw


class StepItem(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One step of several."""

    session: str
    seq: Seq
    data: msgspec.Raw


class StepMany(msgspec.Struct, tag_field="type", tag="step_many", forbid_unknown_fields=True, gc=False):
    """A request to take a step in each of several sessions."""

    id: Id
    items: list[StepItem]


class ResultItem(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The ordinary answer to one step of several."""

    session: str
    seq: int
    data: Result


class Results(msgspec.Struct, gc=False):
    """Ordinary answers to steps of several sessions."""

    items: list[ResultItem]
    last: bool


answer = msgspec.json.Decoder(Answer).decode
result = msgspec.json.Decoder(Result).decode
results = msgspec.json.Decoder(Results).decode
steps = msgspec.json.Decoder(Step | StepMany).decode
