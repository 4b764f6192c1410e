"""The server: each attempt is a program of its own, so that the server lives to tell.

With `PROBE_LIMITS` among the environment variables that program runs in a workspace, and it is that one which is to
hold it; else nothing stands between the program and what the server may do.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from openenv.environment import Environment
from openenv.execution import Execution, Limits, WarmFork, Workspace
from openenv.models import State
from openenv.server import create_app

from ..models import Attempt, Outcome

PROBES = Path(__file__).resolve().parents[1] / "probes"


class Probing(Environment[Attempt, Outcome, State]):
    # Runs in the server's process, which has the listening socket; else sessions get processes of their own.
    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self) -> Outcome:
        return Outcome(reached=f"pid {os.getpid()}, uid {os.getuid()}")

    def step(self, action: Attempt) -> Outcome:
        module, _, function = action.probe.partition(".")
        listeners = _listening()
        arguments = {**action.arguments, "listeners": listeners} if function == "listener" else action.arguments
        command = [sys.executable, "-I", "-S", str(PROBES / "run.py"), module, function, json.dumps(arguments)]
        running = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=listeners
        )
        try:
            told, complaint = running.communicate(timeout=action.budget_s)
        except subprocess.TimeoutExpired:
            running.kill()
            running.communicate()
            return Outcome(error="TIMEOUT")
        if running.returncode < 0:
            return Outcome(error=signal.Signals(-running.returncode).name, detail=complaint[-500:])
        try:
            return Outcome(**json.loads(told))
        except ValueError:
            return Outcome(error=f"EXIT{running.returncode}", detail=(told + complaint)[-500:])

    @property
    def state(self) -> State:
        return State()


class ProbingWorkspace(Environment[Attempt, Outcome, State]):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self._workspace: Workspace | None = None

    async def reset(self) -> Outcome:
        if self._workspace is not None:
            await self._workspace.reset()
        return Outcome()

    async def step(self, action: Attempt) -> Outcome:
        if self._workspace is None:
            self._workspace = await _backend().open()
        module, _, function = action.probe.partition(".")
        known = {"listeners": list(range(3, 64))} if function == "listener" else {}
        arguments = json.dumps({**action.arguments, **known})
        command = [sys.executable, "-I", "-S", str(PROBES / "run.py"), module, function, arguments]
        return _told(await self._workspace.run(command, timeout_s=action.budget_s))

    @property
    def state(self) -> State:
        return State()

    async def close(self) -> None:
        if self._workspace is not None:
            await self._workspace.close()


def _backend() -> WarmFork:
    return WarmFork(Limits(**json.loads(os.environ["PROBE_LIMITS"])), read=[PROBES])


def _told(ran: Execution) -> Outcome:
    if ran.timed_out or ran.signal:
        return Outcome(error="TIMEOUT" if ran.timed_out else ran.signal, detail=ran.stderr[-500:])
    try:
        return Outcome(**json.loads(ran.stdout))
    except ValueError:
        return Outcome(error=f"EXIT{ran.exit_code}", detail=(ran.stdout + ran.stderr)[-500:])


def _listening() -> list[int]:
    """Return the descriptors of this process's listening TCP sockets."""
    return [number for number in range(3, 256) if _listens(number)]


def _listens(number: int) -> bool:
    try:
        copy = os.dup(number)
    except OSError:
        return False
    try:
        candidate = socket.socket(fileno=copy)
    except OSError:  # not a socket
        os.close(copy)
        return False
    with candidate:
        tcp = candidate.family in (socket.AF_INET, socket.AF_INET6)
        return tcp and bool(candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


_environment = ProbingWorkspace if "PROBE_LIMITS" in os.environ else Probing
app = create_app(_environment, Attempt, Outcome, max_concurrent_envs=1)
