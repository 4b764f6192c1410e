"""The ways in which examples of ART, torchforge, Unsloth, Oumi and Axolotl call environments, on our clients.

What a library is needed for is a stand-in with its signatures; ART's own classes are used where it is installed.
"""

import asyncio
import importlib
import importlib.util
import inspect
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from tests.integrations import art_stand_in
from tests.toys import Counter

from blackjack_env import BlackjackAction, BlackjackEnv
from blackjack_env.policies import best
from openenv.rollouts import Episodes

HAS_ART = importlib.util.find_spec("art") is not None
EXAMPLES = Path(__file__).parents[2] / "examples" / "trainers"


@pytest.fixture(scope="module")
def blackjack(host):
    from blackjack_env.server.app import app

    server = host.run(app)
    yield server.url
    server.stop(wait=False)


@pytest.fixture
def examples(monkeypatch):
    """Make the examples importable, and forget them afterwards."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield importlib.import_module
    for path in EXAMPLES.glob("*.py"):
        sys.modules.pop(path.stem, None)


# --- torchforge: blocking calls inside a running loop --------------------------------------------


class Policy:
    """Generates, as torchforge's policy actor does: by `await policy.generate.route(prompt)`."""

    def __init__(self) -> None:
        self.generate = SimpleNamespace(route=self._route)

    async def _route(self, prompt: str) -> list[Any]:
        await asyncio.sleep(0)
        return [SimpleNamespace(text="stand")]


class RewardActor:
    """Stands in for a `ForgeActor` whose endpoint grades a response by an environment."""

    def __init__(self, url: str) -> None:
        self.env = BlackjackEnv(base_url=url)  # as its example does: neither entered nor awaited

    async def evaluate_response(self, prompt: str, response: str, target: str) -> float:
        self.env.reset(seed=int(target))
        return self.env.step(BlackjackAction(move=response)).reward

    async def shut_down(self) -> None:
        await self.env.close()


async def test_torchforge_steps_blocking_inside_a_running_loop(blackjack):
    policy, actors = Policy(), [RewardActor(blackjack) for _ in range(3)]

    async def grade(actor: RewardActor, seed: int) -> float:
        observation = actor.env.reset(seed=seed).observation
        (completion,) = await policy.generate.route(observation.text)
        return await actor.evaluate_response(observation.text, completion.text, str(seed))

    graded = await asyncio.gather(*(grade(actor, seed) for seed, actor in enumerate(actors)))
    with BlackjackEnv(base_url=blackjack) as env:
        for seed, reward in enumerate(graded):
            env.reset(seed=seed)
            assert env.step(BlackjackAction(move="stand")).reward == reward
    await asyncio.gather(*(actor.shut_down() for actor in actors))


# --- ART -----------------------------------------------------------------------------------------


class Model:
    """Stands in for `art.Model`: names a model and gives a client of OpenAI's API."""

    def __init__(self, fails_at: str = "") -> None:
        self._fails_at = fails_at
        self.calls = 0

    def get_inference_name(self) -> str:
        return "scripted"

    def openai_client(self) -> Any:
        return SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=self._create)))

    async def _create(self, *, model: str, messages: list[Any], tools: list[Any]) -> Any:
        self.calls += 1
        assert model == "scripted"
        seen = messages[-1]["content"]
        if self._fails_at and self._fails_at in seen:
            raise ConnectionError("the endpoint is gone")
        if self.calls == 1:
            return _completion("Let me think.")
        if not seen.startswith("{"):  # it was told to call the tool
            seen = next(one["content"] for one in messages if one["role"] == "user")
        observation = SimpleNamespace(**json.loads(seen))
        return _completion(None, tools[0]["function"]["name"], json.dumps({"move": best(observation)}))


def _completion(text: str | None, name: str = "", arguments: str = "") -> Any:
    call = {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}
    message = {"role": "assistant", "content": text, "tool_calls": [call] if name else None}
    if HAS_ART:
        from openai.types.chat.chat_completion import Choice

        choice = Choice.model_validate({"finish_reason": "stop", "index": 0, "message": message})
        return SimpleNamespace(choices=[choice])
    calls = [SimpleNamespace(id="c", function=SimpleNamespace(name=name, arguments=arguments))] if name else None
    said = SimpleNamespace(content=text, tool_calls=calls, as_message=lambda: message)
    return SimpleNamespace(choices=[SimpleNamespace(message=said)])


@pytest.fixture
def art_example(examples, monkeypatch):
    if not HAS_ART:
        monkeypatch.setitem(sys.modules, "art", art_stand_in.as_module())
    return examples("art_blackjack")


async def test_art_gathers_a_trajectory_for_each_rollout(art_example, blackjack):
    with Episodes(blackjack) as episodes:
        groups = await art_example.gather(Model(), episodes, range(4), 3)
    assert [len(group.trajectories) for group in groups] == [3] * 4, groups[0].exceptions
    rewards = [{one.reward for one in group.trajectories} for group in groups]
    assert all(len(group) == 1 for group in rewards)  # the deal is that of the seed
    assert {reward for group in rewards for reward in group} <= {-1.0, 0.0, 1.0}
    one = groups[0].trajectories[0]
    assert one.metrics["turns"] >= 1
    assert one.messages()[-1]["role"] == "tool"


async def test_what_breaks_is_an_exception_of_arts_group_and_no_trajectory(art_example, shared):
    with Episodes(shared(Counter).url, timeout_s=5.0) as episodes:
        with pytest.raises(Exception, match=r".") as told:  # it takes other actions than the model plays
            await art_example.rollout(Model(), art_example.Scenario(0), episodes, max_turns=2)
        assert "reward" not in vars(told.value)
    with Episodes("http://127.0.0.1:1", wait_s=0.1) as episodes, pytest.raises(RuntimeError):
        await art_example.rollout(Model(), art_example.Scenario(0), episodes)


# --- Unsloth: a strategy for 2048 ----------------------------------------------------------------

GOOD = """Here it is:
```python
def strategy(board):
    flipped = [list(column) for column in zip(*board)]
    for move, lines in (("A", board), ("W", flipped)):
        for line in lines:
            tiles = [tile for tile in line if tile]
            if line[: len(tiles)] != tiles or any(a == b for a, b in zip(tiles, tiles[1:])):
                return move
    return "D"
```"""


@pytest.mark.skipif(sys.platform != "linux", reason="workspaces are of Linux")
def test_unsloth_rewards_strategies_by_what_they_score_under_a_time_limit(examples, host):
    from game2048_env.server.app import app

    server = host.run(app)
    reward = examples("unsloth_2048").StrategyReward(server.url, seconds=2.0)
    completions = [
        [{"role": "assistant", "content": text}]
        for text in (
            GOOD,
            "```python\ndef strategy(board):\n    while True: pass\n```",
            "```python\ndef strategy(board):\n    return 'X'\n```",
            "```python\ndef strategy(board:\n```",
            "I would move left.",
            "```python\nimport os\ndef strategy(board):\n    os._exit(0)\n```",
            GOOD,
        )
    ]
    rewards = reward(completions=completions, prompts=["p"] * 7, seed=[3] * 7)
    reward.episodes.close()
    server.stop(wait=False)
    assert rewards[1:6] == [-1.0, -1.0, -1.0, -2.0, -1.0]
    assert rewards[0] == rewards[6] > 0  # the seed is the same


def test_a_strategy_whose_environment_breaks_has_no_reward(examples):
    reward = examples("unsloth_2048").StrategyReward("http://127.0.0.1:1")
    reward.episodes._pool._wait_s = 0.1
    assert reward(completions=[GOOD, "no code"], prompts=["p"] * 2) == [None, -2.0]


# --- Axolotl and Oumi: names in a configuration --------------------------------------------------


def resolved(name: str) -> Any:
    """Return what a dotted name means, in the way of Axolotl's `GRPOStrategy.get_rollout_func`."""
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    assert callable(found)
    return found


@pytest.fixture
def rollouts(examples, blackjack, monkeypatch):
    monkeypatch.setenv("BLACKJACK_URL", blackjack)
    module = examples("rollouts")
    yield module
    module.play.close()
    module._episodes.close()


def test_axolotl_resolves_the_names_of_its_configuration(rollouts):
    trl = yaml.safe_load((EXAMPLES / "axolotl.yaml").read_text())["trl"]
    function = resolved(trl["rollout_func"])
    assert list(inspect.signature(function).parameters) == ["prompts", "trainer"]
    (name,) = trl["reward_funcs"]
    assert len(inspect.signature(resolved(name)).parameters) >= 2  # which Axolotl asks for


class Registry:
    """Stands in for Oumi's: `@register(name, RegistryType.ROLLOUT_FUNCTION)`."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Any] = {}

    def register(self, name: str, kind: str) -> Any:
        return lambda value: self.known.setdefault((name, kind), value)


class Tokenizer:
    """Stands in for a tokenizer: a token is the place of a character."""

    def decode(self, ids: list[int], skip_special_tokens: bool = False) -> str:
        return "".join(map(chr, ids))


def test_oumi_registers_a_function_that_plays_by_what_a_server_generates(examples, blackjack, host, monkeypatch):
    registry = Registry()
    fake = SimpleNamespace(register=registry.register, RegistryType=SimpleNamespace(ROLLOUT_FUNCTION="rollout"))
    for name in ("oumi", "oumi.core", "oumi.core.registry"):
        monkeypatch.setitem(sys.modules, name, fake)
    monkeypatch.setenv("BLACKJACK_URL", blackjack)
    module = examples("rollouts")
    name = yaml.safe_load((EXAMPLES / "oumi.yaml").read_text())["training"]["grpo"]["rollout_function"]
    function = registry.known[name, "rollout"]
    said = ["I stand", "hit me", "stand"]
    made = {
        "prompt_ids": [[1]] * 3,
        "completion_ids": [list(map(ord, text)) for text in said],
        "logprobs": [[-0.1] * len(text) for text in said],
    }
    generator = host.run(_Generator(made))
    args = SimpleNamespace(vllm_server_base_url=generator.url, max_completion_length=8)
    rows = function(["p", [{"role": "user", "content": "q"}], "r"], args, Tokenizer())
    generator.stop(wait=False)
    assert rows["completion_ids"] == made["completion_ids"]  # as they were generated, not encoded again
    assert rows["env_reward"][1] == -1.0  # who always hits loses
    assert set(rows["env_reward"]) <= {-1.0, 0.0, 1.0}
    seen = []
    monkeypatch.setattr(module, "play", lambda prompts, trainer: seen.append(trainer) or {})
    assert function(["p"], "trainer") == {}  # since TRL 1.0
    assert seen == ["trainer"]
    module._episodes.close()


class _Generator:
    """Stands in for TRL's vLLM server: `POST /generate/`."""

    def __init__(self, made: dict[str, Any]) -> None:
        self._made = made

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                await send({"type": (await receive())["type"] + ".complete"})
            return
        assert (scope["method"], scope["path"]) == ("POST", "/generate/")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(self._made).encode()})
