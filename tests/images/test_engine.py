"""Engines that are not there, and what builders write."""

import pytest
from click.testing import CliRunner

from openenv.cli.main import cli
from openenv.errors import ConfigurationError, EngineUnavailableError
from openenv.images.engine import _Steps, find_engine


@pytest.fixture
def nothing_installed(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


def test_without_an_engine_it_is_said_what_to_install(nothing_installed):
    with pytest.raises(EngineUnavailableError, match=r"docker is not installed; podman is not installed"):
        find_engine()


def test_only_the_engine_that_was_asked_for_is_looked_for(nothing_installed):
    with pytest.raises(EngineUnavailableError) as caught:
        find_engine("podman")
    assert "docker is not" not in str(caught.value)


def test_an_engine_that_nobody_knows_is_refused():
    with pytest.raises(ConfigurationError, match="docker and podman"):
        find_engine("rkt")


def test_an_engine_that_is_down_is_told_with_its_own_words(monkeypatch, tmp_path):
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\necho 'Cannot connect to the daemon.' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(EngineUnavailableError, match="Cannot connect to the daemon"):
        find_engine("docker")


def test_the_command_ends_with_the_reason(nothing_installed, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    result = CliRunner().invoke(cli, ["build", str(tmp_path)])
    assert result.exit_code == 1
    assert "Install Docker or Podman" in result.output


def test_a_build_argument_without_a_value_is_refused(tmp_path):
    result = CliRunner().invoke(cli, ["build", str(tmp_path), "--build-arg", "BASE"])
    assert result.exit_code == 2
    assert "NAME=VALUE" in result.output


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Step 3/9 : RUN pip   install .", "  [3/9] RUN pip install ."),
        ("[1/2] STEP 2/4: COPY . .", "  [2/4] COPY . ."),
        ("#7 [build 3/5] RUN pip install .", "  [build 3/5] RUN pip install ."),
        ("#5 [2/3] RUN true", "  [2/3] RUN true"),
    ],
)
def test_the_steps_of_every_builder_are_told_once(line, told):
    heard: list[str] = []
    steps = _Steps(heard.append, verbose=False)
    for each in (line, "#7 0.231 Collecting fastapi", "Step 4/9 : LABEL a=b", line):
        steps.take(each)
    assert heard == [told]
