"""A vector client that reads no more of its observations than a trainer sees, and knows the few actions there are.

Of an ordinary answer one call of msgspec reads the fields that were chosen and skips the others; any other answer
is read as ever. An action out of a few is encoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from openenv.client.base import EnvClient
from openenv.client.vector import VectorEnvClient
from openenv.errors import RequestError
from openenv.models import Outcome
from openenv.outcomes import ORDINARY
from openenv.protocol.batches import BatchCodec, Result
from openenv.protocol.formats import Format

_NOTHING: Mapping[str, Any] = {}


class Told(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What an ordinary answer has beside the observation, in the form of a `StepResult`."""

    reward: bool | int | float | None
    done: bool

    truncated = False
    info = metadata = _NOTHING

    @property
    def terminated(self) -> bool:
        """Whether the episode has ended by the rules of the task."""
        return self.done

    @property
    def outcome(self) -> Outcome:
        """How it came out."""
        return ORDINARY[self.done, False, self.reward is not None]


class NarrowCodec(BatchCodec):
    """A codec that can be told which fields are wanted; until then it reads all.

    Attributes:
        action: Makes the action of an element, if elements are what is sent.
    """

    action: Callable[[Any], Any] | None = None
    _frame: Callable[[bytes], Any] | None = None

    def read_only(self, names: Sequence[str]) -> None:
        """Read only these fields, which are numbers and lists of them."""
        if self._parse is not None:  # the client has a way of its own, which is to be asked
            return
        observation = msgspec.defstruct("Seen", [(name, Any) for name in names], gc=False)
        told = msgspec.defstruct(
            "Seen",
            [("observation", observation)],
            bases=(Told,),
            forbid_unknown_fields=True,
            gc=False,
            kw_only=True,
        )
        item = msgspec.defstruct("Item", [("session", str), ("data", told)], gc=False)
        frame = msgspec.defstruct("Frame", [("items", list[item]), ("last", bool)], gc=False)  # type: ignore[valid-type]
        self._frame = msgspec.json.Decoder(frame).decode

    def know(self, action: Callable[[Any], Any], elements: Sequence[Any]) -> None:
        """Take elements of the action space instead of actions; those that are given here are few.

        Args:
            action: Makes the action of an element.
            elements: The few; may be none.
        """
        self.action = action
        self._few: dict[Any, bytes | RequestError] = dict.fromkeys(elements, b"")

    def pack_steps(self, actions: Sequence[Any], form: Format) -> Sequence[bytes | RequestError]:
        """See `BatchCodec.pack_steps`."""
        if self.action is None:
            return super().pack_steps(actions, form)
        if not self._few:
            return super().pack_steps([self.action(element) for element in actions], form)
        return [self._few.get(element) or self._packed(element, form) for element in actions]

    def _packed(self, element: Any, form: Format) -> bytes | RequestError:
        assert self.action is not None
        [packed] = super().pack_steps([self.action(element)], form)
        if element in self._few and not isinstance(packed, RequestError):
            self._few[element] = packed
        return packed

    def _read_plain(self, raw: bytes) -> tuple[list[tuple[str, Result]], bool] | None:
        if self._frame is None:
            return super()._read_plain(raw)
        try:
            frame = self._frame(raw)
        except msgspec.MsgspecError:  # there is more to it, or it is wrong
            return None
        return [(item.session, item.data) for item in frame.items], frame.last


class NarrowVector(VectorEnvClient[Any, Any, Any]):
    """A `VectorEnvClient` with such a codec; see `NarrowCodec`."""

    codec: NarrowCodec

    def _codec_of(self, single: EnvClient[Any, Any, Any]) -> NarrowCodec:
        self.codec = NarrowCodec(
            single._codec,
            payload=None if single._typed_payload else single._step_payload,
            parse=None if single._typed_result else single._parse_result,
        )
        return self.codec
