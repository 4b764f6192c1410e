"""Resets and steps of browsergym_env over the wire, with pictures, beside BrowserGym's own environment.

Both play the same tasks with the same actions and read the same: goal, accessibility tree and picture. That of
BrowserGym is in this process, with no wait that can be set to none: `slow_mo=0, pre_observation_delay=0.05`.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks._figures import Bench, BenchmarkError, Figure, Limit
from openenv.errors import OpenEnvError
from openenv.providers import ProcessProvider

ENVIRONMENT = Path(__file__).parents[1] / "envs" / "browsergym_env"
TASKS = ("click-test", "click-button", "enter-text", "login-user", "choose-list", "email-inbox")
ACTIONS = ("mouse_move(20, 200)", "keyboard_press('Tab')", "keyboard_press('Tab')")
OWN_TASKS = TASKS[:2]

Taken = dict[str, list[float]]


def run(bench: Bench) -> list[Figure]:
    """Measure ours in rounds, then BrowserGym's once, then a reset that has to start the browser."""
    try:
        from browsergym_env.server.launching import find_browser

        find_browser()
    except (ImportError, OpenEnvError) as error:
        raise BenchmarkError(f"There is no browser, or no BrowserGym: {error}") from error
    cold, ours = _ours(bench)
    theirs = _theirs()
    beside = {what: f"BrowserGym's own: {statistics.median(taken):.2f} s" for what, taken in theirs.items()}
    return [
        _figure("reset from a warm browser: median", ours["reset"], Limit("most", 0.5), beside["reset"]),
        _figure("step with a picture: median", ours["step"], Limit("most", 0.4), beside["step"]),
        Figure("the first reset, with the start of the browser", cold, "s", digits=2),
    ]


def _ours(bench: Bench) -> tuple[float, Taken]:
    from browsergym_env import BrowserGymAction, BrowserGymEnv

    taken: Taken = {"reset": [], "step": []}
    with BrowserGymEnv.with_provider(ProcessProvider(ENVIRONMENT)) as env:
        cold = _seconds(lambda: env.reset(seed=0, task_name=TASKS[0]))
        for number in range(bench.rounds):
            for task in TASKS:
                taken["reset"].append(_seconds(lambda: env.reset(seed=number, task_name=task)))  # noqa: B023
                for text in ACTIONS:
                    action = BrowserGymAction(action_str=text)
                    taken["step"].append(_seconds(lambda: env.step(action)))  # noqa: B023
    return cold, taken


def _theirs() -> Taken:
    """Play with BrowserGym's environment, which starts two browsers at each reset."""
    from browsergym.core.action.highlevel import HighLevelActionSet
    from browsergym.core.env import BrowserEnv
    from browsergym.miniwob import ALL_MINIWOB_TASKS

    from browsergym_env.server.launching import find_browser
    from browsergym_env.server.tasks import pages

    kinds = {kind.subdomain: kind for kind in ALL_MINIWOB_TASKS}
    taken: Taken = {"reset": [], "step": []}
    actions = HighLevelActionSet(["coord", "bid"]).to_python_code
    program = {"executable_path": find_browser()}
    if os.geteuid() == 0:
        program["args"] = ["--no-sandbox"]
    with _playwright(program):
        for name in OWN_TASKS:
            env = BrowserEnv(
                kinds[name],
                {"base_url": f"file://{pages()}/miniwob/"},
                slow_mo=0,
                action_mapping=actions,
                pre_observation_delay=0.05,
            )
            for seed in range(2):
                taken["reset"].append(_seconds(lambda: env.reset(seed=seed)))  # noqa: B023
                for text in ACTIONS:
                    taken["step"].append(_seconds(lambda: env.step(text)))  # noqa: B023
            env.close()
    return taken


@contextlib.contextmanager
def _playwright(program: dict[str, Any]) -> Iterator[None]:
    """Have BrowserGym launch a browser of the system, which it knows no way to be told."""
    import playwright.sync_api

    kind = playwright.sync_api.BrowserType
    launch = kind.launch

    def launched(self: Any, **options: Any) -> Any:
        options["args"] = [*(options.get("args") or ()), *program.get("args", ())]
        return launch(self, **{**options, "executable_path": program["executable_path"]})

    kind.launch = launched
    try:
        yield
    finally:
        kind.launch = launch


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _figure(what: str, taken: list[float], limit: Limit, beside: str) -> Figure:
    ordered = sorted(taken)
    tail = f"nine of ten within {ordered[len(ordered) * 9 // 10]:.2f}, {len(taken)} times; {beside}"
    note = f"{ordered[0]:.2f} to {ordered[-1]:.2f}, {tail}"
    return Figure(what, statistics.median(taken), "s", 3, limit=limit, low=ordered[0], high=ordered[-1], note=note)
