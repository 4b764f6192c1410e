"""A step of coding_env over the wire, beside a fresh interpreter for each; steps that hang; 64 sessions at once.

The step is `print(1)`, held. The interpreter of an episode stays, which is what makes it quick; what it is compared
with is a new `python` for each step, held in the same ways, without a server or a wire. They take turns in rounds.
What hangs is measured by how long after its time it is answered; the next step has to be answered, too. The 64
sessions each store a secret of their own and read it back in every step.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks._figures import Bench, BenchmarkError, Figure, Limit
from coding_env import CodeAction, CodingEnv
from openenv import containment
from openenv.errors import OpenEnvError
from openenv.execution import Backend, Bubblewrap, Execution, WarmFork, Workspace
from openenv.providers import ProcessProvider

ENVIRONMENT = Path(__file__).parents[1] / "envs" / "coding_env"
STEPS, FRESH, SESSIONS, EACH = 100, 8, 64, 10
FRESH_COMMAND = [sys.executable, "-I", "-c", "print(1)"]
CODE = CodeAction(code="print(1)")
HUNG_S = 0.5
HUNG = {
    "an endless loop": "while True: pass",
    "one that ignores interruptions": "import signal; signal.signal(2, signal.SIG_IGN)\nwhile True: pass",
    "one within C": "9 ** 9 ** 9",
    "a fork bomb": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "an interpreter that kills itself": "import os; os.kill(os.getpid(), 9)",
}

Way = Callable[[], object]


def run(bench: Bench) -> list[Figure]:
    """Measure steps and fresh interpreters in turn, then all sessions at once."""
    try:
        return [*_steps(bench), *_hung(bench), *_sessions()]
    except OpenEnvError as error:
        raise BenchmarkError(str(error)) from error


# --- one after the other -----------------------------------------------------------------------------


def _steps(bench: Bench) -> list[Figure]:
    with ExitStack() as stack:
        env = stack.enter_context(CodingEnv.with_provider(ProcessProvider(ENVIRONMENT)))
        env.reset()
        runner = stack.enter_context(asyncio.Runner())
        ways: dict[str, tuple[Way, int]] = {"coding_env": (lambda: env.step(CODE), STEPS)}
        for backend in _backends():
            workspace = runner.run(backend.open())
            stack.callback(lambda one=workspace: runner.run(one.close()))
            ways[type(backend).__name__] = (_fresh(runner, workspace), FRESH)
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for way, _ in ways.values():
            way()
        for _ in range(bench.rounds):
            for name, (way, times) in ways.items():
                taken[name] += [_milliseconds(way) for _ in range(times)]
    step = taken.pop("coding_env")
    median = statistics.median(step)
    figures = [_figure("step of print(1) over the wire: median", step, limit=Limit("most", 5.0))]
    for name, fresh in taken.items():
        ratio = statistics.median(fresh) / median
        figures.append(_figure(f"... a fresh interpreter instead, {name}: median", fresh))
        figures.append(Figure(f"... in steps' time: {name}", ratio, digits=1, limit=Limit("least", 10.0)))
    return figures


def _backends() -> list[Backend]:
    """Return what can hold a program here."""
    absent = containment.probe()
    ways = (("landlock", WarmFork), ("namespaces", Bubblewrap))
    return [make() for layer, make in ways if absent[layer] is None]


def _fresh(runner: asyncio.Runner, workspace: Workspace) -> Way:
    def way() -> Execution:
        ran = runner.run(workspace.run(FRESH_COMMAND))
        if ran.stdout != "1\n":
            raise BenchmarkError(f"a fresh interpreter wrote {ran.stdout!r}, {ran.stderr!r}")
        return ran

    return way


def _milliseconds(way: Way) -> float:
    began = time.perf_counter()
    way()
    return 1000 * (time.perf_counter() - began)


def _figure(what: str, taken: list[float], limit: Limit | None = None) -> Figure:
    ordered = sorted(taken)
    note = f"{ordered[0]:.1f} to {ordered[-1]:.1f}, nine of ten within {ordered[len(ordered) * 9 // 10]:.1f}"
    return Figure(
        what,
        statistics.median(taken),
        "ms",
        digits=2,
        limit=limit,
        low=ordered[0],
        high=ordered[-1],
        note=f"{note}, {len(taken)} times",
    )


# --- what hangs --------------------------------------------------------------------------------------


def _hung(bench: Bench) -> list[Figure]:
    """Measure how long after its time each kind of hung or killed step is answered."""
    late: dict[str, list[float]] = {name: [] for name in HUNG}
    with CodingEnv.with_provider(ProcessProvider(ENVIRONMENT)) as env:
        for _ in range(bench.rounds):
            for name, code in HUNG.items():
                env.reset()
                began = time.perf_counter()
                seen = env.step(CodeAction(code=code, timeout_s=HUNG_S)).observation
                seconds = time.perf_counter() - began
                again = env.step(CODE).observation
                if not (seen.timed_out or seen.context_lost) or again.stdout != "1\n":
                    raise BenchmarkError(f"{name}: {seen!r}, then {again!r}")
                late[name].append(1000 * (seconds - HUNG_S * seen.timed_out))
    most = Limit("most", 200.0)
    return [_figure(f"{name}: answered after its time", taken, limit=most) for name, taken in late.items()]


# --- many at once ------------------------------------------------------------------------------------


class Played(NamedTuple):
    """What came of one session.

    Attributes:
        failed: Steps that failed, or were never taken.
        foreign: Steps that read something other than the session's own secret.
        milliseconds: How long each step took.
    """

    failed: int
    foreign: int
    milliseconds: list[float]


def _sessions() -> list[Figure]:
    with ProcessProvider(ENVIRONMENT, max_concurrent_envs=SESSIONS) as provider:
        began = time.perf_counter()
        played = asyncio.run(_all(provider.base_url))
        seconds = time.perf_counter() - began
    taken = [one for session in played for one in session.milliseconds]
    none = Limit("most", 0)
    what = f"{SESSIONS} sessions at once, {EACH} steps each"
    return [
        Figure(f"{what}: steps that failed", sum(session.failed for session in played), limit=none),
        Figure("... that read the secret of another", sum(session.foreign for session in played), limit=none),
        Figure("... from the first connection to the last answer", seconds, "s", digits=2),
        *([_figure("... step: median", taken)] if taken else []),
    ]


async def _all(url: str) -> list[Played]:
    return await asyncio.gather(*(_session(url) for _ in range(SESSIONS)))


async def _session(url: str) -> Played:
    secret = secrets.token_hex(16)
    store = CodeAction(code=f"secret = {secret!r}; open('secret', 'w').write(secret); print(secret, secret)")
    read = CodeAction(code="print(secret, open('secret').read())")
    failed = foreign = 0
    taken: list[float] = []
    try:
        async with CodingEnv(base_url=url, message_timeout_s=120) as env:
            await env.reset()
            for action in (store, *[read] * (EACH - 1)):
                began = time.perf_counter()
                seen = (await env.step(action)).observation
                taken.append(1000 * (time.perf_counter() - began))
                failed += seen.exit_code != 0
                foreign += seen.exit_code == 0 and seen.stdout != f"{secret} {secret}\n"
    except OpenEnvError:
        failed += EACH - len(taken)
    return Played(failed, foreign, taken)
