"""The line to a keeper: requests with numbers, answers matched by them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from openenv.errors import WorkspaceLostError
from openenv.execution.inside.frames import Frame, FrameError, Reader, pack

__all__ = ["Link"]

OnOutput = Callable[[str, bytes], object]
OnCall = Callable[[int, dict[str, Any]], object]


@dataclass
class _Request:
    answer: asyncio.Future[Frame]
    on_output: OnOutput | None = None
    on_call: OnCall | None = field(default=None)


class Link(asyncio.Protocol):
    """Speaks with one keeper over whatever transport it is reached by.

    Attributes:
        ended: Done once the connection is.
    """

    def __init__(self) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reader = Reader()
        self._requests: dict[int, _Request] = {}
        self._numbers = itertools.count(1)
        self._transport: asyncio.WriteTransport | None = None

    async def ask(
        self,
        what: str,
        body: bytes = b"",
        *,
        on_output: OnOutput | None = None,
        on_call: OnCall | None = None,
        **fields: Any,
    ) -> Frame:
        """Send a request and return its answer; if the caller is cancelled, what it has started is ended.

        Raises:
            WorkspaceLostError: The keeper is gone, or says that it cannot.
        """
        number = next(self._numbers)
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._requests[number] = _Request(answer, on_output, on_call)
        try:
            self.tell(what, body, id=number, **fields)
            header, body = await answer
        except asyncio.CancelledError:
            if not self.ended.done():
                self.tell("kill", call=number)
            raise
        finally:
            self._requests.pop(number, None)
        if header["event"] == "failed":
            raise WorkspaceLostError(f"The workspace could not do it: {header['message']}. Reset the environment")
        return header, body

    def tell(self, what: str, body: bytes = b"", **fields: Any) -> None:
        """Send something that is not answered.

        Raises:
            WorkspaceLostError: The keeper is gone.
        """
        if self._transport is None or self.ended.done():
            raise WorkspaceLostError(
                "The workspace has ended: it was closed, or its keeper was killed. Open a new one"
            )
        self._transport.write(pack({"do": what, **fields}, body))

    def close(self) -> None:
        """Close the connection; the keeper then ends everything."""
        if self._transport is not None:
            self._transport.close()

    # --- as a protocol of asyncio ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is none by name

    def data_received(self, data: bytes) -> None:
        """Hand on what the keeper says."""
        try:
            for header, body in self._reader.feed(data):
                request = self._requests.get(header.get("id", 0))
                if request is not None:
                    _hand_on(request, header, body)
        except FrameError:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits that there will be no answer."""
        if not self.ended.done():
            self.ended.set_result(None)
        for request in self._requests.values():
            if not request.answer.done():
                lost = WorkspaceLostError("The keeper of the workspace has ended. Reset the environment")
                request.answer.set_exception(lost)


def _hand_on(request: _Request, header: dict[str, Any], body: bytes) -> None:
    event = header["event"]
    if event == "output":
        if request.on_output is not None:
            request.on_output("stdout" if header["stream"] == 1 else "stderr", body)
    elif event == "call":
        if request.on_call is not None:
            request.on_call(header["id"], header)
    elif not request.answer.done():
        request.answer.set_result((header, body))
