"""What is asked of an environment that tells its state: to tell it, to go on from another, to take a new seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from openenv.environment.adapter import Adapter
from openenv.environment.keeping import StateKeeper, packed
from openenv.server.host import Answer, StateCall
from openenv.server.inquiries import Inquiry


class GetState(StateCall):
    """Tell the whole state; the answer's data is that."""

    __slots__ = ()
    verb: ClassVar[str] = "get_state"

    def bind(self, adapter: Adapter) -> Callable[[], Any]:
        """See `StateCall.bind`."""
        return StateKeeper(adapter.environment).get

    def finish(self, returned: Any) -> Answer:
        """See `StateCall.finish`."""
        return Answer("kept", packed(returned))

    def to_message(self) -> dict[str, Any]:
        """Return it as a worker is told."""
        return {"verb": self.verb}


class SetState(StateCall):
    """Go on from a state that was told before."""

    __slots__ = ("kept",)
    verb: ClassVar[str] = "set_state"

    def __init__(self, kept: bytes) -> None:
        self.kept = kept

    def bind(self, adapter: Adapter) -> Callable[[], Any]:
        """See `StateCall.bind`."""
        keeper = StateKeeper(adapter.environment)
        return lambda: keeper.set(self.kept)

    def finish(self, returned: Any) -> Answer:
        """See `StateCall.finish`."""
        return Answer("set", b"")

    def to_message(self) -> dict[str, Any]:
        """Return it as a worker is told."""
        return {"verb": self.verb, "kept": self.kept}


class Reseed(StateCall):
    """Go on with other random numbers."""

    __slots__ = ("seed",)
    verb: ClassVar[str] = "reseed"

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def bind(self, adapter: Adapter) -> Callable[[], Any]:
        """See `StateCall.bind`."""
        keeper = StateKeeper(adapter.environment)
        return lambda: keeper.reseed(self.seed)

    def finish(self, returned: Any) -> Answer:
        """See `StateCall.finish`."""
        return Answer("reseeded", b"")

    def to_message(self) -> dict[str, Any]:
        """Return it as a worker is told."""
        return {"verb": self.verb, "seed": self.seed}


Told = GetState | SetState | Reseed | Inquiry

VERBS = frozenset((GetState.verb, SetState.verb, Reseed.verb, Inquiry.verb))


def told(message: dict[str, Any]) -> Told:
    """Return what a worker was told to do."""
    match message["verb"]:
        case SetState.verb:
            return SetState(message["kept"])
        case Reseed.verb:
            return Reseed(message["seed"])
        case Inquiry.verb:
            return Inquiry(message["what"], message["arguments"])
        case _:
            return GetState()
