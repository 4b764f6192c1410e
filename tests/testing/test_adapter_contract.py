"""The contract lets an honest player pass, in every form, and catches each promise that is broken."""

from contextlib import contextmanager

import pytest

from openenv.rollouts import Episodes, text_of
from openenv.testing import AdapterContract, next_move

pytestmark = pytest.mark.slow


class Honest(AdapterContract):
    """Plays all rows of a batch at once, by what the project's own adapters are made of."""

    def act(self, episode, move):
        return episode.call_tool(move.tool, {"number": move.number})

    def told(self, turn):
        return text_of(turn.observation)

    @contextmanager
    def adapter(self, url, budget_s):
        with Episodes(url, timeout_s=budget_s, wait_s=budget_s) as episodes:
            yield lambda rows: self.play(episodes, rows)

    def play(self, episodes, rows):
        begun = [episodes.begin(**row) for row in rows]
        playing = [(episode, reset.result()) for episode, reset in begun]
        while playing:
            moves = [(episode, next_move(self.told(turn))) for episode, turn in playing]
            acts = [(episode, self.act(episode, move)) for episode, move in moves if move]
            playing = [(episode, act.result()) for episode, act in acts]
        for episode, _ in begun:
            episode.end().result()
        return [episode.reward for episode, _ in begun]


@pytest.mark.xdist_group("trouble-tools")
class TestTools(Honest):
    pass


@pytest.mark.xdist_group("trouble-text")
class TestText(Honest):
    form = "text"

    def act(self, episode, move):
        return episode.step({"text": str(move.number)})


@pytest.mark.xdist_group("trouble-number")
class TestNumber(Honest):
    form = "number"

    def act(self, episode, move):
        return episode.step({"number": move.number})

    def told(self, turn):
        number = turn.observation and turn.observation["number"]
        return f"next: number {number}" if number else ""


# --- what is not honest ----------------------------------------------------------------------------------


class TakesFaultsForZero(Honest):
    def play(self, episodes, rows):
        return [reward or 0.0 for reward in super().play(episodes, rows)]


class LosesFaults(Honest):
    def play(self, episodes, rows):
        return [reward for reward in super().play(episodes, rows) if reward is not None]


class GivesThemAsTheyCome(Honest):
    def play(self, episodes, rows):
        return sorted(super().play(episodes, rows), key=lambda reward: -1 if reward is None else -reward)


class Raises(Honest):
    def play(self, episodes, rows):
        rewards = super().play(episodes, rows)
        if None in rewards:
            raise RuntimeError("something broke")
        return rewards


class LosesGradesThatComeLate(Honest):
    def play(self, episodes, rows):
        return [
            0.0 if row["trouble"] == "graded_late" else reward
            for row, reward in zip(rows, super().play(episodes, rows), strict=True)
        ]


class KnowsOneToolOnly(Honest):
    def act(self, episode, move):
        return episode.call_tool("say", {"number": move.number})


class LeaksASessionForEachReset(Honest):
    @contextmanager
    def adapter(self, url, budget_s):
        made = []

        def play(rows):
            made.append(Episodes(url, timeout_s=budget_s, wait_s=budget_s))
            return self.play(made[-1], rows)

        try:
            yield play
        finally:
            for episodes in made:
                episodes.close()


class LeavesSessions(Honest):
    left = ()

    @contextmanager
    def adapter(self, url, budget_s):
        episodes = Episodes(url, timeout_s=budget_s, wait_s=budget_s)
        yield lambda rows: self.play(episodes, rows)
        self.left = (episodes,)


TROUBLES = AdapterContract.test_a_fault_has_no_reward_and_touches_no_other_row.__name__
KINDS = AdapterContract.test_what_is_no_fault_is_rewarded.__name__
PLAIN = AdapterContract.test_the_task_that_only_a_reset_tells_is_played_and_rewarded.__name__
AGAIN = AdapterContract.test_sessions_are_used_again.__name__


@pytest.fixture(scope="module")
def honest():
    Honest.setup_class()
    yield
    Honest.teardown_class()


@pytest.mark.xdist_group("trouble-broken")
@pytest.mark.parametrize(
    ("adapter", "test", "argument", "why"),
    [
        (TakesFaultsForZero, TROUBLES, "step_dies", "is 0.0, not None"),
        (TakesFaultsForZero, TROUBLES, "ungraded", "is 0.0, not None"),
        (LosesFaults, TROUBLES, "reset_raises", "3 rows were given, and 2 rewards came back"),
        (GivesThemAsTheyCome, PLAIN, None, "is 6.0, not 1.0"),
        (Raises, TROUBLES, "tells_fault", "something broke"),
        (LosesGradesThatComeLate, KINDS, "graded_late", "is 0.0, not 2.0"),
        (KnowsOneToolOnly, KINDS, "other_tools", "is None, not 2.0"),
        (LeaksASessionForEachReset, AGAIN, None, "the server still has"),
        (LeavesSessions, PLAIN, None, "the server still has"),
    ],
)
def test_a_promise_that_is_broken_is_seen(honest, monkeypatch, adapter, test, argument, why):
    monkeypatch.setattr("openenv.testing.adapter_contract.CLEAR_S", 0.3)
    broken = adapter()
    try:
        with pytest.raises((AssertionError, RuntimeError), match=why):
            getattr(broken, test)(*[argument] if argument else [])
    finally:
        for episodes in getattr(broken, "left", ()):
            episodes.close()
