"""Environments as tasks of Inspect AI, played by its mock model."""

import gc
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.importorskip("inspect_ai", reason="needs Inspect AI: pip install 'openenv[inspect]'")

from inspect_ai import eval as evaluate
from inspect_ai.model import ChatMessage, GenerateConfig, ModelOutput, ModelUsage, get_model
from inspect_ai.solver import basic_agent, generate

from openenv.environment import Environment
from openenv.errors import ConfigurationError
from openenv.integrations.inspect import openenv_task
from openenv.models import Action, Observation, State
from openenv.testing import AdapterContract, next_move

# Inspect leaves some open, and uses what another library has given another name.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning"),
]


ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _collect():
    yield
    gc.collect()  # while that is ignored


def model(answer):
    """Return a mock model that answers by a function of the messages."""

    def output(messages: list[ChatMessage], tools: Any, choice: Any, config: GenerateConfig) -> ModelOutput:
        said = answer(messages)
        if isinstance(said, str):
            made = ModelOutput.from_content("mockllm/model", said)
        else:
            made = ModelOutput.for_tool_call("mockllm/model", *said)
        made.usage = ModelUsage(
            input_tokens=1, output_tokens=1, total_tokens=2
        )  # else they are counted, by a download
        return made

    return get_model("mockllm/model", custom_outputs=output)


def run(task, answer, tmp_path, **options):
    (log,) = evaluate(task, model(answer), display="none", log_dir=str(tmp_path), log_samples=True, **options)
    return log


def rewards(log) -> list[float | None]:
    """Return the score of each sample in their order; None for one that has an error, or no score."""
    found = []
    for sample in sorted(log.samples, key=lambda sample: sample.id):
        value = next(iter(sample.scores.values())).as_float() if sample.scores and not sample.error else None
        found.append(value if value == value else None)
    return found


def repeat(messages):
    """Play the game of the contract, by its tools."""
    move = next_move(messages[-1].text)
    return "I am done" if move is None else (move.tool, {"number": move.number})


def say(messages):
    """Play the game of the contract, by words."""
    move = next_move(messages[-1].text)
    return "I am done" if move is None else str(move.number)


class TestByTools(AdapterContract):
    form = "tools"
    answer = staticmethod(repeat)
    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _logs(self, tmp_path):
        self.logs = tmp_path

    @contextmanager
    def adapter(self, url, budget_s):
        def play(rows):
            options = {"timeout_s": budget_s, "wait_s": budget_s, **self.options}
            return rewards(run(openenv_task(url, rows, **options), self.answer, self.logs))

        yield play


class TestByWords(TestByTools):
    form = "text"
    answer = staticmethod(say)
    options: ClassVar[dict[str, Any]] = {"tools": False}


# --- one by one ----------------------------------------------------------------------------------


class AddAction(Action):
    """Add a number."""

    amount: int


class Total(Observation):
    total: int


class Ten(Environment[AddAction, Total, State]):
    """Reach ten from the seed."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed: int = 0) -> Total:
        self.total = seed
        return Total(total=seed)

    def step(self, action: AddAction) -> Total:
        self.total += action.amount
        return Total(total=self.total, reward=float(self.total == 10), done=self.total >= 10)

    @property
    def state(self) -> State:
        return State()


def add(messages):
    """Reach ten in two calls."""
    total = json.loads(messages[-1].text)["total"]
    return ("add", {"amount": 1}) if total < 9 else ("add", {"amount": 10 - total})


SEEDS = [{"seed": seed} for seed in (7, 8, 9)]


def test_action_types_are_tools_and_the_metrics_are_those_of_inspect(shared, tmp_path):
    log = run(openenv_task(shared(Ten).url, SEEDS, name="ten"), add, tmp_path, epochs=2)
    assert (log.status, len(log.samples)) == ("success", 6)
    assert {name: metric.value for name, metric in log.results.scores[0].metrics.items()} == {
        "mean": 1.0,
        "stderr": 0,
    }
    assert log.eval.task == "ten"
    sample = log.samples[0]
    assert [message.role for message in sample.messages][:3] == ["system", "user", "assistant"]
    assert next(iter(sample.scores.values())).metadata["status"] == "terminated"


def test_what_is_wrong_with_a_call_is_told_to_the_model(shared, tmp_path):
    said = iter([("add", {"amount": "many"}), ("nope", {}), "Let me think", ("add", {"amount": 3})])
    log = run(openenv_task(shared(Ten).url, SEEDS[:1]), lambda messages: next(said), tmp_path)
    (sample,) = log.samples
    assert rewards(log) == [1.0]
    told = [message.error.message if message.error else "" for message in sample.messages if message.role == "tool"]
    assert "many" in told[0]
    assert "nope" in told[1]
    assert [m.text for m in sample.messages if m.role == "user"][1:] == ["Call one of the tools: add"]


def test_an_episode_that_does_not_end_keeps_the_reward_it_has(shared, tmp_path):
    log = run(openenv_task(shared(Ten).url, SEEDS, max_turns=2), lambda messages: ("add", {"amount": 0}), tmp_path)
    assert rewards(log) == [0.0] * 3
    assert {next(iter(sample.scores.values())).metadata["over"] for sample in log.samples} == {False}


@pytest.mark.parametrize("solver", [generate(), basic_agent()], ids=["generate", "basic_agent"])
def test_other_solvers_may_play(shared, tmp_path, solver):
    def answer(messages):
        seen = messages[-1].text
        return add(messages) if '"total"' in seen and '"total":10' not in seen else ("submit", {"answer": "done"})

    log = run(openenv_task(shared(Ten).url, SEEDS, solver=solver), answer, tmp_path, message_limit=20)
    assert rewards(log) == [1.0] * 3


def test_the_example_runs_as_it_stands(tmp_path):
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "envs")])
    ran = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "inspect_task.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1].startswith("success: 0.800")


def test_a_task_without_rows_is_refused():
    with pytest.raises(ConfigurationError, match="at least one row"):
        openenv_task("http://127.0.0.1:1", [])


def test_a_server_that_is_not_there_is_an_error_of_each_sample(tmp_path):
    log = run(openenv_task("http://127.0.0.1:1", SEEDS, wait_s=0.1), add, tmp_path)
    assert rewards(log) == [None] * 3
    assert {sample.error.message.partition(":")[0] for sample in log.samples} == {"capacity"}
