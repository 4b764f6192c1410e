"""Runs Python code for real: a new interpreter for each step, a work folder for each episode.

The process group of a step is killed when its time is up, when the step is cancelled and after the program
itself has ended, so nothing that it started goes on. Its input is empty, its output is read up to a limit and
the rest thrown away, and it inherits no environment variables but a few harmless ones. This keeps honest code
apart; for hostile code run the server in a container or sandbox.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from uuid import uuid4

from openenv.environment import Environment
from openenv.models import State, StepResult

from ..models import PyExecObservation, ResetAction, RunCodeAction

MAX_STEPS = 20
MAX_OUTPUT_BYTES = 256 * 1024
OUTPUT_GRACE_S = 0.5
REWARD_SUCCESS, REWARD_ERROR, REWARD_TIMEOUT = 1.0, -0.5, -1.0
TIMEOUT_EXIT_CODE = -1


class PythonExecEnvironment(Environment[RunCodeAction | ResetAction, PyExecObservation, State]):
    """Runs Python code. Reward 1.0 if it exits with 0, -0.5 if not, -1.0 on a timeout; 20 steps an episode."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self._workdir: Path | None = None
        self._state = State()

    async def reset(self, seed: int | None = None, episode_id: str | None = None) -> PyExecObservation:
        """Make a new, empty work folder. The seed is known to the programs as PYTHONHASHSEED."""
        await self.close()
        self._workdir = Path(tempfile.mkdtemp(prefix="openenv_pyexec_"))
        self._hash_seed = str((seed or 0) % 2**32)
        self._state = State(episode_id=episode_id or uuid4().hex, step_count=0)
        return PyExecObservation(
            stdout=f"Python {sys.version_info.major}.{sys.version_info.minor} sandbox ready.",
            stderr="",
            exit_code=0,
            execution_time_ms=0.0,
        )

    async def step(self, action: RunCodeAction | ResetAction) -> StepResult[PyExecObservation]:
        """Run the code, or start over."""
        if isinstance(action, ResetAction):
            return StepResult(observation=await self.reset(), reward=0.0, done=False)
        observation = await self._run(action)
        self._state.step_count += 1
        timed_out = observation.exit_code == TIMEOUT_EXIT_CODE
        reward = REWARD_TIMEOUT if timed_out else REWARD_ERROR if observation.exit_code else REWARD_SUCCESS
        last = self._state.step_count >= MAX_STEPS
        return StepResult(observation=observation, reward=reward, done=last, truncated=last)

    @property
    def state(self) -> State:
        """The episode's id and its steps."""
        return self._state

    async def close(self) -> None:
        """Remove the work folder."""
        if self._workdir is not None:
            await asyncio.to_thread(shutil.rmtree, self._workdir, ignore_errors=True)
            self._workdir = None

    async def _run(self, action: RunCodeAction) -> PyExecObservation:
        assert self._workdir is not None
        script = self._workdir / f"step_{self._state.step_count}.py"
        before = await asyncio.to_thread(_snapshot, self._workdir)
        await asyncio.to_thread(script.write_bytes, action.code.encode("utf-8", errors="surrogatepass"))
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-E", "-s", script.name),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            cwd=self._workdir,
            env={"PATH": os.defpath, "HOME": str(self._workdir), "PYTHONHASHSEED": self._hash_seed},
            start_new_session=True,
        )
        assert process.stdout and process.stderr
        stdout, stderr = _Capped(process.stdout), _Capped(process.stderr)
        timed_out = False
        try:
            async with asyncio.timeout(action.timeout_seconds):
                await process.wait()
        except TimeoutError:
            timed_out = True
        finally:
            _kill_group(process.pid)
        exit_code = await process.wait()
        observation = PyExecObservation(
            stdout=await stdout.text(),
            stderr=await stderr.text(),
            exit_code=TIMEOUT_EXIT_CODE if timed_out else exit_code,
            execution_time_ms=(time.monotonic() - started) * 1000,
            files_changed=_changed(before, await asyncio.to_thread(_snapshot, self._workdir), script.name),
        )
        if timed_out:
            observation.stderr += f"TimeoutError: execution exceeded {action.timeout_seconds:g} s"
        return observation


class _Capped:
    """Reads a stream to its end and keeps the first part, saying how much was left out."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._kept, self._dropped = bytearray(), 0
        self._reading = asyncio.create_task(self._read(stream))

    async def text(self) -> str:
        """Return what was kept. A process that left its group may hold the stream open; it is not waited for."""
        await asyncio.wait([self._reading], timeout=OUTPUT_GRACE_S)
        self._reading.cancel()
        note = f"\n[{self._dropped} more bytes were cut]" if self._dropped else ""
        return self._kept.decode("utf-8", errors="replace") + note

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(65536):
            room = MAX_OUTPUT_BYTES - len(self._kept)
            self._kept += chunk[:room]
            self._dropped += max(0, len(chunk) - room)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if not path.is_dir():
                found[str(path.relative_to(folder))] = (status.st_mtime_ns, status.st_size)
    return found


def _changed(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]], script: str) -> list[str]:
    names = (before.keys() | after.keys()) - {script}
    return sorted(name for name in names if before.get(name) != after.get(name))
