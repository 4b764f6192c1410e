"""One program run to its end, or to the end of its time.

It leads a process group of its own. When it has ended, by whatever way, the group is killed, and so is every
process that left the group but kept the environment variables (found where the system has `/proc`). Its output
goes through pipes that are not asyncio's own: a subprocess with those counts as running for as long as anything
holds them, on some releases of Python, and uvloop closes a pipe that it is given twice, the second time perhaps
what another thread has opened since.
"""

import asyncio
import contextlib
import os
import signal
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

MAX_OUTPUT_BYTES = 256 * 1024
READ_BYTES = 64 * 1024
OUTPUT_GRACE_S = 0.5
KILL_GRACE_S = 1.0


@dataclass(frozen=True)
class Outcome:
    """What a program did.

    Attributes:
        stdout: The first `MAX_OUTPUT_BYTES` it wrote, and a note if there was more.
        stderr: The same of its other output.
        exit_code: Its exit code, or minus the number of the signal that ended it.
        timed_out: Whether it was killed because its time was up.
        seconds: How long it ran.
    """

    stdout: str
    stderr: str
    exit_code: int
    timed_out: bool
    seconds: float


async def run(command: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout_s: float) -> Outcome:
    """Run a program with empty input; nothing that it started goes on when this returns or is cancelled.

    Args:
        command: The program and its arguments.
        cwd: Its working folder.
        env: All its environment variables. `HOME` tells its processes from those of other programs.
        timeout_s: Seconds it may run.

    Raises:
        OSError: It could not be started.
    """
    async with _pipe() as (stdout, stdout_end), _pipe() as (stderr, stderr_end):
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=stdout_end,
            stderr=stderr_end,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
        stdout_end.close()  # or the pipes would not end with the program
        stderr_end.close()
        try:
            timed_out = not await _ends_within(process, timeout_s)
            seconds = time.monotonic() - started
        finally:
            exit_code = await _kill(process, f"HOME={env['HOME']}")
        texts = await asyncio.gather(stdout.text(), stderr.text())
        return Outcome(*texts, exit_code, timed_out, seconds)


async def _ends_within(process: Process, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await process.wait()
    except TimeoutError:
        return False
    return True


async def _kill(process: Process, mark: str) -> int:
    """Kill what is left of a program, and return its exit code."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    exit_code = await process.wait()
    await asyncio.to_thread(_kill_marked, mark.encode())
    return exit_code


def _kill_marked(mark: bytes) -> None:
    """Kill the processes that have the mark among their environment variables, and those they start meanwhile."""
    deadline = time.monotonic() + KILL_GRACE_S
    while marked := [pid for pid in _processes() if mark in _environment_of(pid)]:
        for pid in marked:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return


def _processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _environment_of(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as variables:
            return variables.read().split(b"\0")
    except OSError:  # it has ended, or belongs to somebody else
        return []


class _Output:
    """Reads a pipe to its end and keeps the first part.

    Args:
        read_end: The descriptor; it belongs to this object from now on.
    """

    def __init__(self, read_end: int) -> None:
        self._kept = bytearray()
        self._dropped = 0
        self._ended = asyncio.Event()
        self._read_end = read_end
        os.set_blocking(read_end, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(read_end, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._read_end, READ_BYTES)
        except BlockingIOError:
            return
        room = MAX_OUTPUT_BYTES - len(self._kept)
        self._kept += data[:room]
        self._dropped += max(0, len(data) - room)
        if not data:
            self.close()

    def close(self) -> None:
        """Read no more."""
        if not self._ended.is_set():
            self._ended.set()
            self._loop.remove_reader(self._read_end)
            os.close(self._read_end)

    async def text(self) -> str:
        """Return what was kept. Whoever still holds the pipe then is not waited for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OUTPUT_GRACE_S):
                await self._ended.wait()
        note = f"\n[{self._dropped} more bytes were cut]" if self._dropped else ""
        return self._kept.decode("utf-8", errors="replace") + note


@contextlib.asynccontextmanager
async def _pipe() -> AsyncIterator[tuple[_Output, FileIO]]:
    """Give the reader of a new pipe, and the end that a program writes to."""
    read_end, write_end = os.pipe()
    with FileIO(write_end, "w") as program_end:
        output = _Output(read_end)
        try:
            yield output, program_end
        finally:
            output.close()
