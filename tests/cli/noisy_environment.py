"""An environment that prints wherever it can, reads what is not meant for it, and leaves a child behind."""

import os
import subprocess
import sys
import time

from openenv.environment import Environment
from openenv.models import Action, Observation, State

print("imported")
os.system("echo imported by a child")


class Add(Action):
    """Add to the total."""

    amount: int


class Sleep(Action):
    seconds: float


class Total(Observation):
    total: int
    read: str = ""
    child: int = 0


class Noisy(Environment[Add | Sleep, Total, State]):
    """Reach ten."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self):
        print("made")
        self.child = subprocess.Popen([sys.executable, "-c", "import time; print('child'); time.sleep(600)"])

    def reset(self, seed: int | None = None, word: str = "") -> Total:
        print("reset")
        self.total = seed or 0
        return Total(total=self.total, read=word)

    def step(self, action: Add | Sleep) -> Total:
        if isinstance(action, Sleep):
            time.sleep(action.seconds)
            return Total(total=self.total)
        print('{"jsonrpc": "2.0", "id": 1, "result": {}}')
        os.write(1, b"raw\n")
        sys.__stdout__.write("buffered")
        read = subprocess.run(["sh", "-c", "echo from a child; cat"], stdout=None, check=True) and sys.stdin.read()
        self.total += action.amount
        return Total(
            total=self.total, read=read, child=self.child.pid, reward=float(self.total), done=self.total > 9
        )

    @property
    def state(self) -> State:
        return State(step_count=self.total)

    def close(self):
        print("closing")
        self.child.kill()
        self.child.wait()
        print("closed")
