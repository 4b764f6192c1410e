"""`reward_func`: each completion is played in an episode of its own. It needs nothing of TRL's."""

import os
import pickle
import re
import threading
import time
from contextlib import contextmanager

import pytest
from tests.servers import wait_until

from openenv.environment import Environment
from openenv.errors import ConfigurationError
from openenv.integrations.trl import reward_func
from openenv.models import Action, Observation, State, StepResult
from openenv.outcomes import Cause, Outcome
from openenv.providers import ProcessProvider
from openenv.server import create_app
from openenv.testing import AdapterContract

TOGETHER_S = 10.0


class Answer(Action):
    words: str


class Quiz(Environment[Answer, Observation, State]):
    """Asks for the word of its task, in one step; a trouble of its task is what goes wrong in it."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, word: str, trouble: str = "") -> Observation:
        self.word, self.trouble = word, trouble
        if trouble == "reset":
            raise OSError("no such question")
        return Observation()

    def step(self, action: Answer) -> StepResult[Observation]:
        if self.trouble == "raises":
            raise OSError("the question is lost")
        if self.trouble == "dies":
            os._exit(3)
        if self.trouble == "hangs":
            time.sleep(3600)
        if self.trouble == "tells":
            return StepResult(Observation(), 1.0, outcome=Outcome.infra_fault(Cause.ENVIRONMENT_ERROR))
        odd = {"ungraded": None, "type": "plenty", "nan": float("nan")}
        reward = odd.get(self.trouble, float(action.words == self.word))
        return StepResult(Observation(), reward, terminated=True)

    @property
    def state(self) -> State:
        return State()


class Meeting(Quiz):
    """Answers when all of a batch have come."""

    table = threading.Barrier(6)

    def step(self, action: Answer) -> StepResult[Observation]:
        self.table.wait(TOGETHER_S)
        return super().step(action)


app = create_app(Quiz, isolation="process", max_concurrent_envs=16)


@pytest.fixture
def grading(serve):
    made = []

    def start(env=Quiz, **options):
        made.append(reward_func(serve(env, max_concurrent_envs=16).url, timeout_s=5, **options))
        return made[-1]

    yield start
    for grade in made:
        grade.close()


def called(grade, completions, **columns):
    """Call a reward function as TRL does."""
    others = {
        "prompts": ["p"] * len(completions),
        "completion_ids": [[1]] * len(completions),
        "trainer_state": None,
    }
    return grade(completions=completions, **others, **columns)


@pytest.mark.xdist_group("trouble-answer")
class TestContract(AdapterContract):
    """Completions that are right, of an environment that misbehaves."""

    form = "answer"

    @contextmanager
    def adapter(self, url, budget_s):
        grade = reward_func(url, timeout_s=budget_s, wait_s=budget_s)

        def play(rows):
            columns = {name: [row[name] for row in rows] for name in ("task", "trouble")}
            return called(grade, [str(row["task"]) for row in rows], **columns)

        yield play
        grade.close()


def test_each_completion_is_graded_by_the_environment_in_the_order_of_the_rows(grading):
    words = ["milk", "tea", "bread", "oats"]
    assert called(grading(), ["milk", "tea", "cake", "oats"], word=words) == [1.0, 1.0, 0.0, 1.0]
    assert called(grading(), []) == []


def test_a_column_can_have_any_name(grading):
    assert called(grading(), ["milk"], word=["milk"], self=["me"]) == [1.0]


def test_completions_of_a_batch_are_played_at_the_same_time(grading):
    assert called(grading(Meeting), ["milk"] * 6, word=["milk"] * 6) == [1.0] * 6


def test_a_conversation_counts_by_what_is_said_last_without_thoughts(grading):
    said = [
        [{"role": "assistant", "content": "<think>tea?</think>\nmilk"}],
        [{"role": "assistant", "content": "tea"}, {"role": "assistant", "content": "milk"}],
        [{"role": "assistant", "content": [{"type": "text", "text": "milk"}]}],
        [{"role": "assistant", "content": None}],
    ]
    assert called(grading(), said, word=["milk"] * 4) == [1.0, 1.0, 1.0, 0.0]


@pytest.mark.slow
def test_what_breaks_has_no_reward_and_touches_no_other_row(caplog):
    troubles = ["raises", "dies", "hangs", "tells", "ungraded", "type", "nan", "reset"]
    rows = [trouble for pair in zip(troubles, [None] * 8, strict=True) for trouble in pair]
    logged = {}
    with ProcessProvider("tests.integrations.test_trl_reward:app", max_concurrent_envs=16) as server:
        grade = reward_func(server.base_url, timeout_s=10)
        rewards = called(grade, ["milk"] * 16, word=["milk"] * 16, trouble=rows, log_metric=logged.__setitem__)
        assert rewards == [None, 1.0] * 8
        assert called(grade, ["milk"] * 4, word=["milk"] * 4) == [1.0] * 4
        grade.close()
    assert logged["env/faults"] == pytest.approx(7 / 16)  # all but the one that is only not graded
    assert logged["env/faults/environment_died"] == 1 / 16
    assert grade.episodes.counts["episodes"] == 20
    assert "An episode broke (environment_died) and is left out" in caplog.text


def test_a_row_without_the_column_of_the_task_is_a_fault_with_a_line_in_the_log(grading, caplog):
    assert called(grading(), ["milk"] * 2, word=["milk", None]) == [1.0, None]
    assert re.search(r"An episode broke \(environment_error\) and is left out: .*word", caplog.text)


def test_a_server_that_is_gone_leaves_the_batch_out_and_one_that_is_back_is_used(serve):
    server = serve(Quiz)
    grade = reward_func(server.url, wait_s=0.2, timeout_s=3)
    assert called(grade, ["milk"], word=["milk"]) == [1.0]
    server.stop(wait=False)
    assert called(grade, ["milk"] * 2, word=["milk"] * 2) == [None, None]
    grade.close()


def test_what_is_no_action_or_is_not_graded_has_the_reward_that_is_said_for_it(grading):
    def act(words):
        if words == "?":
            raise ValueError("no words")
        return Answer(words=words)

    columns = {"word": ["milk"] * 3, "trouble": [None, "ungraded", "raises"]}
    assert called(grading(act=act), ["?", "milk", "?"], **columns) == [None] * 3
    assert called(grading(act=act, ungraded=-1.0), ["?", "milk", "milk"], **columns) == [-1.0, -1.0, None]


def test_no_session_is_left_and_sessions_are_used_again(serve):
    server = serve(Quiz, max_concurrent_envs=8)
    grade = reward_func(server.url)
    for _ in range(3):
        called(grade, ["milk"] * 4, word=["milk"] * 4)
    assert len(server.manager.sessions()) <= 4
    grade.close()
    assert wait_until(lambda: not server.manager.sessions())


def test_it_has_a_name_and_can_be_pickled(grading):
    copy = pickle.loads(pickle.dumps(grading(ungraded=-1.0, name="quiz")))
    assert copy.__name__ == "quiz"
    assert called(copy, ["milk"] * 2, word=["milk"] * 2, trouble=[None, "ungraded"]) == [1.0, -1.0]
    copy.close()


def test_it_is_told_where_environments_are():
    with pytest.raises(ConfigurationError, match="address of a server or a provider"):
        reward_func([])
