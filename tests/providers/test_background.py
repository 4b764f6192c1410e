"""Blocking calls made side by side."""

import subprocess
import sys
import threading

import pytest

from openenv.providers.background import at_once

# As providers are stopped at the end of a program: by then no executor of the standard library takes calls.
AT_THE_END = """
import atexit
from openenv.providers.background import at_once
atexit.register(lambda: print(at_once(str, [1, 2, 3])))
"""


def test_results_come_in_the_order_of_the_values():
    assert at_once(lambda value: value * 2, range(40)) == list(range(0, 80, 2))
    assert at_once(str, []) == []


def test_no_more_run_at_the_same_time_than_may():
    running, most, lock = set(), 0, threading.Lock()
    both = threading.Barrier(2)

    def call(value):
        nonlocal most
        with lock:
            running.add(value)
            most = max(most, len(running))
        both.wait(20)
        with lock:
            running.discard(value)

    at_once(call, range(8), most=2)
    assert most == 2


def test_all_have_ended_before_an_error_comes_out():
    ended = []
    first_failed = threading.Event()

    def call(value):
        if value == 0:
            first_failed.set()
            raise ValueError("the first")
        first_failed.wait(20)
        ended.append(value)

    with pytest.raises(ValueError, match="the first"):
        at_once(call, range(5))
    assert sorted(ended) == [1, 2, 3, 4]


def test_they_can_be_made_at_the_end_of_the_program():
    ended = subprocess.run([sys.executable, "-c", AT_THE_END], capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("['1', '2', '3']\n", "")
