"""Tries a game in a process of its own before it is played in the server's.

OpenSpiel checks little of what it is given: with some parameters, and some opponents in some games, it ends the
process by a signal, never returns, or makes a game without moves. So what a client chooses is played first by
`openspiel_env.server.trial`, a program that may end like that, and its verdict is remembered. It played only some
hundred moves: a trial is no proof.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from math import inf
from threading import BoundedSemaphore, Lock
from typing import Any

from openenv.errors import InvalidRequestError

from .games import NAMED, described

AT_ONCE_S = 0.001
"""What is called on the event loop takes this long at most."""

LONGEST_S = 0.25
"""A game whose reset or step takes longer is refused: OpenSpiel keeps Python's lock, so all sessions would wait."""

COMPUTING_S = 5
"""Seconds of computing after which a trial has failed."""

PATIENCE_S = 60.0
"""Seconds after which it has failed even if it does not compute, on a machine however busy."""

MOST_REMEMBERED = 1000
MOST_BYTES = 10_000
CATCH_SIZES = range(2, 31)


@dataclass(frozen=True)
class Verdict:
    """What a trial has shown.

    Attributes:
        fault: Why the game is not played in this process; empty if it is.
        reset_s: The longest that a reset took, in seconds of computing; what an opponent thinks is left out.
        step_s: Likewise a step.
    """

    fault: str = ""
    reset_s: float = 0.0
    step_s: float = 0.0


class UntriedError(Exception):
    """A game that was not tried yet was asked for where a trial would take too long.

    Args:
        name: The game.
        params: Its parameters.
    """

    def __init__(self, name: str, params: Mapping[str, Any]) -> None:
        super().__init__(f"{name:.100} was not tried yet")
        self.name, self.params = name, params


GOOD = Verdict()
UNKNOWN = Verdict("", inf, inf)

_verdicts: dict[str, Future[Verdict]] = {}
_lock = Lock()
_running = BoundedSemaphore(2)


def known(name: str, params: Mapping[str, Any], opponent: str) -> Verdict | None:
    """Return the verdict on a game at once; None if it was not tried yet.

    Raises:
        InvalidRequestError: It is refused without a trial.
    """
    if _needs_none(name, params):
        return GOOD
    verdict = _verdicts.get(_key(name, params, opponent))
    return verdict.result() if verdict is not None and verdict.done() and not verdict.exception() else None


def tried(name: str, params: Mapping[str, Any], opponent: str) -> Verdict:
    """Return the verdict on a game, after a trial if there was none. This may take seconds.

    Args:
        name: The game.
        params: Its parameters.
        opponent: Who plays against the agent.

    Raises:
        InvalidRequestError: It is refused without a trial.
    """
    if _needs_none(name, params):
        return GOOD
    key = _key(name, params, opponent)
    with _lock:
        verdict = _verdicts.get(key)
        is_first = verdict is None
        if verdict is None:
            while len(_verdicts) >= MOST_REMEMBERED:
                del _verdicts[next(iter(_verdicts))]
            verdict = _verdicts[key] = Future()
    if is_first:
        try:
            with _running:
                verdict.set_result(_trial(key))
        except BaseException as error:  # nothing is known of the game, so the next one tries it again
            with _lock:
                _verdicts.pop(key, None)
            verdict.set_exception(error)
    return verdict.result()


def _needs_none(name: str, params: Mapping[str, Any]) -> bool:
    """Return whether a game is well known: it is played in this package's tests, with any opponent."""
    if name == "catch":
        return all(
            key in ("rows", "columns") and type(value) is int and value in CATCH_SIZES
            for key, value in params.items()
        )
    return name in NAMED and not params


def _key(name: str, params: Mapping[str, Any], opponent: str) -> str:
    """Return what is tried. Opponents that do not search are all like random moves."""
    given = described(name, params)
    key = json.dumps([given.pop("name"), given, "mcts" if opponent == "mcts" else "random"], sort_keys=True)
    if len(key) > MOST_BYTES:
        raise InvalidRequestError(f"A game and its parameters have {MOST_BYTES:,} characters at most")
    return key


def _trial(key: str) -> Verdict:
    """Run the program that plays the game, and see how it ends."""
    name = json.loads(key)[0]
    program = [sys.executable, "-P", "-m", f"{__package__}.trial"]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    try:
        ended = subprocess.run(
            program,
            input=key,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_S,
            env=paths,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Verdict(refusal(name, f"it had no end after {PATIENCE_S:g} s"))
    if ended.returncode > 0:
        raise RuntimeError(f"{name} could not be tried: {ended.stderr[-1000:]}")
    if ended.returncode < 0:
        by = signal.Signals(-ended.returncode)
        what = f"it took more than {COMPUTING_S} s" if by == signal.SIGXCPU else f"OpenSpiel crashed ({by.name})"
        return Verdict(refusal(name, what))
    verdict = Verdict(**json.loads(ended.stdout.splitlines()[-1]))
    longest_s = max(verdict.reset_s, verdict.step_s)
    if longest_s > LONGEST_S and not verdict.fault:
        return replace(verdict, fault=refusal(name, f"a reset or step took {longest_s:.2g} s"))
    return verdict


def refusal(name: str, what: str) -> str:
    """Return why a game is not played in this process: what happened when it was tried."""
    return (
        f"{name} is not played here with these parameters and this opponent: when it was tried, {what}. "
        "A server that is started with OPENSPIEL_ISOLATION=process, a process for each session, takes the risk"
    )
