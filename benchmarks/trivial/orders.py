"""How these programs listen to the benchmark that started them: orders by line, and an end when nobody is left.

A client gets a line with a number of seconds, works that long and answers with a line of JSON. Programs with more
than one thing to do get lines of JSON themselves.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any


def read() -> float | None:
    """Return the seconds of the next round; None when there is none."""
    line = sys.stdin.readline()
    return float(line) if line.strip() else None


def read_order() -> dict[str, Any] | None:
    """Return the next order; None when there is none."""
    line = sys.stdin.readline()
    return json.loads(line) if line.strip() else None


def say(line: str) -> None:
    """Write a line to whoever started this process."""
    print(line, flush=True)


def report(steps: int, seconds: float) -> None:
    """Answer an order."""
    answer(steps=steps, seconds=seconds)


def answer(**told: Any) -> None:
    """Answer an order with what there is to tell."""
    say(json.dumps(told))


def end_with_the_parent() -> None:
    """Have this process end when its standard input closes, by whatever way the parent went."""

    def watch() -> None:
        os.read(0, 1)  # not by sys.stdin, whose lock a thread must not hold when the interpreter ends
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
