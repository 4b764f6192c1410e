"""Environment folders to serve, and a clean import system after each test."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

SOURCE = str(Path(__file__).parents[2] / "src")

MODELS = """
from openenv.models import Action, Observation


class Add(Action):
    amount: int = 1


class Total(Observation):
    total: int
"""

ENVIRONMENT = """
from openenv.environment import Environment
from openenv.models import State

from ..models import Add, Total


class Counter(Environment[Add, Total, State]):
    def reset(self):
        self.total = 0
        return Total(total=0)

    def step(self, action):
        self.total += action.amount
        return Total(total=self.total, reward=1.0)

    @property
    def state(self):
        return State(step_count=self.total)
"""

APP = """
from openenv.server import create_app

from .environment import Counter

app = create_app(Counter)
"""

OWN_MODULES = {"counter_env", "counter", "server", "models"}

MakeEnvironment = Callable[..., Path]


@pytest.fixture
def make_environment(tmp_path: Path) -> MakeEnvironment:
    """Return a function that writes an environment folder; `files` replaces, adds and (None) omits."""

    def make(name: str = "counter_env", files: Mapping[str, str | None] | None = None) -> Path:
        content = {
            "__init__.py": "",
            "models.py": MODELS,
            "server/__init__.py": "",
            "server/environment.py": ENVIRONMENT,
            "server/app.py": APP,
            **(files or {}),
        }
        for place, text in content.items():
            if text is not None:
                path = tmp_path / name / place
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
        return tmp_path / name

    return make


@pytest.fixture
def clean_imports() -> Iterator[None]:
    """Forget the modules and search places that a test adds."""
    modules, path, meta_path = set(sys.modules), list(sys.path), list(sys.meta_path)
    yield
    for name in set(sys.modules) - modules:
        if name.partition(".")[0] in OWN_MODULES:
            del sys.modules[name]
    sys.path[:], sys.meta_path[:] = path, meta_path
    importlib.invalidate_caches()


@pytest.fixture
def run_openenv() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Return a function that runs `python -m openenv` to its end."""

    def run(*arguments: str, path: str = "", cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "openenv", *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [SOURCE, path]))},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=30,
        )

    return run
