"""`echo_env` and `envs.echo_env` are one package under two names, installed or not, whichever comes first.

The rules are tried on a checkout with tiny environments, then once on the real one.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

Run = Callable[..., "subprocess.CompletedProcess[str]"]

SAME = """
import envs.toy_env.server.rules, toy_env.server.rules
assert envs.toy_env is toy_env and envs.toy_env.server is toy_env.server
assert envs.toy_env.server.rules is toy_env.server.rules
from envs.toy_env.models import Move
assert Move is toy_env.models.Move is toy_env.server.rules.Move
assert toy_env.__name__ == toy_env.__spec__.name == "toy_env"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with two small environments."""
    root = tmp_path / "checkout"
    files = {
        "__init__.py": (ROOT / "envs" / "__init__.py").read_text(encoding="utf-8"),
        "toy_env/__init__.py": "from .models import Move\n",
        "toy_env/models.py": "class Move: pass\n",
        "toy_env/server/__init__.py": "",
        "toy_env/server/rules.py": "from ..models import Move\n",
        "needy_env/__init__.py": "import a_library_nobody_has\n",
    }
    for place, text in files.items():
        path = root / "envs" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a program that sees the given places and no installed environment; a warning fails it."""

    def run(program: str, *places: Path, warnings: str = "error") -> "subprocess.CompletedProcess[str]":
        start = f"import sys; sys.path[:0] = {[str(place) for place in places]!r}\n"
        # -S leaves out what `pip install -e` has put into site-packages.
        command = [sys.executable, "-I", "-S", "-W", warnings, "-c", start + program]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    return run


@pytest.mark.parametrize("first", ["toy_env", "envs.toy_env", "envs.toy_env.server.rules"])
def test_installed_from_the_checkout_both_names_mean_the_same_modules(run, checkout, first):
    ran = run(f"import {first}\n{SAME}", checkout / "envs", checkout)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("first", ["envs", "envs.toy_env", "envs.toy_env.server.rules"])
def test_not_installed_both_names_mean_the_same_modules(run, checkout, first):
    ran = run(f"import {first}\n{SAME}", checkout)
    assert ran.returncode == 0, ran.stderr


def test_one_environment_may_be_installed_and_another_not(run, checkout, tmp_path):
    (tmp_path / "other_env").mkdir()
    (tmp_path / "other_env" / "__init__.py").write_text("")
    (checkout / "envs" / "other_env").symlink_to(tmp_path / "other_env")
    ran = run(f"import other_env, envs.toy_env, envs.other_env\n{SAME}", tmp_path, checkout)
    assert ran.returncode == 0, ran.stderr


def test_another_copy_that_is_installed_is_what_both_names_mean_and_that_is_told(run, checkout, tmp_path):
    (tmp_path / "toy_env").mkdir()
    (tmp_path / "toy_env" / "__init__.py").write_text("copied = True\n")
    ran = run("import envs.toy_env, toy_env; print(envs.toy_env.copied)", tmp_path, checkout, warnings="default")
    assert ran.stdout == "True\n"
    assert "is the installed package at" in ran.stderr
    assert f"pip install -e {checkout / 'envs' / 'toy_env'}" in ran.stderr


@pytest.mark.parametrize("name", ["envs.no_such_env", "envs.toy_env.nothing", "envs.toy_env.server.nothing"])
def test_what_is_not_there_is_missed_under_the_name_that_was_asked_for(run, checkout, name):
    ran = run(f"import {name}", checkout)
    assert f"ModuleNotFoundError: No module named '{name}'" in ran.stderr


def test_an_environment_that_needs_something_else_says_what(run, checkout):
    ran = run("import envs.needy_env", checkout)
    assert "No module named 'a_library_nobody_has'" in ran.stderr


def test_looking_for_a_module_does_not_make_one_up(run, checkout):
    program = (
        "from importlib.util import find_spec\n"
        "assert find_spec('envs.toy_env.models') and not find_spec('envs.toy_env.nothing')\n"
    )
    ran = run(program, checkout)
    assert ran.returncode == 0, ran.stderr


def test_a_second_import_of_envs_leaves_one_finder(run, checkout):
    program = (
        "import sys, envs\nbefore = len(sys.meta_path)\n"
        "del sys.modules['envs']\nimport envs\nassert len(sys.meta_path) == before\n"
    )
    ran = run(program + SAME, checkout)
    assert ran.returncode == 0, ran.stderr


REAL = """
from envs.echo_env import EchoAction, EchoEnv
from envs.echo_env.server.echo_environment import EchoEnvironment
from envs.python_exec_env import PyExecEnv
import echo_env.server.echo_environment, pickle, python_exec_env
assert (EchoAction, EchoEnv) == (echo_env.EchoAction, echo_env.EchoEnv)
assert EchoEnvironment is echo_env.server.echo_environment.EchoEnvironment
assert PyExecEnv is python_exec_env.PyExecEnv
assert pickle.loads(pickle.dumps(EchoAction(message="hi"))) == EchoAction(message="hi")
"""


@pytest.mark.parametrize("installed", [True, False])
def test_the_environments_of_this_checkout_are_importable_by_both_names(run, installed):
    libraries = [Path(place) for place in sys.path if place.endswith("site-packages")]
    places = [ROOT / "src", *([ROOT / "envs"] if installed else []), ROOT, *libraries]
    ran = run(REAL, *places)
    assert ran.returncode == 0, ran.stderr
