"""`echo_env` and `envs.echo_env` are one package under two names, installed or not, whichever comes first."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SAME = """
import importlib, sys
for name in ("models", "client", "server.echo_environment", "server.app"):
    assert importlib.import_module(f"envs.echo_env.{name}") is importlib.import_module(f"echo_env.{name}"), name
from envs.echo_env import EchoAction, EchoEnv
import envs.echo_env, echo_env
assert envs.echo_env is echo_env
assert (EchoAction, EchoEnv) == (echo_env.EchoAction, echo_env.EchoEnv)
assert echo_env.__name__ == echo_env.__spec__.name == "echo_env"
assert EchoAction.__module__ == "echo_env.models"
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a program that sees the framework, the given places, and no installed environment."""

    def run(program: str, *places: Path) -> "subprocess.CompletedProcess[str]":
        path = [str(place) for place in (ROOT / "src", *places)]
        # -S leaves out what `pip install -e` put into site-packages; its libraries are added back by hand.
        libraries = [entry for entry in sys.path if entry.endswith("site-packages")]
        start = f"import sys; sys.path[:0] = {path!r}; sys.path += {libraries!r}\n"
        return subprocess.run(
            [sys.executable, "-I", "-S", "-W", "error", "-c", start + program],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.mark.parametrize("first", ["echo_env", "envs.echo_env", "envs.echo_env.server.echo_environment"])
def test_installed_from_the_checkout_both_names_give_the_same_modules(run, first):
    ran = run(f"import {first}\n{SAME}", ROOT / "envs", ROOT)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("first", ["envs", "envs.echo_env.models", "envs.python_exec_env"])
def test_not_installed_both_names_give_the_same_modules(run, first):
    ran = run(f"import {first}\n{SAME}", ROOT)
    assert ran.returncode == 0, ran.stderr


def test_one_environment_may_be_installed_and_another_not(run, tmp_path):
    (tmp_path / "echo_env").symlink_to(ROOT / "envs" / "echo_env")
    program = "from envs.python_exec_env import PyExecEnv\nimport python_exec_env\n"
    ran = run(f"{program}assert python_exec_env.PyExecEnv is PyExecEnv\n{SAME}", tmp_path, ROOT)
    assert ran.returncode == 0, ran.stderr


def test_a_copy_that_is_installed_is_used_and_that_is_told(run, tmp_path):
    copy = tmp_path / "echo_env"
    copy.mkdir()
    (copy / "__init__.py").write_text("copied = True\n")
    ran = run("import envs.echo_env", tmp_path, ROOT)
    assert "pip install -e" in ran.stderr
    ran = run("import warnings; warnings.simplefilter('ignore')\nimport envs.echo_env as e; print(e.copied)", tmp_path, ROOT)
    assert ran.stdout == "True\n"


@pytest.mark.parametrize("name", ["envs.no_such_env", "envs.echo_env.nothing", "envs.echo_env.models.nothing"])
def test_what_is_not_there_is_missed_under_the_name_that_was_asked_for(run, name):
    ran = run(f"import importlib.util, {name}", ROOT)
    assert f"ModuleNotFoundError: No module named '{name}'" in ran.stderr


def test_an_environment_that_needs_something_else_says_what(run, tmp_path):
    envs = tmp_path / "checkout" / "envs"
    (envs / "needy_env").mkdir(parents=True)
    (envs / "__init__.py").write_text((ROOT / "envs" / "__init__.py").read_text())
    (envs / "needy_env" / "__init__.py").write_text("import a_library_nobody_has\n")
    ran = run("import envs.needy_env", envs.parent)
    assert "No module named 'a_library_nobody_has'" in ran.stderr


def test_a_second_import_of_envs_leaves_one_finder(run):
    program = (
        "import sys, envs\nbefore = len(sys.meta_path)\n"
        "del sys.modules['envs']\nimport envs\nassert len(sys.meta_path) == before\n"
    )
    ran = run(program + SAME, ROOT)
    assert ran.returncode == 0, ran.stderr


def test_an_instance_can_be_pickled_under_either_name(run):
    program = (
        "import pickle\nfrom envs.echo_env import EchoAction\n"
        "action = pickle.loads(pickle.dumps(EchoAction(message='hi')))\nassert action == EchoAction(message='hi')\n"
    )
    ran = run(program, ROOT)
    assert ran.returncode == 0, ran.stderr
