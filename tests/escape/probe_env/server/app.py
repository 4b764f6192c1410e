"""The server: each attempt is a program of its own, so that the server lives to tell."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from openenv.environment import Environment
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


app = create_app(Probing, Attempt, Outcome, max_concurrent_envs=1)
