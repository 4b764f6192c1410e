"""The environments side by side: `python -m benchmarks.environments [--write] [NAME ...]`.

Speed is that of the policy that does nothing, by one blocking caller: on the environment itself, and on a server in
a process of its own. The scores are those of the policies that each package comes with, in one episode.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import _report
from openenv.client import EnvClient
from openenv.environment.adapter import Adapter
from openenv.errors import OpenEnvError
from openenv.providers import ProcessProvider

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "environments.md"
SECONDS = 1.0
"""Seconds that each speed is measured, at least, in whole episodes."""

HEAD = """# The environments that come with it

| environment | what an agent does there | steps/s in process | served | best | nothing | seed | sessions | image |
|---|---|---|---|---|---|---|---|---|
"""
FOOT = """
Steps/s are those of one blocking caller and the policy that does nothing; a vector of sessions is many times as
fast. *Best* and *nothing* are the returns of the two policies in `policies.py`, in an episode with the first seed.
*Seed*: the same seed is the same episode. *Sessions*: several in one process, or a process for each. *Image*: what
`openenv build` makes, in MB, where it is built on this machine.

Written by `python -m benchmarks.environments --write` on {machine}, {date}.
"""


class Row(NamedTuple):
    """What is told of an environment."""

    name: str
    about: str
    direct: float
    served: float
    best: float
    nothing: float
    seed: bool
    concurrent: bool
    image: str

    def line(self) -> str:
        """Return it as a row of the table."""
        link = f"[`{self.name}`](../envs/{self.name}/README.md)"
        cells = [
            link,
            self.about,
            _rounded(self.direct),
            _rounded(self.served),
            f"{self.best:g}",
            f"{self.nothing:g}",
        ]
        cells += ["yes" if self.seed else "no", "many" if self.concurrent else "one", self.image]
        return f"| {' | '.join(cells)} |\n"


class Counting:
    """A blocking caller whose steps are counted.

    Args:
        env: A client, or an environment behind `Direct`.
    """

    def __init__(self, env: Any) -> None:
        self._env = env
        self.steps = 0

    def step(self, action: Any) -> Any:
        """Take a step."""
        self.steps += 1
        return self._env.step(action)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)


class Direct:
    """An environment itself, called as a client is."""

    def __init__(self, environment: Any, runner: asyncio.Runner) -> None:
        self._adapter = Adapter(environment)
        self._runner = runner

    def reset(self, seed: int | None = None, **options: Any) -> Any:
        """Begin an episode."""
        return self._result(self._adapter.bind_reset(seed, None, options))

    def step(self, action: Any) -> Any:
        """Take a step."""
        return self._result(self._adapter.bind_step(action))

    def close(self) -> None:
        """Close the environment."""
        self._awaited(self._adapter.close())

    def _result(self, call: Callable[[], Any]) -> Any:
        return self._adapter.result(self._awaited(call()))

    def _awaited(self, value: Any) -> Any:
        return self._runner.run(value) if inspect.iscoroutine(value) else value


def measured(name: str) -> Row:
    """Return the row of an environment."""
    folder = ROOT / "envs" / name
    about = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["description"]
    policies = importlib.import_module(f"{name}.policies")
    manager = importlib.import_module(f"{name}.server.app").app.state.openenv.manager
    episode = getattr(policies, "EXAMPLE", {})
    with asyncio.Runner() as runner:
        direct = Direct(manager.factory(), runner)
        shape = direct._adapter.shape
        in_process = _speed(direct, policies, episode)
        direct.close()
    with _client_of(name).with_provider(ProcessProvider(folder)) as env:
        served = _speed(env, policies, episode)
        best, nothing = policies.oracle(env, **episode), policies.null(env, **episode)
    concurrent = bool(getattr(shape.cls, "SUPPORTS_CONCURRENT_SESSIONS", False))
    seed = "seed" in shape.reset.named
    return Row(name, about.rstrip("."), in_process, served, best, nothing, seed, concurrent, _image(name))


def _client_of(name: str) -> type[EnvClient[Any, Any, Any]]:
    package = importlib.import_module(name)
    found = [one for one in vars(package).values() if isinstance(one, type) and issubclass(one, EnvClient)]
    return found[0]


def _speed(env: Any, policies: Any, episode: dict[str, Any]) -> float:
    policies.null(env, **episode)  # what is made at the first use is no cost of a step
    counting = Counting(env)
    began = time.perf_counter()
    while (seconds := time.perf_counter() - began) < SECONDS:
        policies.null(counting, **episode)
    return counting.steps / seconds


def _image(name: str) -> str:
    """Return the size of the environment's image, if it is built here."""
    command = ["docker", "image", "inspect", name.replace("_", "-")]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return f"{json.loads(ran.stdout)[0]['Size'] / 1e6:.0f}" if ran.returncode == 0 else ""


def _rounded(number: float) -> str:
    digits = max(0, len(f"{number:.0f}") - 2)
    return f"{round(number, -digits):,.0f}"


def main() -> int:
    """Measure, print, and write the page if asked to."""
    parser = argparse.ArgumentParser("python -m benchmarks.environments", description=__doc__)
    parser.add_argument("names", nargs="*", help="environments; all that have policies by default")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    given = parser.parse_args()
    names = given.names or sorted(path.parent.name for path in (ROOT / "envs").glob("*/policies.py"))
    rows, failed = [], 0
    for name in names:
        try:
            rows.append(measured(name))
            print(rows[-1].line(), end="", flush=True)
        except (ImportError, OpenEnvError) as error:
            failed = 1
            print(f"{name} could not be measured: {error}", file=sys.stderr)
    if given.write and not failed:
        machine, date = _report.machine().rsplit(", ", 1)
        page = HEAD + "".join(row.line() for row in rows) + FOOT.format(machine=machine, date=date)
        PAGE.write_text(page, encoding="utf-8")
    return failed


if __name__ == "__main__":
    sys.exit(main())
