"""The contract lets an honest player pass, in every form, and catches each promise that is broken."""

import asyncio
from contextlib import contextmanager, suppress

import pytest

from openenv.client import EnvPool, GenericEnvClient
from openenv.errors import OpenEnvError
from openenv.testing import AdapterContract, next_move

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("trouble")]


def as_tools(env, move):
    env.call_tool(move.tool, number=move.number)
    return env.last_result


def as_text(env, move):
    return env.step({"text": str(move.number)})


class Honest(AdapterContract):
    """Plays one row after another."""

    act = staticmethod(as_tools)

    @contextmanager
    def adapter(self, url, budget_s):
        with EnvPool(GenericEnvClient, [url], wait_s=budget_s, message_timeout_s=budget_s, reuse=False) as pool:
            yield lambda rows: [self.play_one(pool, row) for row in rows]

    def play_one(self, pool, row):
        try:
            with pool.lease() as env:
                return self.episode(env, row)
        except OpenEnvError:
            return None

    def episode(self, env, row):
        result, rewards = env.reset(**row), []
        while move := next_move(str(result.observation)):
            result = self.act(env, move)
            if not result.outcome.reward_valid and result.done:
                return None
            rewards.append(result.reward)
        graded = [reward for reward in rewards if reward is not None]
        return sum(graded) if graded else None


class TestTools(Honest):
    pass


class TestText(Honest):
    form = "text"
    act = staticmethod(as_text)
