"""The wire to an MCP server that is a command: its standard input and output, a message a line.

The SDK could start the process too. Here it is a `SupervisedProcess`, so that it ends with all it started, whatever
way this program ends; and a line is read once however long it is, and skipped if it is no message.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import Callable
from types import TracebackType

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import INVALID_PARAMS, ErrorData, JSONRPCError, JSONRPCRequest, jsonrpc_message_adapter

from openenv.environment import unforkable
from openenv.mcp.foreign.address import ServerAddress
from openenv.providers.redaction import redact
from openenv.providers.supervised import SupervisedProcess

__all__ = ["LONGEST_MESSAGE", "ChildTransport"]

logger = logging.getLogger("openenv.mcp")

LONGEST_MESSAGE = 128 * 1024 * 1024
"""Bytes of one message. A server that goes on without an end of line would fill the memory."""

GRACE_S = 2.0
"""Seconds a server has to end by itself when its input ends, and again when it is asked to (SIGTERM)."""

LOG_LINES = 20

Incoming = MemoryObjectReceiveStream[SessionMessage | Exception]
ToUs = MemoryObjectSendStream[SessionMessage | Exception]
Outgoing = MemoryObjectSendStream[SessionMessage]
FromUs = MemoryObjectReceiveStream[SessionMessage]

_BEGINNING = re.compile(rb'\{\s*"(?:jsonrpc|id|method|result|error|params)"\s*:')


class ChildTransport:
    """One process of a server and the streams to it, as the SDK's client takes them. Used once, with `async with`.

    Attributes:
        died: Whether that was so before it was left.
        noise: How many lines it wrote that are no messages.

    Args:
        address: The command.
        on_end: Called when nothing more comes from it.

    Raises:
        ConfigurationError: The working folder is not there.
        ProviderStartError: No process could be made. A command that can not be run shows up as its end.
    """

    def __init__(self, address: ServerAddress, on_end: Callable[[], None]) -> None:
        self.died = False
        self.noise = 0
        self._on_end = on_end
        self._ended = asyncio.Event()
        self._address = address
        self._reason = ""
        self._held = contextlib.ExitStack()
        self._process: SupervisedProcess | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> tuple[Incoming, Outgoing]:
        self._held.enter_context(unforkable.holding("the process of an MCP server"))
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        to_us, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        outgoing, from_us = anyio.create_memory_object_stream[SessionMessage](0)
        for stream in (to_us, incoming, outgoing, from_us):
            self._held.callback(stream.close)
        self._ours = (incoming, outgoing)
        self._tasks = [
            asyncio.create_task(self._read(to_us), name="mcp-read"),
            asyncio.create_task(self._write(from_us, to_us), name="mcp-write"),
        ]
        return incoming, outgoing

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.died = self.ended
        for stream in self._ours:  # what it still says is read and forgotten, so that it need not wait to say it
            stream.close()
        await self._stop()

    @property
    def ended(self) -> bool:
        """Whether nothing more comes from it, whatever the reason."""
        return self._ended.is_set()

    def farewell(self) -> str:
        """Return how it ended and what it said last, to follow `The MCP server ...`; secrets are hidden."""
        code = self._process.exit_code() if self._process is not None else None
        how = self._reason or (f"ended with exit code {code}" if code is not None else "closed its output")
        return f"{how}{self.last_words()}"

    def last_words(self) -> str:
        """Return the end of its log as the end of an error message; empty if it wrote none."""
        log = self._process.log.tail(LOG_LINES) if self._process is not None else ""
        noise = f"\nIt wrote {self.noise} lines to its standard output that are no messages." if self.noise else ""
        shown = redact(log, dict(self._address.env))
        return noise + (f"\n--- last lines of its log ---\n{shown}" if shown else "")

    # --- the process -------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        spawning = asyncio.ensure_future(asyncio.to_thread(self._spawn))
        try:
            stdin, stdout = await asyncio.shield(spawning)
        except asyncio.CancelledError:
            await asyncio.wait({spawning})  # a few milliseconds; it can not be left alone with its descriptors
            if not spawning.cancelled() and spawning.exception() is None:
                for descriptor in spawning.result():
                    os.close(descriptor)
            raise
        loop = asyncio.get_running_loop()
        self._lines = asyncio.StreamReader(limit=LONGEST_MESSAGE)
        self._output, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._lines), os.fdopen(stdout, "rb", buffering=0)
        )
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(stdin, "wb", buffering=0)
        )
        self._input = asyncio.StreamWriter(transport, protocol, None, loop)
        self._held.callback(self._output.close)
        self._held.callback(transport.close)

    def _spawn(self) -> tuple[int, int]:
        """Start the process; return our ends of its standard input and output."""
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        try:
            self._process = SupervisedProcess(
                self._address.command,
                env=self._address.environment(),
                cwd=self._address.cwd,
                stdin=theirs_in,
                stdout=theirs_out,
            )
        except BaseException:
            os.close(ours_in)
            os.close(ours_out)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        return ours_in, ours_out

    async def _stop(self) -> None:
        """End it as the protocol says: its input ends, then it is asked to, then it is killed."""
        process = self._process
        try:
            if self._tasks and not self.ended:
                self._input.close()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GRACE_S):
                        await self._ended.wait()
            if process is not None:
                await asyncio.to_thread(process.stop, GRACE_S)
        finally:
            for task in self._tasks:
                task.cancel()
            self._held.close()

    # --- the messages ------------------------------------------------------------------------------------------

    async def _read(self, to_us: ToUs) -> None:
        try:
            while line := await self._line():
                if message := self._message(line):
                    with contextlib.suppress(anyio.BrokenResourceError):  # nobody listens any more
                        await to_us.send(message)
        finally:
            self._ended.set()
            to_us.close()
            self._on_end()

    async def _line(self) -> bytes:
        """Return the next line, empty at the end."""
        try:
            return await self._lines.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            return end.partial
        except asyncio.LimitOverrunError:
            self._reason = f"sent a message of more than {LONGEST_MESSAGE >> 20} MiB"
            return b""

    def _message(self, line: bytes) -> SessionMessage | None:
        """Return the message in a line, which may have something before it that was printed without an end."""
        begins = _BEGINNING.search(line)
        for start in {0, begins.start() if begins else 0}:
            with contextlib.suppress(ValueError):
                return SessionMessage(jsonrpc_message_adapter.validate_json(line[start:], by_name=False))
        if line.strip():
            self.noise += 1
            logger.debug("%s wrote what is no message: %.200r", self._address.name, line)
        return None

    async def _write(self, from_us: FromUs, to_us: ToUs) -> None:
        async for sent in from_us:
            try:
                line = sent.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
            except ValueError as error:  # half of a surrogate pair, for example
                if isinstance(sent.message, JSONRPCRequest):
                    await to_us.send(_refused(sent.message, error))
                continue
            try:
                self._input.write(line)
                await self._input.drain()
            except OSError:  # it is gone, as the end of its output tells too
                return


def _refused(request: JSONRPCRequest, error: ValueError) -> SessionMessage:
    data = ErrorData(code=INVALID_PARAMS, message=f"The arguments have no JSON form: {error}")
    return SessionMessage(JSONRPCError(jsonrpc="2.0", id=request.id, error=data))
