"""The contract lets good environments pass, whatever their shape, and catches each promise that is broken."""

import mmap
import random
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.testing import counting
from tests.testing.counting import Add, Count, Counting

from openenv.environment import Environment
from openenv.errors import ConfigurationError
from openenv.models import Action, Observation, State
from openenv.testing import EnvironmentContract, EnvironmentMemoryContract


def failing(environment: Any, contract: type = EnvironmentContract, **settings: Any) -> set[str]:
    """Return which tests of the contract an environment fails; those that are skipped count as passed."""
    settings = {"environment": environment, "actions": (Add(amount=1),), **settings}
    inherited = type("TestIt", (contract,), settings)
    failed = set()
    for name in dir(inherited):
        if name.startswith("test_"):
            try:
                getattr(inherited(), name)()
            except pytest.skip.Exception:
                pass
            except (Exception, pytest.fail.Exception):
                failed.add(name)
    return failed


@pytest.mark.parametrize(
    "environment",
    [
        Counting,
        counting.Async,
        counting.OnOneThread,
        counting.Alone,
        counting.Unseeded,
        counting.Drawing,
        lambda: Counting(),
    ],
)
def test_a_good_environment_passes(environment):
    assert failing(environment) == set()


def test_actions_are_made_up_where_none_are_given():
    assert failing(Counting, actions=()) == set()


def test_what_is_legal_may_depend_on_what_was_seen():
    class Picky(Counting):
        def step(self, action: Add) -> Count:
            if action.amount != self.total + 1:
                raise ValueError("not what is wanted")
            return super().step(action)

    class TestPicky(EnvironmentContract):
        def choose_action(self, step, result):
            return Add(amount=result.observation.total + 1)

    assert "test_the_state_follows_the_episode" in failing(Picky)
    assert failing(Picky, TestPicky) == set()


class SharesItsTotal(Counting):
    total = 0

    def reset(self, seed: int | None = None, episode_id: str | None = None) -> Count:
        type(self).total = 0
        return super().reset(seed, episode_id)

    def step(self, action: Add) -> Count:
        type(self).total += action.amount
        self.total = type(self).total
        return super().step(action)


class ForgetsItsSeed(Counting):
    def answer(self) -> Count:
        return super().answer().model_copy(update={"drawn": random.random()})


class LeavesItsSeedAside(Counting):
    def reset(self, seed: int | None = None, episode_id: str | None = None) -> Count:
        return super().reset(1, episode_id)


class DoesNotCount(Counting):
    @property
    def state(self) -> State:
        return State(episode_id=self._state.episode_id, step_count=0)


class HasOneId(Counting):
    @property
    def state(self) -> State:
        return State(episode_id="always", step_count=self._state.step_count)


class TakesNoId(Counting):
    def reset(self, seed: int | None = None, episode_id: str | None = None) -> Count:
        return super().reset(seed)


class Stamped(Observation):
    when: Any


class SendsWhatComesBackAsSomethingElse(Counting):
    def reset(self, seed: int | None = None, episode_id: str | None = None) -> Stamped:
        super().reset(seed, episode_id)
        return Stamped(when=datetime(2026, 1, 1, tzinfo=UTC))

    def step(self, action: Add) -> Stamped:
        return Stamped(when=datetime(2026, 1, 1, tzinfo=UTC), done=super().step(action).done)


class KeepsItsTypeToItself(Counting):
    def answer(self) -> Stamped:
        return Stamped(when=1, done=self.total >= 5)


class ClosesOnce(Counting):
    closed = False

    def close(self) -> None:
        assert not self.closed
        self.closed = True


class StepsOnATypeError(Counting):
    def step(self, action: Add) -> Count:
        raise TypeError


@pytest.mark.parametrize(
    ("environment", "caught_by"),
    [
        (SharesItsTotal, "test_sessions_share_nothing_or_there_is_only_one"),
        (ForgetsItsSeed, "test_the_same_seed_gives_the_same_episode_or_the_seed_is_not_taken"),
        (LeavesItsSeedAside, "test_some_of_several_seeds_give_different_episodes"),
        (DoesNotCount, "test_the_state_follows_the_episode"),
        (HasOneId, "test_the_state_follows_the_episode"),
        (TakesNoId, "test_an_episode_has_the_id_it_was_given_or_says_so"),
        (KeepsItsTypeToItself, "test_reset_and_step_return_observations_of_the_declared_type"),
        (ClosesOnce, "test_close_may_be_called_at_any_time_and_again"),
        (StepsOnATypeError, "test_reset_and_step_return_observations_of_the_declared_type"),
    ],
)
def test_a_broken_promise_is_caught(environment, caught_by):
    assert caught_by in failing(environment)


def test_a_value_that_comes_back_as_another_is_caught():
    failed = failing(SendsWhatComesBackAsSomethingElse)
    assert "test_everything_survives_the_wire" in failed


def test_a_payload_that_should_be_refused_and_is_not_is_caught():
    assert failing(Counting, bad_actions=({"amount": 1},)) == {"test_a_bad_action_is_refused_and_changes_nothing"}


def test_fields_that_differ_from_run_to_run_can_be_named():
    nothing_else = "All that is drawn is volatile."
    assert failing(ForgetsItsSeed, volatile=("drawn",), seed_changes_nothing=nothing_else) == set()


def test_that_a_seed_changes_nothing_can_be_said():
    assert failing(LeavesItsSeedAside, seed_changes_nothing="It has one task.") == set()


def test_an_episode_without_end_is_no_failure():
    class Endless(Counting):
        def answer(self) -> Count:
            return super().answer().model_copy(update={"done": False})

    assert failing(Endless, longest_episode=10) == set()


def test_memory_that_grows_is_caught():
    class Hoards(Counting):
        hoard: list[bytes] = []  # noqa: RUF012 - that is what is wrong with it

        def reset(self, seed: int | None = None, episode_id: str | None = None) -> Count:
            self.hoard.append(b"x" * 5000)
            return super().reset(seed, episode_id)

    assert failing(Counting, EnvironmentMemoryContract, episodes=30) == set()
    assert failing(Hoards, EnvironmentMemoryContract, episodes=30) != set()


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is told by Linux")
def test_memory_that_grows_and_is_no_object_of_python_is_caught():
    class Maps(Counting):
        hoard: list[mmap.mmap] = []  # noqa: RUF012 - that is what is wrong with it

        def reset(self, seed: int | None = None, episode_id: str | None = None) -> Count:
            self.hoard.append(mmap.mmap(-1, 4 * 2**20))
            for page in range(0, 4 * 2**20, mmap.PAGESIZE):
                self.hoard[-1][page] = 1  # so that it is there
            return super().reset(seed, episode_id)

    assert failing(Maps, EnvironmentMemoryContract, episodes=40) != set()
    for each in Maps.hoard:
        each.close()


def test_an_environment_that_is_not_given_is_asked_for():
    with pytest.raises(pytest.fail.Exception, match="must set environment"):
        EnvironmentContract().test_its_types_have_schemas()


class Hashed(Action):
    digest: bytes


class TakesWhatCannotBeMadeUp(Environment[Hashed, Count, State]):
    def reset(self) -> Count:
        return Count(total=0)

    def step(self, action: Hashed) -> Count:
        return Count(total=1)

    @property
    def state(self) -> State:
        return State()


def test_actions_that_cannot_be_made_up_are_asked_for():
    contract = type("TestIt", (EnvironmentContract,), {"environment": TakesWhatCannotBeMadeUp})
    with pytest.raises(ConfigurationError, match="set `actions`"):
        contract().test_everything_survives_the_wire()
