"""What plays environments for a model is held to the contract of adapters."""

import asyncio
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from tests.doubles.chat_endpoint import Call, ChatEndpointDouble

from openenv.client import GenericEnvClient
from openenv.evals import Conversation, NamedPolicy, Task, evaluate
from openenv.llm import ChatEndpoint, Patience
from openenv.rollouts import Episodes
from openenv.testing import AdapterContract, next_move

SCHEMA = {"properties": {"text": {"type": "string"}}, "required": ["text"]}


def act(body: dict[str, Any]) -> Any:
    """Play the game of the contract, by a tool if there are tools."""
    move = next_move(body["messages"][-1]["content"])
    if move is None:
        return "I am done"
    return Call(move.tool, {"number": move.number}) if "tools" in body else str(move.number)


@pytest.mark.slow
class TestByTools(AdapterContract):
    form = "tools"
    tools: ClassVar[bool] = True

    @pytest.fixture(autouse=True)
    def _endpoint(self, host):
        server = host.run(ChatEndpointDouble(act))
        self.model_url = server.url
        yield
        server.stop(wait=False)

    @contextmanager
    def adapter(self, url, budget_s):
        with Episodes(url, timeout_s=budget_s, wait_s=budget_s) as episodes:
            yield lambda rows: asyncio.run(self._play(episodes, rows))

    async def _play(self, episodes, rows):
        rewards: dict[int, float | None] = {}
        tasks = [Task("trouble", None, place, dict(row)) for place, row in enumerate(rows)]
        async with ChatEndpoint(self.model_url, patience=Patience(timeout_s=30.0)) as model:
            player = Conversation(model, episodes, SCHEMA, tools=self.tools)
            await evaluate(player, tasks, 8, lambda one: rewards.__setitem__(one.sample, one.reward))
        return [rewards[place] for place in range(len(rows))]


@pytest.mark.slow
class TestByWords(TestByTools):
    form = "text"
    tools = False


def repeat(env, **arguments):
    """Play the game of the contract, as the policies of environments play theirs."""
    result, rewards = env.reset(**arguments), []
    while move := next_move(result.observation["text"]):
        result = env.step({"text": str(move.number)})
        rewards += [] if result.reward is None else [result.reward]
    return sum(rewards) if rewards else None


@pytest.mark.slow
class TestByAPolicy(AdapterContract):
    form = "text"

    @contextmanager
    def adapter(self, url, budget_s):
        player = NamedPolicy(repeat, GenericEnvClient, url, timeout_s=budget_s)
        yield lambda rows: asyncio.run(self._play(player, rows))

    async def _play(self, player, rows):
        rewards: dict[int, float | None] = {}
        tasks = [Task("trouble", None, place, dict(row)) for place, row in enumerate(rows)]
        await evaluate(player, tasks, 8, lambda one: rewards.__setitem__(one.sample, one.reward))
        return [rewards[place] for place in range(len(rows))]
