"""A folder, an interpreter and shells in which what an agent wrote is run, for one episode.

All of it is held by the backend it was opened by. Everything is asked of the workspace's keeper, a process between
this one and the programs, so nothing that a program does can hold up or fool this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import json
import os
import re
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from openenv.containment.layers import Layers
from openenv.environment import unforkable
from openenv.errors import WorkspaceLostError
from openenv.execution.inside.frames import Frame
from openenv.execution.limits import Limits
from openenv.execution.link import Link, OnOutput
from openenv.execution.results import CodeError, Execution, signal_name

__all__ = ["Workspace"]

Function = Callable[..., Any]
_ERRNO = re.compile(r"\[Errno (\d+)\] (.*)")
END_S = 10.0
MOST_CALLS = 64
"""Calls of the host's functions that are under way at one time: code can ask without waiting for answers."""


class Workspace:
    """Where one episode's programs run; a backend's `open` makes it.

    ```python
    async with await WarmFork().open() as workspace:
        await workspace.python("x = 6")
        print((await workspace.python("print(x * 7)")).stdout)
    ```

    Calls of the same interpreter, or of the same shell, wait for one another. If the caller of one is cancelled,
    what it has started is ended.

    Attributes:
        folder: The work folder, where programs begin, as they see it.
        layers: What holds them.
        limits: What they may use.

    Args:
        link: The line to its keeper.
        layers: What holds the programs.
        limits: What they may use.
        gone: Waits for the end of what was started for it, and removes what a keeper that was killed has left.
    """

    def __init__(
        self, link: Link, layers: Layers, limits: Limits, gone: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        self.folder = ""
        self.layers = layers
        self.limits = limits
        self._link = link
        self._gone = gone
        self._turns: dict[str, asyncio.Lock] = {}
        self._held = contextlib.ExitStack()

    async def begin(self, configuration: dict[str, Any]) -> None:
        """Have the keeper make the folder; backends call it."""
        self._held.enter_context(unforkable.holding("a workspace for an agent's programs"))
        header, _ = await self._link.ask("begin", **configuration)
        self.folder = header["folder"]

    # --- running ---------------------------------------------------------------------------------

    async def python(
        self,
        code: str,
        *,
        timeout_s: float | None = None,
        functions: Mapping[str, Function] | None = None,
        on_output: OnOutput | None = None,
    ) -> Execution:
        """Run a piece of Python in the interpreter of this workspace, whose variables stay.

        What runs out of time is interrupted first, so the variables survive unless it ignores that.

        Args:
            code: The source.
            timeout_s: Seconds it may take; None for that of the limits.
            functions: Functions of this process that the code can call by these names, sync or async. Arguments and
                results are plain JSON values; the time they take counts, and when it is over they are cancelled.
            on_output: Told the beginning of the output as it comes: `stdout` or `stderr`, and bytes.

        Raises:
            WorkspaceLostError: The workspace has ended. What the code does never raises.
        """
        known = dict(functions or {})
        under_way: set[asyncio.Task[None]] = set()

        def called(number: int, header: dict[str, Any]) -> None:
            function = known.get(header["name"]) if len(under_way) < MOST_CALLS else _too_many
            task = asyncio.ensure_future(self._answer(number, function, header))
            under_way.add(task)
            task.add_done_callback(under_way.discard)

        async with self._turn("python"):
            try:
                frame = await self._link.ask(
                    "python",
                    code.encode("utf-8", "surrogatepass"),
                    functions=list(known),
                    on_call=called,
                    **self._asked(timeout_s, on_output),
                )
            finally:
                for task in under_way:  # nobody waits for them any more
                    task.cancel()
        return _execution(frame)

    async def run(
        self,
        command: str | Sequence[str],
        *,
        timeout_s: float | None = None,
        stdin: bytes | str = b"",
        env: Mapping[str, str] | None = None,
        folder: str = "",
        on_output: OnOutput | None = None,
    ) -> Execution:
        """Run a program to its end; nothing that it started goes on afterwards.

        Args:
            command: The program and its arguments, or a line for `/bin/sh`.
            timeout_s: Seconds it may take; None for that of the limits.
            stdin: Its standard input.
            env: Environment variables besides the usual ones.
            folder: Where it begins, relative to the work folder.
            on_output: As for `python`.

        Raises:
            WorkspaceLostError: The workspace has ended.
        """
        line = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        data = stdin.encode() if isinstance(stdin, str) else stdin
        frame = await self._link.ask(
            "run", data, command=line, env=dict(env or {}), folder=folder, **self._asked(timeout_s, on_output)
        )
        return _execution(frame)

    async def shell(
        self,
        command: str,
        *,
        name: str = "main",
        timeout_s: float | None = None,
        size: tuple[int, int] = (24, 80),
        on_output: OnOutput | None = None,
    ) -> Execution:
        """Run a command line in a shell that stays: bash, in a terminal of its own.

        Its folder, variables and background programs are there for the next command. What runs out of time is
        interrupted first, as by Ctrl-C.

        Args:
            command: The line, or several.
            name: Which shell; it is started when it is first named.
            timeout_s: Seconds it may take; None for that of the limits.
            size: Rows and columns of a new shell's terminal.
            on_output: As for `python`.

        Raises:
            WorkspaceLostError: The workspace has ended.
        """
        async with self._turn(f"shell {name}"):
            frame = await self._link.ask(
                "shell",
                command.replace("\0", "\ufffd").encode("utf-8", "replace"),
                shell=name,
                size=list(size),
                **self._asked(timeout_s, on_output),
            )
        return _execution(frame)

    async def send_keys(self, text: str, *, name: str = "main") -> None:
        r"""Type into a shell's terminal, for the program that runs there.

        Args:
            text: What is typed; `\x03` is Ctrl-C, `\x04` the end of the input.
            name: Which shell.

        Raises:
            OSError: There is no such shell, or its terminal takes no more.
            WorkspaceLostError: The workspace has ended.
        """
        header, _ = await self._link.ask("type", text.encode("utf-8", "replace"), shell=name)
        if "refused" in header:
            raise OSError(header["refused"])

    # --- files -----------------------------------------------------------------------------------

    async def read(self, path: str, *, most_bytes: int = 16 * 1024 * 1024) -> bytes:
        """Return what is in a file, as a program here would see it.

        Args:
            path: Relative to the work folder.
            most_bytes: How large it may be.

        Raises:
            OSError: It cannot be read, or is larger.
            WorkspaceLostError: The workspace has ended.
        """
        return await self._file("read", path, most_bytes=most_bytes)

    async def write(self, path: str, data: bytes | str) -> None:
        """Write a file, and the folders it is in.

        Raises:
            OSError: It cannot be written.
            WorkspaceLostError: The workspace has ended.
        """
        await self._file("write", path, data.encode() if isinstance(data, str) else data)

    async def remove(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it.

        Raises:
            OSError: It cannot be removed.
            WorkspaceLostError: The workspace has ended.
        """
        await self._file("remove", path)

    async def names(self, path: str = ".") -> list[str]:
        """Return the names in a folder, sorted; those of folders end with a slash.

        Raises:
            OSError: It cannot be read.
            WorkspaceLostError: The workspace has ended.
        """
        found: list[str] = json.loads(await self._file("list", path))
        return found

    async def put(self, source: str | os.PathLike[str], path: str = ".") -> None:
        """Copy a folder of this machine into one of the workspace.

        Raises:
            OSError: It cannot be read or written.
            WorkspaceLostError: The workspace has ended.
        """
        await self._file("unpack", path, await asyncio.to_thread(_packed, source))

    async def pack(self, path: str = ".", *, most_bytes: int = 256 * 1024 * 1024) -> bytes:
        """Return a folder as a tar archive.

        Raises:
            OSError: It cannot be read, or is larger.
            WorkspaceLostError: The workspace has ended.
        """
        return await self._file("pack", path, most_bytes=most_bytes)

    async def unpack(self, archive: bytes, path: str = ".") -> None:
        """Put what `pack` returned into a folder.

        Raises:
            OSError: It cannot be written.
            WorkspaceLostError: The workspace has ended.
        """
        await self._file("unpack", path, archive)

    # --- the whole -------------------------------------------------------------------------------

    async def stop(self) -> None:
        """End everything that runs; the files stay. Calls that are under way raise WorkspaceLostError.

        Raises:
            WorkspaceLostError: The workspace has ended.
        """
        await self._link.ask("stop")

    async def reset(self) -> None:
        """End everything that runs, empty the folder, forget all variables."""
        header, _ = await self._link.ask("reset")
        self.folder = header["folder"]

    async def close(self) -> None:
        """End everything, remove the folder, and wait until it is done. May be called more than once."""
        self._held.close()
        if not self._link.ended.done():
            with contextlib.suppress(WorkspaceLostError):
                self._link.tell("end")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_S):
                    await asyncio.shield(self._link.ended)
            self._link.close()
        if self._gone is not None:
            await self._gone()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- how it is asked -------------------------------------------------------------------------

    def _asked(self, timeout_s: float | None, on_output: OnOutput | None) -> dict[str, Any]:
        seconds = self.limits.timeout_s if timeout_s is None else timeout_s
        return {
            "timeout_s": seconds,
            "output_bytes": self.limits.output_bytes,
            "streams": on_output is not None,
            "on_output": on_output,
        }

    @contextlib.asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        async with self._turns.setdefault(name, asyncio.Lock()):
            yield

    async def _answer(self, number: int, function: Function | None, header: dict[str, Any]) -> None:
        try:
            if function is None:
                raise LookupError(f"there is no function {header['name']!r}")
            result = function(*header["args"], **header["kwargs"])
            told = {"result": await result if inspect.isawaitable(result) else result}
            self._link.tell("answer", call=number, number=header["number"], **told)
        except Exception as error:  # the code that called is told
            with contextlib.suppress(Exception):
                told = {"error": f"{type(error).__name__}: {error}"}
                self._link.tell("answer", call=number, number=header["number"], **told)

    async def _file(self, action: str, path: str, data: bytes = b"", most_bytes: int = 1 << 24) -> bytes:
        header, body = await self._link.ask(
            "file", data, action=action, path=path, timeout_s=60.0, output_bytes=2 * most_bytes
        )
        out = header["out"]
        if header["exit"] != 0:
            found = _ERRNO.search(body[out:].decode("utf-8", "replace"))
            raise (
                OSError(int(found[1]), found[2])
                if found
                else OSError(body[out:].decode("utf-8", "replace").strip())
            )
        if out > most_bytes:
            raise OSError(f"{path} has more than {most_bytes:,} bytes")
        return body[:out]


def _too_many(*_: Any, **__: Any) -> None:
    raise RuntimeError(f"{MOST_CALLS} calls are under way already; wait for their answers")


def _execution(frame: Frame) -> Execution:
    header, body = frame
    out = header["out"]
    number = header.get("signal")
    error = header.get("error")
    return Execution(
        stdout=body[:out].decode("utf-8", "replace"),
        stderr=body[out:].decode("utf-8", "replace"),
        exit_code=header["exit"],
        signal=signal_name(number) if number else None,
        timed_out=header["timed_out"],
        killed_for=header["killed_for"],
        error=CodeError(**error) if error else None,
        value=header.get("value"),
        is_plain=header.get("plain", False),
        context_lost=header["lost"],
        seconds=header["seconds"],
        peak_memory_bytes=header["peak"],
        files_changed=tuple(header["files"]),
        bytes_cut=tuple(header["cut"]),
    )


def _packed(source: str | os.PathLike[str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(source, arcname=".")
    return packed.getvalue()
