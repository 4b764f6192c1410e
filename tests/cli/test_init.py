"""`openenv init`: which files, which names, and that nothing is overwritten.

That what it makes installs, serves and passes its own tests is checked in `tests/install`.
"""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from openenv.cli.init import class_prefix, init, render


def run_init(*arguments: str | Path):
    return CliRunner().invoke(init, [str(argument) for argument in arguments])


def test_exactly_the_promised_files_are_made(tmp_path):
    result = run_init("foo_env", "--output-dir", tmp_path)
    assert result.exit_code == 0, result.output
    made = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {
        "foo_env/__init__.py",
        "foo_env/models.py",
        "foo_env/client.py",
        "foo_env/openenv.yaml",
        "foo_env/pyproject.toml",
        "foo_env/Dockerfile",
        "foo_env/README.md",
        "foo_env/.dockerignore",
        "foo_env/server/__init__.py",
        "foo_env/server/app.py",
        "foo_env/server/foo_env_environment.py",
        "foo_env/tests/test_foo_env.py",
    }


@pytest.mark.parametrize("name", ["foo", "foo_env", "tic_tac_toe_env", "game2048"])
def test_every_file_is_whole_and_well_formed(name):
    for place, text in render(name).items():
        assert not re.search(r"\$(?!PATH|\{BASE\})", text), place
        assert "NAME" not in str(place)
        assert text.endswith("\n")
        if place.suffix == ".py":
            ast.parse(text)
    manifest = yaml.safe_load(render(name)[Path("openenv.yaml")])
    project = tomllib.loads(render(name)[Path("pyproject.toml")])
    assert manifest["name"] == name
    assert project["project"]["name"] == f"openenv-{name.replace('_', '-')}"
    assert project["tool"]["setuptools"]["packages"] == [name, f"{name}.server"]


@pytest.mark.parametrize(
    ("package", "prefix"),
    [
        ("echo", "Echo"),
        ("echo_env", "Echo"),
        ("python_exec_env", "PythonExec"),
        ("game2048_env", "Game2048"),
        ("env", "Env"),
        ("environment", "Environment"),
    ],
)
def test_class_names_follow_the_package_name(package, prefix):
    assert class_prefix(package) == prefix
    assert f"class {prefix}Env(EnvClient[{prefix}Action" in render(package)[Path("client.py")]


def test_dashes_become_underscores(tmp_path):
    assert run_init("my-env", "-o", tmp_path).exit_code == 0
    assert (tmp_path / "my_env" / "server" / "my_env_environment.py").is_file()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("MyEnv", "my_env"),
        ("envs/foo", "foo"),
        ("2048", "as in my_env"),
        ("a b", "a_b"),
        ("class", "class_env"),
        ("json", "json_env"),
        ("openenv", "openenv_env"),
    ],
)
def test_a_name_that_cannot_be_a_package_is_refused_with_one_that_can(tmp_path, name, hint):
    result = run_init(name, "-o", tmp_path)
    assert result.exit_code == 2
    assert hint in result.output
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_left_alone(tmp_path):
    (tmp_path / "foo").mkdir()
    (tmp_path / "foo" / "mine.txt").write_text("mine")
    result = run_init("foo", "-o", tmp_path)
    assert result.exit_code == 1
    assert "not empty" in result.output
    assert [path.name for path in (tmp_path / "foo").iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "foo").mkdir()
    assert run_init("foo", "-o", tmp_path).exit_code == 0


def test_the_next_steps_are_told(tmp_path):
    output = run_init("foo", "-o", tmp_path).output
    for step in (f"cd {tmp_path / 'foo'}", "pip install -e '.[dev]'", "pytest", "openenv dev"):
        assert step in output
