"""TRL plays environments, by its own code: see `scripted`."""

import multiprocessing
import pickle
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean

import pytest

pytest.importorskip("trl", reason="needs the extra openenv[trl]")

from benchmarks.trainers import trl_runs
from tests.integrations import rollout_loop
from tests.integrations.scripted import Scripted, call, with_prompt
from tests.servers import wait_until

from openenv.environment import Environment
from openenv.errors import ConfigurationError
from openenv.integrations.trl import ToolError, environment_factory
from openenv.mcp import MCPEnvironment, tool
from openenv.models import Action, Observation, State
from openenv.providers import ProcessProvider
from openenv.testing import AdapterContract

# What libraries warn of in their own code is theirs; the last filter that fits counts.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "error:::openenv"),
    pytest.mark.xdist_group("trl"),
]

KINDS = [{}, {"trouble": "other_tools"}]
TOGETHER_S = 10.0


class TestContract(AdapterContract):
    """What TRL does with an environment that misbehaves."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path

    @contextmanager
    def adapter(self, url, budget_s):
        with environment_factory(url, rows=KINDS, timeout_s=budget_s, wait_s=budget_s) as factory:
            yield Scripted(factory, self.folder).play


class Adder(MCPEnvironment):
    """Adds up, to the goal of the task; everything else is an error of the model."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, goal: int, words: str = "Add up to the goal.") -> Observation:
        self.goal, self.total = goal, 0
        return Told(words=words)

    @tool
    def add(self, amount: int) -> str:
        """Add.

        Args:
            amount: How much.
        """
        self.total += amount
        if self.total >= self.goal:
            self.end_episode(reward=float(self.total == self.goal))
            return ""
        return f"now {self.total}"

    @property
    def state(self) -> State:
        return State(step_count=self.total)


class Told(Observation):
    words: str = ""


class Meeting(Adder):
    """Resets, and calls of its tool, that only return when all of a batch have come."""

    table: threading.Barrier

    def reset(self, goal: int) -> Told:
        if goal:
            self.table.wait(TOGETHER_S)
        return super().reset(goal)

    @tool
    def meet(self) -> str:
        """Wait for the others."""
        self.table.wait(TOGETHER_S)
        self.end_episode(reward=self.goal)
        return "all here"


def says(*answers):
    """Return a model that gives its answers in turn, in each dialogue, and the list of what it is told."""
    heard = []

    def answer(text):
        heard.append(text)
        return answers[min(_turns(text), len(answers) - 1)]

    return answer, heard


def _turns(text):
    return 0 if text.startswith("user\nPlay.") else 1


@pytest.fixture
def play(serve, tmp_path):
    """A player of rows against a server of an environment, which gives the rewards and what the model was told."""
    factories = []

    def start(env, answers, rows, kinds=({"goal": 1},), **options):
        factory = environment_factory(serve(env, max_concurrent_envs=64).url, rows=kinds, timeout_s=5, **options)
        factories.append(factory)
        answer, heard = says(*answers)
        trainer = Scripted(factory, tmp_path, answer)
        return trainer.play(rows), heard, factory

    yield start
    for factory in factories:
        factory.close()


def test_the_first_observation_is_put_behind_the_prompt_and_the_reward_is_the_environments(play):
    rewards, heard, factory = play(Adder, [call("add", amount=3), "Done."], [{"goal": 3}, {"goal": 2}])
    assert rewards == [1.0, 0.0]
    assert heard[0].startswith("user\nPlay.\nAdd up to the goal.<|im_end|>")
    assert "The episode is over." in heard[2]
    assert factory.metrics() == {"episodes": 3}


def test_mistakes_of_the_model_are_told_to_it_and_the_episode_goes_on(play):
    mistakes = {
        call("subtract", amount=1): "Tool subtract not found",
        call("add", amount="many"): "Wrong arguments for tool 'add': amount",
        call("add", much=1): "amount: Field required",
        call("add"): "amount: Field required",
        '<tool_call>\n{"name": "add", "arguments": [3]}\n</tool_call>': "error",
    }
    for mistake, told in mistakes.items():
        rewards, heard, factory = play(Adder, [f"{mistake}\n{call('add', amount=3)}", "Done."], [{"goal": 3}] * 2)
        assert rewards == [1.0, 1.0], mistake
        assert told in heard[-1], mistake
        assert factory.metrics() == {"episodes": 3}


def test_what_is_no_json_is_no_call(play):
    rewards, _, factory = play(Adder, ["<tool_call>\n{add 3}\n</tool_call>"], [{"goal": 3}] * 2, unfinished=-1.0)
    assert rewards == [-1.0, -1.0]
    assert factory.metrics() == {"episodes": 3}


def test_a_row_without_the_column_of_the_task_is_a_fault_of_its_own_with_a_line_in_the_log(play, caplog):
    rows = [{"goal": 3}, {"goal": None}]  # as a dataset says that a row has no such column
    rewards, _, factory = play(Adder, [call("add", amount=3)], rows)
    assert rewards == [1.0, None]
    assert factory.metrics() == {"episodes": 3, "environment_error": 1}
    assert re.search(r"An episode broke \(environment_error\) and is left out: .*goal", caplog.text)


def test_an_episode_that_the_model_left_has_no_reward_unless_there_is_one_for_that(play):
    assert play(Adder, ["No."], [{"goal": 3}] * 2)[0] == [None, None]
    assert play(Adder, ["No."], [{"goal": 3}] * 2, unfinished=-1.0)[0] == [-1.0, -1.0]
    assert play(Adder, [call("add", amount=1), "No."], [{"goal": 3}] * 2, unfinished=0.5)[0] == [0.5, 0.5]


# --- at the same time ------------------------------------------------------------------------------------


def test_the_resets_of_a_batch_and_the_calls_of_a_turn_are_made_at_the_same_time(play):
    rows = [{"goal": number} for number in range(1, 9)]
    Meeting.table = threading.Barrier(len(rows))
    rewards, heard, _ = play(Meeting, [call("meet"), "Done."], rows, kinds=[{"goal": 0}])
    assert rewards == [float(number) for number in range(1, 9)]
    assert sum("all here" in text for text in heard) == len(rows)


def test_each_gets_its_own_answers_when_they_make_several_calls_in_a_turn(play):
    turn = "\n".join([call("add", amount=1), call("nothing"), call("add", amount=2), call("add", amount=0)])
    rows = [{"goal": goal} for goal in (3, 100, 1, 3, 2)]
    rewards, heard, _ = play(Adder, [turn, "Done."], rows, unfinished=-1.0)
    assert rewards == [1.0, -1.0, 1.0, 1.0, 0.0]
    told = [text for text in heard if text.startswith("user\n<tool_response>")]
    assert [text.count("<tool_response>") for text in told] == [4] * 5
    assert "now 1" in told[1]
    assert "now 3" in told[1]


class Trainer:
    """What can be seen of TRL's trainer from the frames it calls from."""

    _multi_environment = False

    def __init__(self, environments):
        self.environments = environments
        self._sync_tool_dicts = [{"add": environment.add} for environment in environments]

    def reset(self, inputs, asked):
        return [one.reset(**row) for one, row in zip(self.environments, asked, strict=True)]

    def turn(self, tool_calls, asked):
        idxs_with_tool = list(range(len(tool_calls)))
        results = []
        for idx in idxs_with_tool:
            for arguments in asked[idx]:
                results.append(self.environments[idx].add(**arguments))
        return results


@pytest.fixture
def trainer(serve):
    with environment_factory(serve(Adder, max_concurrent_envs=8).url, rows=[{"goal": 1}]) as factory:
        yield Trainer([factory() for _ in range(3)])


def calls(*amounts):
    return [{"type": "function", "function": {"name": "add", "arguments": {"amount": each}}} for each in amounts]


def test_a_reset_that_was_begun_for_another_row_is_done_again(trainer):
    trainer.reset([{"goal": 5}, {"goal": 6}, {"goal": 7}], [{"goal": 5}, {"goal": 2}, {"goal": 7}])
    assert trainer.environments[1].add(amount=2) == "The episode is over."
    assert trainer.environments[1].get_reward() == 1.0
    assert trainer.environments[2].add(amount=6) == "now 6"


def test_a_call_that_was_begun_and_is_not_made_leaves_no_reward(trainer):
    rows = [{"goal": 5}] * 3
    trainer.reset(rows, rows)
    begun = [calls(5), calls(5), calls(5)]
    trainer.turn(begun, [[{"amount": 5}], [], [{"amount": 5}]])
    assert [one.get_reward() for one in trainer.environments] == [1.0, None, 1.0]
    trainer.reset(rows, rows)
    with pytest.raises(ToolError, match="was then not asked for"):
        trainer.turn(begun, [[{"amount": 5}], [{"amount": 4}], [{"amount": 5}]])
    assert trainer.environments[1].get_reward() is None
    trainer.reset(rows, rows)
    trainer.turn(begun, [[{"amount": 5}]] * 3)
    assert [one.get_reward() for one in trainer.environments] == [1.0, 1.0, 1.0]


def test_without_a_frame_that_tells_calls_are_made_as_they_come(trainer):
    first, second, _ = trainer.environments
    inputs = "not what it looks like"  # noqa: F841 - of this frame
    for one in (first, second):
        assert one.reset(goal=3) == "Add up to the goal."
    assert first.add(amount=1) == "now 1"
    assert second.add(amount=3) == "The episode is over."
    assert (first.get_reward(), second.get_reward()) == (None, 1.0)
    assert second.get_reward() == 1.0  # which may be asked again


# --- sessions, processes, trainers -----------------------------------------------------------------------


def test_a_run_with_faults_completes_masks_them_and_counts_them(serve, tmp_path):
    class Breaking(Adder):
        def reset(self, goal: int) -> Told:
            if goal == 0:
                raise OSError("no such goal")
            return super().reset(goal)

    rows = [{"goal": goal} for goal in (1, 2, 0, 3, 1, 2, 3, 1, 2, 3)]
    server = serve(Breaking, max_concurrent_envs=32)
    with environment_factory(server.url, rows=[{"goal": 1}], name="Breaking") as factory:
        answer, _ = says(call("add", amount=2), "Done.")
        trainer = Scripted(
            factory, tmp_path, answer, rows, max_steps=1, per_device_train_batch_size=20, shuffle_dataset=False
        )
        trainer.train()
        (step, *_), counts = trainer.state.log_history, factory.metrics()
    assert trainer.rewards == [
        None if row["goal"] == 0 else float(row["goal"] == 2) if row["goal"] < 3 else None
        for row in rows
        for _ in range(2)
    ]
    assert step["env/faults"] == step["env/faults/environment_error"] == pytest.approx(0.1)
    assert step["rewards/Breaking/mean"] == pytest.approx(0.5)  # of the 12 that were graded
    assert counts == {"episodes": 21, "environment_error": 2}
    assert wait_until(lambda: not server.manager.sessions())


def test_a_run_in_which_everything_breaks_goes_on(serve, tmp_path):
    server = serve(Adder, max_concurrent_envs=8)
    with environment_factory(server.url, rows=[{"goal": 1}]) as factory:
        trainer = Scripted(factory, tmp_path, rows=[{"goal": None}] * 2, max_steps=2)
        trainer.train()
        assert trainer.rewards == [None, None]
        assert [step["env/faults"] for step in trainer.state.log_history if "env/faults" in step] == [1.0, 1.0]


def test_a_program_that_ends_leaves_no_session(serve):
    server = serve(Adder, max_concurrent_envs=8)
    program = f"""if True:
        from openenv.integrations.trl import environment_factory
        environment = environment_factory({server.url!r}, rows=[{{"goal": 1}}])()
        environment.reset(goal=2)
    """
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert not server.manager.sessions()


def test_batches_of_different_sizes_use_the_same_sessions(serve, tmp_path):
    server = serve(Adder, max_concurrent_envs=64)
    with environment_factory(server.url, rows=[{"goal": 1}]) as factory:
        trainer = Scripted(factory, tmp_path, says(call("add", amount=1), "Done.")[0])
        for size in (2, 6, 4, 6, 1):
            assert trainer.play([{"goal": 1}] * size) == [1.0] * size
        assert len(server.manager.sessions()) <= 6
    assert wait_until(lambda: not server.manager.sessions())


def test_several_environments_are_routed_by_their_column(serve, tmp_path):
    class Doubling(Adder):
        @tool
        def double(self) -> str:
            """Double."""
            self.end_episode(reward=2.0)
            return "doubled"

    one = environment_factory(serve(Adder, max_concurrent_envs=8).url, rows=[{"goal": 1}], name="One")
    two = environment_factory(serve(Doubling, max_concurrent_envs=8).url, rows=[{"goal": 1}], name="Two")
    with one, two:
        answer, heard = says(f"{call('double')}\n{call('add', amount=1)}", "Done.")
        trainer = Scripted({"one": one, "two": two}, tmp_path, answer, [{"environment": "one"}])
        rows = [{"goal": 1, "environment": name} for name in ("one", "two", "one")]
        assert trainer.play(rows) == [1.0, 2.0, 1.0]
    assert sum("Tool double not found" in text for text in heard) == 2


def test_a_factory_can_be_pickled_and_the_copy_has_sessions_of_its_own(serve):
    server = serve(Adder, max_concurrent_envs=8)
    with environment_factory(server.url, rows=[{"goal": 1}], name="Adder") as factory:
        factory()
        with pickle.loads(pickle.dumps(factory)) as copy:
            environment = copy()
            assert type(environment).__name__ == "Adder"
            environment.reset(goal=2)
            assert environment.add(amount=2) == "The episode is over."
            assert environment.get_reward() == 1.0
            assert (copy.metrics(), factory.metrics()) == ({"episodes": 1}, {"episodes": 1})


@pytest.mark.slow
def test_the_worker_of_the_asynchronous_trainer_plays_and_leaves_no_session(serve):
    pytest.importorskip("aiohttp", reason="which AsyncGRPOTrainer needs")
    server = serve(Adder, max_concurrent_envs=8)
    rows = [with_prompt({"goal": goal}) for goal in (1, 2)]
    spawn = multiprocessing.get_context("spawn")
    samples = spawn.Queue()
    with environment_factory(server.url, rows=[{"goal": 1}]) as factory:
        worker = spawn.Process(target=rollout_loop.run, args=(factory, rows, 8, samples))
        worker.start()
        rewards = [samples.get(timeout=120) for _ in range(8)]
        worker.join(60)
    assert worker.exitcode == 0
    assert sorted(rewards) == [0.0] * 4 + [1.0] * 4
    assert wait_until(lambda: not server.manager.sessions())


@pytest.mark.slow
def test_a_model_learns_while_one_environment_in_ten_breaks(tmp_path):
    with ProcessProvider("benchmarks.trainers.environment:breaking", cwd=Path(__file__).parents[2]) as server:
        taken = trl_runs.faults(server.base_url, str(tmp_path))
    assert fmean(taken["rewards"][-5:]) > fmean(taken["rewards"][:5]) + 0.3
    assert 0.02 < fmean(taken["faults"]) < 0.2
    assert taken["counts"]["environment_error"] > 0
    assert taken["counts"]["environment_died"] > 0


# --- what cannot be played -------------------------------------------------------------------------------


class Plain(Environment[Action, Observation, State]):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self) -> Observation:
        return Observation()

    def step(self, action: Action) -> Observation:
        return Observation()

    @property
    def state(self) -> State:
        return State()


def test_what_cannot_be_played_is_said_before_the_first_batch(serve):
    with pytest.raises(ConfigurationError, match="has no tools"), environment_factory(serve(Plain).url) as factory:
        factory()
    with (
        environment_factory(serve(Adder).url) as needy,
        pytest.raises(ConfigurationError, match="say which by rows"),
    ):
        needy()
    with (
        environment_factory("http://127.0.0.1:9", wait_s=0.1) as lost,
        pytest.raises(ConfigurationError, match="No episode could begin"),
    ):
        lost()
    with pytest.raises(ConfigurationError, match="address of a server or a provider"):
        environment_factory([])
