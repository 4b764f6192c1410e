"""`openenv eval`, as a command, against a double of a model's endpoint."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.doubles.chat_endpoint import Call, ChatEndpointDouble, Mishap

from openenv.cli.main import cli
from openenv.evals import Conversation

ROOT = Path(__file__).parents[2]


def run(*arguments):
    return CliRunner().invoke(cli, ["eval", *map(str, arguments)])


@pytest.fixture
def endpoint(host):
    made = []

    def start(say):
        made.append(host.run(ChatEndpointDouble(say)))
        return made[-1].url

    yield start
    for server in made:
        server.stop(wait=False)


def walk(body):
    """Walk the grid world the shortest way."""
    seen = json.loads(body["messages"][-1]["content"])
    if seen["row"] != seen["goal_row"]:
        return Call("grid_world", {"move": "down" if seen["row"] < seen["goal_row"] else "up"})
    return Call("grid_world", {"move": "right" if seen["column"] < seen["goal_column"] else "left"})


@pytest.fixture(scope="module")
def grid_world(host):
    from grid_world_env.server.app import app

    server = host.run(app)
    yield server.url
    server.stop(wait=False)


def test_a_model_plays_and_the_report_is_a_table_and_figures(grid_world, endpoint):
    ran = run(grid_world, "--model", endpoint(walk), "--seeds", "0-3", "--k", 1, "--k", 2, "--success-at", 0.8)
    assert ran.exit_code == 0, ran.output
    lines = ran.stdout.splitlines()
    assert lines[0].split() == ["ENVIRONMENT", "SEED", "EPISODES", "REWARD", "SUCCESS", "TURNS", "OUTCOME"]
    assert lines[1].split() == ["grid_world_env", "0", "2", "0.7", "0/2", "4", "terminated", "2"]
    assert "success   0.5 (95 %: 0.15 to 0.85), of reward 0.8 or more" in lines
    assert {"pass@1    0.5, over 4 of 4 seeds", "pass@2    0.5, over 4 of 4 seeds"} <= set(lines)
    assert "8/8" in ran.stderr  # how far it is


def test_for_programs_it_is_json(grid_world, endpoint, tmp_path):
    kept = tmp_path / "said.jsonl"
    ran = run(grid_world, "--model", endpoint(walk), "--episodes", 4, "--json", "--transcripts", kept)
    assert ran.exit_code == 0
    told = json.loads(ran.stdout)
    assert told["model"] == "scripted"
    assert told["summary"]["grid_world_env"]["reward"]["value"] == pytest.approx(0.8)
    assert [one["seed"] for one in sorted(told["episodes"], key=lambda one: one["seed"])] == [0, 1, 2, 3]
    talks = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [talk["messages"][0]["role"] for talk in talks] == ["system"] * 4


def test_if_some_episodes_break_the_status_is_1_and_they_are_left_out(grid_world, endpoint):
    def say(body):
        lost = json.loads(body["messages"][-1]["content"])["row"] == 4
        return Mishap(401, b'{"error": "who are you"}') if lost else walk(body)

    ran = run(grid_world, "--model", endpoint(say), "--seeds", "0-9", "--tools", "on")
    assert ran.exit_code == 1
    assert "endpoint_refused" in ran.stdout
    assert "who are you" in ran.stdout


def test_if_all_break_or_nobody_is_there_the_status_is_2(grid_world, endpoint, host):
    ran = run(grid_world, "--model", endpoint(lambda body: Mishap(401, b"no")), "--model-name", "m")
    assert ran.exit_code == 2
    gone = host.run(ChatEndpointDouble(walk))
    gone.stop()
    ran = run(grid_world, "--model", gone.url)
    assert ran.exit_code == 2
    assert "cannot be reached" in ran.stderr
    assert run("http://127.0.0.1:1", "--policy", "random").exit_code == 2


def test_what_was_played_is_told_also_if_the_run_ends_with_what_nobody_expected(grid_world, endpoint, monkeypatch):
    played = Conversation.play

    async def play(self, task):
        if task.seed == 2:
            raise LookupError("on purpose")
        return await played(self, task)

    monkeypatch.setattr(Conversation, "play", play)
    asked = (grid_world, "--model", endpoint(walk), "--seeds", "0-9", "--concurrency", 1)
    ran = run(*asked)
    assert (ran.exit_code, str(ran.exception)) == (1, "on purpose")
    assert "over 2 of 2 seeds" in ran.stdout
    assert [one["seed"] for one in json.loads(run(*asked, "--json").stdout)["episodes"]] == [0, 1]


def test_what_was_played_is_told_also_if_the_next_environment_cannot_be(grid_world):
    ran = run(grid_world, "http://127.0.0.1:1", "--policy", "random", "--episodes", 2)
    assert ran.exit_code == 1
    assert "over 2 of 2 seeds" in ran.stdout
    assert "127.0.0.1:1" in ran.stderr


def test_a_key_comes_from_a_variable_and_is_not_shown(grid_world, host, monkeypatch):
    double = ChatEndpointDouble(walk)
    server = host.run(double)
    monkeypatch.setenv("MY_KEY", "s3cret")
    ran = run(grid_world, "--model", server.url, "--api-key-env", "MY_KEY", "--episodes", 1)
    server.stop(wait=False)
    assert (ran.exit_code, set(double.keys)) == (0, {"Bearer s3cret"})
    assert "s3cret" not in ran.output
    ran = run(grid_world, "--model", server.url, "--api-key-env", "NO_SUCH_KEY")
    assert ran.exit_code == 2
    assert "NO_SUCH_KEY" in ran.stderr


def test_a_folder_is_served_for_as_long_as_it_takes():
    ran = run(ROOT / "envs" / "grid_world_env", "--policy", "oracle", "--seeds", "0-1")
    assert ran.exit_code == 0, ran.output
    assert "0.7" in ran.stdout


def test_chance_and_policies_play_too(grid_world):
    assert "truncated" in run(grid_world, "--policy", "grid_world_env.policies:null", "--episodes", 2).stdout
    assert run(grid_world, "--policy", "random", "--episodes", 2).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--model URL, or --policy NAME"),
        (["--model", "x", "--policy", "random"], "--model URL, or --policy NAME"),
        (["--policy", "random", "--seeds", "3-1"], "no seed"),
        (["--policy", "random", "--seeds", "a"], "no list of seeds"),
        (["--policy", "random", "--reset", "seed"], "KEY=VALUE"),
        (["--policy", "oracle"], "package.policies:oracle"),
        (["--policy", "grid_world_env.policies:nope"], "no policy 'nope'; it has null, oracle."),
        (["--policy", "no_such_env.policies:oracle"], "no policies to import"),
        (["--model", "ftp://x"], "no address"),
    ],
)
def test_what_cannot_be_played_is_said(grid_world, arguments, told):
    ran = run(grid_world, *arguments)
    assert ran.exit_code == 2
    assert told in ran.stderr
