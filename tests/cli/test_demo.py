"""`openenv demo` on the real environments of the checkout."""

import re
from dataclasses import replace

import click
import pytest

from openenv.cli import demo

pytestmark = pytest.mark.usefixtures("clean_imports")


@pytest.mark.slow
def test_the_demo_plays_both_environments_and_shows_every_step(run_openenv, tmp_path):
    ran = run_openenv("demo", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = re.findall(r"^(\w+) +(\d) .* ([+-]\d\.\d) ", ran.stdout, re.MULTILINE)
    assert rows == [
        ("echo_env", "1", "+1.3"),
        ("echo_env", "1", "+1.0"),
        ("echo_env", "2", "+0.9"),
        ("python_exec_env", "1", "+1.0"),
        ("python_exec_env", "1", "+1.0"),
        ("python_exec_env", "1", "-0.5"),
        ("python_exec_env", "2", "-0.5"),
        ("python_exec_env", "2", "-1.0"),
    ]
    assert "8 steps, 4 episodes, 2 servers" in ran.stdout
    assert "done" in ran.stdout  # the progress display's last word, printed once where there is no terminal


def test_an_unexpected_reward_fails_the_demo():
    act = demo.echo()
    wrong = [[act.episodes[0][0]._replace(reward=5.0)]]
    with pytest.raises(click.ClickException, match=r"gave 'Hello, World!' the reward 1\.3, not 5\.0"):
        list(demo.play(replace(act, episodes=wrong)))


def test_a_missing_environment_says_what_to_install():
    with pytest.raises(click.ClickException, match="pip install -e envs/no_such_env"):
        demo._import("no_such_env")
