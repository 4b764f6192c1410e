"""Hidden tests: how they are read, and what code can do to pass them without being right."""

import asyncio
import json
import sys
from typing import Any

import pytest

from coding_env import CodeAction
from coding_env.server import grading
from coding_env.server.coding_environment import CodingEnvironment
from coding_env.server.shipped import TASKS
from coding_env.server.tasks import CallTest, ProgramTest, load, passes, read_task, read_test, same_output
from coding_env.solutions import SOLUTIONS
from openenv.errors import ConfigurationError
from openenv.models import StepResult

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workspaces are of Linux")


# --- how they are read -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expression", "expected"),
    [
        ("f(1) == 2", "f(1)", 2),
        ("assert f(1) == 2, 'no'", "f(1)", 2),
        ("assert [1, (2,)] == f()", "f()", [1, (2,)]),
        ("assert f() is None", "f()", None),
        ("f() == -1.5", "f()", -1.5),
        ("assert set(f()) == set([1, 2])", "set(f())", {1, 2}),
        ("assert f(3)", "bool(f(3))", True),
        ("assert not f(3)", "bool(f(3))", False),
        ("assert f(1) == f(2)", "bool(f(1) == f(2))", True),
        ("assert abs(f(2) - 1.4) < 0.1", "bool(abs(f(2) - 1.4) < 0.1)", True),
    ],
)
def test_a_comparison_is_taken_apart(text, expression, expected):
    assert read_test(text) == CallTest(expression, expected)


@pytest.mark.parametrize("text", ["", "import os", "f(1) ==", "x = 1; y = 2"])
def test_what_is_no_comparison_is_refused(text):
    with pytest.raises(ValueError, match="the test"):
        read_test(text)


def test_the_expected_values_of_all_tasks_stay_in_the_server():
    tests = [test for task in TASKS for test in read_task(task).tests]
    assert not [test for test in tests if isinstance(test, CallTest) and test.expression.startswith("bool(")]
    assert len(tests) > 60


def test_there_is_a_solution_of_every_task():
    assert SOLUTIONS.keys() == {task["id"] for task in TASKS}


@pytest.mark.parametrize(
    "value", ["(" * 50_000, "-" * 60_000 + "1", "f(1)", "", "2; 3", "[" + "9" * 5000 + "]", "{[]: 1}", "\0", "nan"]
)
def test_whatever_an_interpreter_claims_the_value_to_be_the_server_goes_on(value):
    assert not passes(CallTest("f()", 2), value)


def test_outputs_are_the_same_whatever_ends_their_lines():
    assert same_output("a  \nb\n\n", "a\nb")
    assert not same_output("a\n\nb", "a\nb")
    assert not same_output(" a", "a")


def test_tasks_are_read_from_a_folder(tmp_path):
    one = {"id": "one", "prompt": "Write one().", "entry_point": "one", "tests": ["assert one() == 1"]}
    echo = {"id": "echo", "prompt": "Echo.", "tests": [{"stdin": "x", "stdout": "x"}]}
    (tmp_path / "a.json").write_text(json.dumps(one))
    (tmp_path / "b.json").write_text(json.dumps([echo]))
    tasks = load(tmp_path)
    assert tasks.named("one").tests == (CallTest("one()", 1),)
    assert tasks.named("echo").tests == (ProgramTest("x", "x"),)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "holds no task"),
        ("5", "holds no task"),
        ('{"id": "a"}', "no prompt and no tests"),
        ('{"id": "a", "prompt": "b", "tests": ["f() == 1"]}', "no entry_point"),
        ('{"id": "a", "prompt": "b", "tests": ["f() == 1", {"stdin": "", "stdout": ""}]}', "both kinds"),
    ],
)
def test_a_file_that_holds_no_task_is_named(text, told, tmp_path):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(ConfigurationError, match=told):
        load(tmp_path)


def test_a_folder_without_tasks_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no tasks"):
        load(tmp_path)


# --- what is graded ----------------------------------------------------------------------------------


def submit(task_id: str, *codes: str, max_steps: int = 20, submits: bool = True) -> StepResult:
    """Run some code, the last of it as a submission, and return the last result."""

    async def main() -> Any:
        environment = CodingEnvironment(max_steps=max_steps)
        try:
            await environment.reset(task_id=task_id)
            *before, last = codes
            for code in before:
                seconds = 1 if "while True" in code else 30
                result = await environment.step(CodeAction(code=code, timeout_s=seconds))
                assert (result.reward, result.done) == (None, False)
            return await environment.step(CodeAction(code=last, submit=submits, timeout_s=30))
        finally:
            await environment.close()

    return asyncio.run(main())


LARGEST = "def second_largest(numbers):\n    return {}\n"
RIGHT = LARGEST.format("(sorted(set(numbers))[-2:] + [None])[0] if len(set(numbers)) > 1 else None")


def test_the_reward_is_the_share_of_tests_that_pass():
    result = submit("second_largest", LARGEST.format("sorted(numbers)[-2]"))
    assert (result.observation.tests_passed, result.observation.tests_total) == (3, 6)
    assert result.reward == 0.5
    assert (result.terminated, result.truncated) == (True, False)


def test_all_steps_are_what_is_submitted():
    helper = "def different(numbers): return sorted(set(numbers))"
    code = LARGEST.format("different(numbers)[-2] if len(different(numbers)) > 1 else None")
    failing = f"{code}\nprint(undefined)"
    assert submit("second_largest", helper, failing, "while True: pass", "").reward == 1.0


def test_what_was_lost_with_an_interpreter_is_not_part_of_it():
    assert submit("second_largest", RIGHT, "import os; os._exit(0)", "").reward == 0.0


def test_the_last_step_that_is_allowed_is_graded_too():
    result = submit("second_largest", RIGHT, "pass", max_steps=2, submits=False)
    assert (result.reward, result.truncated, result.terminated) == (1.0, True, False)


def test_a_program_is_run_on_the_first_example_and_graded_on_the_tests():
    result = submit("word_count", "print('not this')", SOLUTIONS["word_count"])
    assert result.observation.stdout == "the 2\ncat 1\nhat 1\n"
    assert result.reward == 1.0


@pytest.mark.parametrize(
    "litter",
    [
        "import os\nos.remove('solution.py')\nos.mkdir('solution.py')",
        "import os\nos.remove('solution.py')\nos.mkfifo('solution.py')",
    ],
)
def test_what_a_program_does_to_itself_changes_nothing(litter):
    assert submit("word_count", f"{litter}\n{SOLUTIONS['word_count']}").reward == 1.0


def test_a_program_that_prints_the_example_earns_nothing():
    assert submit("word_count", "print('the 2\\ncat 1\\nhat 1')").reward == 0.0


# --- what code can do to pass without being right -----------------------------------------------------

CHEATS = {
    "an object that equals everything": """
class Yes:
    def __eq__(self, other): return True
    __hash__ = object.__hash__
    def __repr__(self): return 'Yes()'
def second_largest(numbers): return Yes()
""",
    "an int that equals everything": """
class Yes(int):
    def __eq__(self, other): return True
    def __repr__(self): return '10'
def second_largest(numbers): return Yes()
""",
    "an exit with 0": "import os\ndef second_largest(numbers): os._exit(0)",
    "an exit by exception": "import sys\ndef second_largest(numbers): sys.exit(0)",
    "other builtins": """
import builtins
builtins.bool = builtins.repr = lambda *a: True
def second_largest(numbers): return True
""",
    "what is to be found in memory": """
import gc, sys
def second_largest(numbers):
    frame = sys._getframe()
    found = []
    while frame:
        found += list(frame.f_locals.values()) + list(frame.f_globals.values())
        frame = frame.f_back
    found += gc.get_objects()
    for one in found:
        if type(one).__name__ in ('CallTest', 'Task'):
            return one.expected
        if isinstance(one, dict) and 'expected' in one:
            return one['expected']
    return 'nothing'
""",
    "a forged answer on the interpreter's own line": """
import json, os, struct
def second_largest(numbers):
    header = json.dumps({'exit': 0, 'value': '[30]', 'plain': True}).encode()
    os.write(4, struct.pack('!II', len(header), 0) + header)
    return 'nothing'
""",
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_cheat_earns_nothing(cheat):
    assert submit("second_largest", CHEATS[cheat]).reward == 0.0


@pytest.mark.slow
def test_a_test_that_would_take_for_ever_fails_and_the_others_count():
    loop = "def second_largest(numbers):\n    while len(numbers) == 7: pass\n"
    result = submit("second_largest", f"{loop}    return sorted(set(numbers))[-2]")
    assert result.observation.tests_passed == 4


def test_all_tests_together_have_a_budget(monkeypatch):
    monkeypatch.setattr(grading, "BUDGET_S", 1.0)
    result = submit("second_largest", "def second_largest(numbers):\n    while True: pass")
    assert result.reward == 0.0


def test_a_test_that_ends_the_interpreter_does_not_fail_those_after_it():
    ends = "import os\ndef second_largest(numbers):\n    if len(numbers) == 4: os._exit(1)\n"
    result = submit("second_largest", f"{ends}    return sorted(set(numbers))[-2]")
    assert result.observation.tests_passed == 4
