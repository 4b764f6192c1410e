"""The keeper's own bookkeeping, where what matters is the order in which two processes get to run."""

import os
import subprocess
import sys

import pytest

from openenv.execution.inside.child import Started
from openenv.execution.inside.children import Call, Child
from openenv.execution.inside.frames import pack
from openenv.execution.inside.keeper import Keeper

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workspaces are of Linux")


class OneChild(Keeper):
    """A keeper with an interpreter that is busy, and whose answers are written by the test."""

    def __init__(self) -> None:
        self.open = [*os.pipe(), *os.pipe()]
        super().__init__(self.open[0], self.open[3])
        self.process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        answers, self.interpreter = os.pipe()
        ended = os.pidfd_open(self.process.pid)
        self.open += [answers, self.interpreter, ended]
        self.child = Child("python", Started(self.process.pid, ended, (), None, answers), True)
        self.child.call = Call(1, None, 1024, False)
        self.told = []
        self._done = lambda child, **told: self.told.append(told)
        self._selector.register(answers, 1, lambda: self._answered(self.child))

    def turn(self):
        for key, _ in self._selector.select(0):
            key.data()

    def close(self):
        self._selector.close()
        self.process.kill()
        self.process.wait(10)
        for descriptor in self.open:
            os.close(descriptor)


@pytest.fixture
def keeper():
    keeper = OneChild()
    yield keeper
    keeper.close()


def test_an_answer_ends_the_call(keeper):
    os.write(keeper.interpreter, pack({"exit": 0}))
    keeper.turn()
    assert keeper.told == [{"exit": 0}]


def test_an_answer_that_crosses_with_the_kill_does_not_end_the_call(keeper):
    """Else the next call is asked of the process that is about to die, and lost with it."""
    os.write(keeper.interpreter, pack({"exit": 0}))
    keeper._kill(keeper.child)
    keeper.turn()
    assert keeper.told == []
