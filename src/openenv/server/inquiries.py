"""What is asked of an environment beside its three verbs: its tools and prompts, and what people are shown.

The environment may be in a process of its own, so what it answers is plain JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from openenv.environment.adapter import Adapter
from openenv.server.host import Answer, StateCall
from openenv.values import dumps


class Inquiry(StateCall):
    """Ask an environment for something that it may have or not.

    Args:
        what: `tools`, `prompts`, `prompt` or `view`; see `Adapter.inquire`.
        arguments: Of `prompt`: its `name` and `arguments`.
    """

    __slots__ = ("arguments", "what")
    verb: ClassVar[str] = "inquire"

    def __init__(self, what: str, arguments: dict[str, Any] | None = None) -> None:
        self.what = what
        self.arguments = arguments or {}

    def bind(self, adapter: Adapter) -> Callable[[], Any]:
        """See `StateCall.bind`."""
        return lambda: adapter.inquire(self.what, self.arguments)

    def finish(self, returned: Any) -> Answer:
        """See `StateCall.finish`."""
        return Answer("told", dumps(_plain(returned)))

    def to_message(self) -> dict[str, Any]:
        """Return it as a worker is told."""
        return {"verb": self.verb, "what": self.what, "arguments": self.arguments}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else value
