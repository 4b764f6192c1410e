"""The environments of `openenv.integrations.gymnasium` as what plays for a trainer."""

import math
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

pytest.importorskip("gymnasium", reason="gymnasium is not installed (extra: gymnasium)")

import numpy as np

from openenv.errors import SessionCapacityError
from openenv.integrations.gymnasium import RemoteEnv, RemoteVectorEnv
from openenv.testing import AdapterContract

MOST_AT_ONCE = 16


class TestManyAtOnce(AdapterContract):
    """A vector environment, whose rows are the arguments of its resets."""

    form = "number"
    mode = "NextStep"

    @contextmanager
    def adapter(self, url, budget_s):
        self.envs = None

        def play(rows):
            rewards = []
            for first in range(0, len(rows), MOST_AT_ONCE):
                some = rows[first : first + MOST_AT_ONCE]
                try:
                    self.have(url, budget_s, some)
                    rewards += self.played(self.envs, some)
                except SessionCapacityError:  # those before are not ended yet
                    rewards += [None] * len(some)
            return rewards

        yield play
        self.close()

    def have(self, url, budget_s, rows):
        """Have environments of these rows: those there are, if they are as many, be they from before a restart."""
        if self.envs is not None and self.envs.num_envs == len(rows):
            self.remote(self.envs)._arguments.arguments[:] = [dict(row) for row in rows]
        else:
            self.close()
            self.envs = self.made(url, num_envs=len(rows), arguments=rows, message_timeout_s=budget_s)

    def close(self):
        envs, self.envs = self.envs, None
        if envs is not None:
            envs.close()

    def made(self, url, **options):
        return RemoteVectorEnv(url, autoreset_mode=self.mode, **options)

    def remote(self, envs):
        return envs

    def played(self, envs, rows):
        returns, over = np.zeros(len(rows)), np.zeros(len(rows), bool)
        with np.errstate(all="raise"):
            seen, infos = envs.reset()
            returns[~infos["reward_valid"]] = math.nan
            over |= np.isnan(returns)
            while not over.all():
                seen, rewards, terminations, truncations, infos = envs.step(seen)
                returns[~over] += rewards[~over]
                assert (infos["reward_valid"][~over] == ~np.isnan(rewards[~over])).all()
                over |= terminations | truncations
        return [None if math.isnan(each) else each for each in returns]


class TestManyAtOnceResetInTheSameStep(TestManyAtOnce):
    mode = "SameStep"


class TestManyAtOnceThatAreNotReset(TestManyAtOnce):
    mode = "Disabled"


@pytest.mark.skipif(
    find_spec("stable_baselines3") is None, reason="stable-baselines3 is not installed (extra: sb3)"
)
class TestForStableBaselines3(TestManyAtOnce):
    """The same as a `VecEnv`, which tells the return of an episode that came out well, and of no other."""

    def made(self, url, **options):
        from openenv.integrations.sb3 import RemoteVecEnv

        return RemoteVecEnv(url, **options)

    def remote(self, envs):
        return envs.envs

    def played(self, envs, rows):
        returns, over = [None] * len(rows), np.zeros(len(rows), bool)
        seen = envs.reset()
        over |= [not info["reward_valid"] for info in envs.reset_infos]
        while not over.all():
            seen, _, dones, infos = envs.step(seen)
            for index in np.flatnonzero(dones & ~over):
                returns[index] = infos[index].get("episode", {}).get("r")
            over |= dones
        return returns


class TestOneAfterAnother(AdapterContract):
    """One environment, whose rows are the options of its resets."""

    form = "number"

    @contextmanager
    def adapter(self, url, budget_s):
        env = RemoteEnv(url, faults="truncate", message_timeout_s=budget_s)
        try:
            yield lambda rows: [self.played(env, row) for row in rows]
        finally:
            env.close()

    def played(self, env, row):
        seen, _ = env.reset(options=row)
        total, over = 0.0, False
        while not over:
            seen, reward, terminated, truncated, info = env.step(seen)
            assert info["reward_valid"] != math.isnan(reward)
            total, over = total + reward, terminated or truncated
        return None if math.isnan(total) else total
