"""The OpenEnv taskset that comes with verifiers, unmodified, drives our environments."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.doubles.chat_endpoint import MODEL, ChatEndpointDouble
from tests.integrations.shops import Shop

pytest.importorskip("verifiers.v1", reason="needs verifiers: `make test-verifiers`")

from verifiers.v1.tasksets.openenv import OpenEnvConfig, OpenEnvEnv, OpenEnvTaskset

BIN = Path(sys.executable).parent


def walk(seen: dict[str, Any]) -> str:
    """Return the next step to the goal of the grid world, as a model would write it."""
    if seen["row"] != seen["goal_row"]:
        return "down" if seen["row"] < seen["goal_row"] else "up"
    return "right" if seen["column"] < seen["goal_column"] else "left"


def answer(text: str) -> str:
    """Return what a model answers to what the taskset tells it."""
    told = json.loads(text)
    if "available_tools" in told["action_schema"]:
        (buy,) = told["action_schema"]["available_tools"]
        return json.dumps({"type": "call_tool", "tool_name": buy["name"], "arguments": {"count": 3}})
    move = walk(told["observation"])
    return move if told["observation"]["row"] else f'```json\n{{"move": "{move}"}}\n```'


class Interaction:
    """The model's side of an episode, without a harness around it."""

    def __init__(self) -> None:
        self.rewards: dict[str, float] = {}
        self.turns = 0
        self.trace = SimpleNamespace(record_reward=self.rewards.__setitem__, stop=self.stop)

    def stop(self, reason: str) -> None:
        raise AssertionError(reason)

    async def __aenter__(self) -> "Interaction":
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def turn(self, text: str) -> SimpleNamespace:
        self.turns += 1
        return SimpleNamespace(terminated=False, last_reply=answer(text))


async def played(url: str, **reset: Any) -> Interaction:
    """Let the taskset's own code play an episode."""
    (task,) = OpenEnvTaskset(OpenEnvConfig(id="openenv", base_url=url, resets=[reset])).load()
    interaction = Interaction()
    agents = SimpleNamespace(player=SimpleNamespace(interaction=lambda task: interaction))
    await OpenEnvEnv.run(SimpleNamespace(), task, agents)
    return interaction


@pytest.fixture(scope="module")
def grid_world(host):
    from grid_world_env.server.app import app

    server = host.run(app)
    yield server.url
    server.stop(wait=False)


@pytest.mark.parametrize(("seed", "reward"), [(1, 0.7), (2, 1.0)])
async def test_a_game_is_played_to_its_end(grid_world, seed, reward):
    interaction = await played(grid_world, seed=seed)
    assert interaction.rewards == {"openenv_reward": pytest.approx(reward)}


async def test_tools_are_listed_before_the_reset_and_called(shared):
    interaction = await played(shared(Shop).url)
    assert interaction.rewards == {"openenv_reward": 1.0}
    assert interaction.turns == 1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv", path=str(BIN)) is None, reason="its harness wants uv")
def test_its_own_command_evaluates_a_model(grid_world, host, tmp_path):
    def say(body: dict[str, Any]) -> str:
        content = next(m["content"] for m in reversed(body["messages"]) if m["role"] == "user")
        return answer(content if isinstance(content, str) else "".join(part["text"] for part in content))

    endpoint = host.run(ChatEndpointDouble(say))
    (tmp_path / "eval.toml").write_text(
        f'model = "{MODEL}"\npush = false\n[client]\nbase_url = "{endpoint.url}/v1"\n'
        f'[env.taskset]\nid = "openenv"\nbase_url = "{grid_world}"\nresets = [{{seed = 1}}, {{seed = 2}}]\n'
    )
    player = ["--env.player.harness.id", "null", "--env.player.runtime.type", "subprocess"]
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", "")])
    ran = subprocess.run(
        [BIN / "vf-eval", "openenv", "@", "eval.toml", *player, "--run.name", "grid"],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        capture_output=True,
        text=True,
        timeout=180,
    )
    endpoint.stop(wait=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = (tmp_path / "outputs" / "grid" / "traces.jsonl").read_text().splitlines()
    traces = [trace for line in lines for trace in json.loads(line)["traces"]]
    assert sorted(trace["rewards"]["openenv_reward"]["score"] for trace in traces) == pytest.approx([0.7, 1.0])
