"""`openenv mcp`: an environment as an MCP server over standard input and output, for agents on a desktop.

Whatever the environment and its children print must not get between the messages. So before any of its code runs
the two streams are taken away: what was standard output is known to the wire alone, and descriptor 1 is standard
error.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from openenv import settings
from openenv.cli.arguments import keyed
from openenv.cli.target import load, locate
from openenv.errors import RequestError

if TYPE_CHECKING:
    from openenv.server.app import HTTPEnvServer

BLOCK = 1 << 16
CLOSE_S = 2.0
"""Seconds in which environments may close. Clients kill a server that takes about 4 s to end."""

LAST_ANSWERS_S = 1.0
"""Seconds in which what is under way when the input ends may still be answered."""


@click.command()
@click.argument("target", default=".")
@click.option(
    "--reset",
    "resets",
    multiple=True,
    metavar="KEY=VALUE",
    help="An argument of the resets that begin episodes, such as seed=3; VALUE is JSON, or else text.",
)
@click.option(
    "--mode",
    type=click.Choice(["simulation", "production"]),
    help="What the agent sees: in production neither rewards nor the state.  [default: simulation]",
)
@click.option("--unsupervised", is_flag=True, hidden=True, help="This is the process that is watched over.")
def mcp(target: str, resets: tuple[str, ...], mode: str | None, unsupervised: bool) -> None:
    """Serve an environment to an MCP client over stdin and stdout.

    TARGET is an environment's folder (by default this one), the name of an installed environment package, or
    module:app, where app may also be an Environment class.

    A tool call is a step. An episode begins with the first call, and after its end with the next one.

    Claude Desktop (claude_desktop_config.json), Cursor (.cursor/mcp.json) and others start it themselves:

    \b
    {
      "mcpServers": {
        "my_env": {
          "command": "openenv",
          "args": ["mcp", "/path/to/my_env", "--reset", "seed=3"]
        }
      }
    }

    What the environment prints is on standard error. The end of the input, SIGTERM and Ctrl+C end everything.
    """
    arguments = keyed(resets, "--reset")
    if os.name == "posix" and not unsupervised:
        options = [word for text in resets for word in ("--reset", text)] + (["--mode", mode] if mode else [])
        sys.exit(_supervised(["--unsupervised", *options, "--", target]))
    with _taken_streams() as (wire_in, wire_out):
        if mode is not None:
            os.environ["OPENENV_MODE"] = mode  # an app reads it when it is made
        if settings.egress_denied():
            from openenv.containment import deny_egress

            deny_egress()
        app, server = _load(target, mode)
        asyncio.run(_Stdio(app, server, wire_in, wire_out, arguments).serve())


def _supervised(arguments: list[str]) -> int:
    """Run the same again in a process that ends with all it has started, even if this one is killed."""
    from openenv.providers.supervised import SupervisedProcess

    def ask_to_end(*_: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):  # what starts us may have ignored the last
        signal.signal(number, ask_to_end)
    process = SupervisedProcess(
        [sys.executable, "-m", "openenv", "mcp", *arguments],
        env=settings.inherited_environment(),
        stdin=0,
        stdout=1,
        stderr=2,
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.stop(LAST_ANSWERS_S + CLOSE_S)
        return process.wait()


@contextlib.contextmanager
def _taken_streams() -> Iterator[tuple[int, int]]:
    """Yield descriptors of what was standard input and output; neither is reached by anybody else meanwhile."""
    sys.stdout.flush()
    ours = os.dup(0), os.dup(1)  # children do not inherit them
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    try:
        yield ours
    finally:
        sys.stdout.flush()
        for standard, descriptor in enumerate(ours):
            os.dup2(descriptor, standard)
            os.close(descriptor)


def _load(target: str, mode: str | None) -> tuple[Any, HTTPEnvServer]:
    found = locate(target)
    app, _ = load(found)

    from openenv.server.serving import served

    server = served(app)
    if server is None:
        raise click.ClickException(
            f"{found.import_string} was not made by openenv.server.create_app, so nobody knows its environment."
        )
    if mode is not None and server.mode != mode:
        raise click.ClickException(f"{found.import_string} says itself that its mode is {server.mode}.")
    return app, server


class _Stdio:
    """The wire of one client: a thread reads, a thread writes, and the event loop does the rest.

    Threads, for the streams may be pipes, sockets, terminals or files, and a client that does not read its answers
    must not stop the environment.
    """

    def __init__(self, app: Any, server: HTTPEnvServer, wire_in: int, wire_out: int, reset: dict[str, Any]) -> None:
        self._app = app
        self._server = server
        self._wire_in = wire_in
        self._wire_out = wire_out
        self._reset = reset
        self._limit = settings.max_message_size()
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._under_way = 0
        self._heard_all = False
        self._over = asyncio.Event()
        self._ended: RequestError | None = None

    async def serve(self) -> None:
        """Serve the client until it goes or somebody ends this."""
        self._loop = asyncio.get_running_loop()
        writer = threading.Thread(target=self._write, name="mcp-write", daemon=True)
        writer.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._over.set)
        async with self._running():
            self._open()
            threading.Thread(target=self._read, name="mcp-read", daemon=True).start()
            await self._over.wait()
            self._peer.listen(None)
            self._peer.session.end()
        self._outbox.put(None)
        await asyncio.to_thread(writer.join, LAST_ANSWERS_S)
        if self._ended is not None:
            raise click.ClickException(f"The session has ended: {self._ended.message}")

    @contextlib.asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        """Have the application started and, at the end, every environment closed."""
        lifespan = contextlib.AsyncExitStack()
        router = getattr(self._app, "router", None)
        try:
            if router is not None:
                await lifespan.enter_async_context(router.lifespan_context(self._app))
            yield
        finally:
            latest = self._loop.time() + CLOSE_S
            for close in (lifespan.aclose, self._server.close):  # the application may not close its environments
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(latest):
                        await close()

    def _open(self) -> None:
        from openenv.server.mcp import Peer
        from openenv.server.mcp.rpc import written

        def ended(reason: RequestError) -> None:
            if not self._over.is_set():
                self._ended = reason
                self._over.set()

        manager = self._server.manager
        self._peer = Peer(manager, manager.open(on_end=ended), again=True, reset=self._reset)
        self._peer.listen(lambda told: self._outbox.put(written(told) + b"\n"))

    # --- what comes ----------------------------------------------------------------------------------------------

    def _read(self) -> None:
        for line in _lines(self._wire_in, self._limit):
            self._tell_loop(self._received, line)
        self._tell_loop(self._no_more)

    def _tell_loop(self, function: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(function, *arguments)

    def _received(self, line: bytes | None) -> None:
        from openenv.server.connection import too_large
        from openenv.server.mcp.rpc import RpcError, read, refusal

        if line is None:
            error = RpcError.of(too_large(self._limit + 1, self._limit, "message"))
            self._send(refusal(None, error), None)
            return
        try:
            message = read(line)
        except RpcError as error:
            self._send(refusal(None, error), None)
            return
        for one in message if isinstance(message, list) and message else [message]:
            self._ask(one)

    def _ask(self, message: Any) -> None:
        wanted = isinstance(message, dict) and "id" in message and "method" in message
        self._under_way += wanted

        def send(answer: dict[str, Any]) -> None:
            self._under_way -= wanted
            self._send(answer, message)
            if self._heard_all and not self._under_way:
                self._over.set()

        self._peer.received(message, send)

    def _no_more(self) -> None:
        """The client has gone, or has said all it wanted to: what is under way may be answered."""
        self._heard_all = True
        self._loop.call_later(LAST_ANSWERS_S if self._under_way else 0, self._over.set)

    # --- what goes -----------------------------------------------------------------------------------------------

    def _send(self, answer: dict[str, Any], asked: Any) -> None:
        from openenv.server.connection import too_large
        from openenv.server.mcp.rpc import RpcError, number_of, refusal, written

        raw = written(answer)
        if len(raw) > self._limit:
            raw = written(refusal(number_of(asked), RpcError.of(too_large(len(raw), self._limit, "answer"))))
        self._outbox.put(raw + b"\n")

    def _write(self) -> None:
        while (raw := self._outbox.get()) is not None:
            left = memoryview(raw)
            try:
                while left:
                    left = left[os.write(self._wire_out, left) :]
            except OSError:  # nobody reads any more
                self._tell_loop(self._over.set)
                return


def _lines(descriptor: int, limit: int) -> Iterator[bytes | None]:
    """Yield the lines that come, without blank ones; None for one that is too long."""
    held, too_long = bytearray(), False
    with contextlib.suppress(OSError):  # a terminal that has gone
        while block := os.read(descriptor, BLOCK):
            *ends, rest = block.split(b"\n")
            for end in ends:
                held += end
                if too_long or len(held) > limit:
                    yield None
                elif held.strip():
                    yield bytes(held)
                held, too_long = bytearray(), False
            held += rest
            if len(held) > limit:
                held, too_long = bytearray(), True
    if held.strip():
        yield bytes(held)
