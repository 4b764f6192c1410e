"""Plays a game by random moves, in a process that it may take down: `python -m openspiel_env.server.trial`.

It reads `[name, parameters, opponent]` as JSON, and writes a `Verdict` as the last line of its output.
"""

import contextlib
import json
import math
import resource
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from random import Random
from time import process_time, thread_time
from typing import Any

from openenv.errors import InvalidRequestError

from ..models import OpenSpielAction, OpenSpielObservation
from .openspiel_environment import OpenSpielEnvironment
from .trials import COMPUTING_S, Verdict, refusal

PLAY_S = 0.5
"""Seconds of playing with each opponent; a call that has begun is waited for."""

MOST_EPISODES = 50
SIMULATIONS = 8
MEMORY_BYTES = 4 << 30


def play(name: str, params: Mapping[str, Any], opponent: str) -> Verdict:
    """Play episodes, and say how that went."""
    try:
        verdict = _played(name, params, ("self", "random"))
        if opponent == "mcts":
            _played(name, params, ("mcts",))
    except InvalidRequestError as refused:
        return Verdict(refused.message)
    except Exception as error:
        return Verdict(refusal(name, f"OpenSpiel raised {type(error).__name__}: {error!s:.200}"))
    return verdict


def _played(name: str, params: Mapping[str, Any], opponents: tuple[str, ...]) -> Verdict:
    environment, rng = OpenSpielEnvironment(name, params, simulations=SIMULATIONS), Random(0)
    ends = process_time() + PLAY_S
    reset_s = step_s = 0.0
    for seed in range(MOST_EPISODES):
        against = opponents[seed % len(opponents)]
        agent = 0 if against == "self" else seed % environment.state.num_players
        seen, took_s = _timed(partial(environment.reset, seed, agent_player=agent, opponent_policy=against))
        reset_s = max(reset_s, took_s)
        while not seen.done and process_time() < ends:
            if not seen.legal_actions:
                return Verdict(refusal(name, "a player had no legal move"))
            move = OpenSpielAction(action_id=rng.choice(seen.legal_actions))
            seen, took_s = _timed(partial(environment.step, move))
            step_s = max(step_s, took_s)
        if process_time() >= ends:
            break
    return Verdict("", reset_s, step_s)


def _timed(call: Callable[[], OpenSpielObservation]) -> tuple[OpenSpielObservation, float]:
    """Return what a call returns and the seconds of computing that it took, whatever else the machine does."""
    began = thread_time()
    return call(), thread_time() - began


def _limit(what: int, most: int) -> None:
    with contextlib.suppress(ValueError, OSError):  # not every system has each limit, and it may have a lower one
        resource.setrlimit(what, (most, most + 1))  # at the upper one of RLIMIT_CPU it would be SIGKILL


if __name__ == "__main__":
    _limit(resource.RLIMIT_CPU, COMPUTING_S + math.ceil(process_time()))
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    print("\n" + json.dumps(asdict(play(*json.load(sys.stdin)))))  # what else is printed has lines of its own
