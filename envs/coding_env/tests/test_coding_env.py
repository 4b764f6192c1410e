"""What coding_env promises: the contract of every environment, code that runs for real, and both policies."""

import asyncio
import importlib.util
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from coding_env import CodeAction, CodeObservation, CodingEnv
from coding_env.policies import MAX_RETURN, MIN_RETURN, null, oracle
from coding_env.server.coding_environment import CodingEnvironment
from coding_env.server.penalties import SyntaxPenalty, TimeoutPenalty
from coding_env.server.shipped import TASKS
from openenv.environment import CompositeTransform, Transform
from openenv.errors import ConfigurationError, InvalidRequestError, IsolationError, NotResetError
from openenv.models import StepResult
from openenv.providers import ProcessProvider, SandboxProvider
from openenv.testing import EnvironmentContract, EnvironmentMemoryContract, LocalServer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workspaces are of Linux")

has_smolagents = pytest.mark.skipif(
    importlib.util.find_spec("smolagents") is None, reason="smolagents is not installed: coding_env[smolagents]"
)
HERE = Path(__file__).parents[1]
VOLATILE = ("execution_time_ms", "peak_memory_bytes")


class TestContract(EnvironmentContract):
    environment = CodingEnvironment
    actions = (CodeAction(code="print('hi')"), CodeAction(code="1 / 0"), CodeAction(code="x", submit=True))
    bad_actions = ({"code": 5}, {"code": "1", "timeout_s": 0}, {"code": "1", "shell": True}, {"submit": True})
    volatile = VOLATILE
    steps = 3

    def choose_action(self, step: int, result: StepResult) -> CodeAction:
        return CodeAction(code=f"x = {step}\nprint(x)", submit=step == 2)


@pytest.mark.slow
class TestMemory(EnvironmentMemoryContract):
    environment = CodingEnvironment
    actions = (CodeAction(code="print('hi')"),)
    steps = 1
    episodes = 500
    patience_s = 300


def played(main: Callable[[CodingEnvironment], Awaitable[Any]], *arguments: Any, **how: Any) -> Any:
    """Return what a function returns of an environment, which is closed then."""

    async def episode() -> Any:
        environment = CodingEnvironment(*arguments, **how)
        try:
            return await main(environment)
        finally:
            await environment.close()

    return asyncio.run(episode())


def steps(*actions: CodeAction | str, interpreter: str = "python", **reset: Any) -> list[StepResult]:
    """Take some steps in an episode."""

    async def main(environment: CodingEnvironment) -> list[StepResult]:
        await environment.reset(**reset)
        return [await environment.step(CodeAction(code=one) if isinstance(one, str) else one) for one in actions]

    return played(main, interpreter)


def run(code: str, timeout_s: float | None = 30.0) -> CodeObservation:
    (result,) = steps(CodeAction(code=code, timeout_s=timeout_s))
    return result.observation


# --- what code does ----------------------------------------------------------------------------------


def test_what_code_writes_and_its_last_value_are_seen():
    seen = run("import sys; print('out'); print('err', file=sys.stderr); open('f', 'w').close(); 6 * 7")
    assert (seen.stdout, seen.stderr, seen.exit_code, seen.error) == ("out\n", "err\n", 0, None)
    assert (seen.value, seen.files_changed) == ("42", ["f"])
    assert seen.execution_time_ms > 0
    assert seen.peak_memory_bytes > 0


def test_variables_stay_until_the_reset():
    async def main(environment: CodingEnvironment) -> list[str]:
        await environment.reset()
        await environment.step(CodeAction(code="def f(): return x\nx = 1; open('file', 'w').close()"))
        code = "import os; print(globals().get('x'), os.listdir())"
        before = await environment.step(CodeAction(code=code))
        await environment.reset()
        after = await environment.step(CodeAction(code=code))
        return [result.observation.stdout for result in (before, after)]

    assert played(main) == ["1 ['file']\n", "None []\n"]


def test_an_exception_is_told_and_the_variables_survive():
    _, failed, last = steps("x = 6", "x = 7\n1 / 0", "x")
    assert failed.observation.exit_code == 1
    assert (failed.observation.error.type, failed.observation.error.message) == (
        "ZeroDivisionError",
        "division by zero",
    )
    assert failed.observation.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert last.observation.value == "7"


def test_code_that_takes_too_long_is_interrupted_and_the_variables_survive():
    _, late, last = steps("x = 6", CodeAction(code="print('so far')\nwhile True: pass", timeout_s=0.3), "x")
    assert (late.observation.timed_out, late.observation.context_lost) == (True, False)
    assert (late.observation.stdout, late.observation.error.type) == ("so far\n", "KeyboardInterrupt")
    assert last.observation.value == "6"


@pytest.mark.parametrize("limit", [2.0, 0.4])
def test_code_is_stopped_before_its_step_is(limit):
    async def main(environment: CodingEnvironment) -> StepResult:
        await environment.reset()
        return await environment.step(CodeAction(code="while True: pass"), timeout_s=limit)

    seen = played(main).observation
    assert seen.timed_out
    assert seen.error.type == "KeyboardInterrupt"


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("import os; os._exit(7)", 7),
        ("import ctypes; ctypes.string_at(0)", -11),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9),
    ],
)
def test_code_that_ends_its_interpreter_loses_the_variables_and_the_next_step_has_a_new_one(code, exit_code):
    _, ended, last = steps("x = 6", code, "print('fine', 'x' in globals())")
    assert (ended.observation.exit_code, ended.observation.context_lost) == (exit_code, True)
    assert last.observation.stdout == "fine False\n"


HOSTILE = """
class Hostile(Exception):
    def __str__(self): raise SystemExit(3)
    __repr__ = __str__
raise Hostile
"""


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("print(", "SyntaxError"),
        ("x = 1\0", ("SyntaxError", "ValueError")),
        ("'\udc80'", "UnicodeDecodeError"),
        (HOSTILE, "Hostile"),
        ("def f(): f()\nf()", "RecursionError"),
        ("x = [0] * 10 ** 12", "MemoryError"),
        ("open('/etc/shadow')", ("PermissionError", "FileNotFoundError")),
        ("import coding_env", "ModuleNotFoundError"),
        ("import socket; socket.create_connection(('127.0.0.1', 1))", ("PermissionError", "OSError")),
        ("x = " + "9" * 10_000_000, ("SyntaxError", "ValueError")),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
def test_bad_code_is_an_error_of_its_own_and_the_session_goes_on(code, error):
    bad, after = steps(CodeAction(code=code, timeout_s=60), "print('fine')")
    assert bad.observation.exit_code == 1
    assert bad.observation.error.type in error
    assert bad.reward is None
    assert after.observation.stdout == "fine\n"


@pytest.mark.parametrize(
    "code",
    [
        "[" * 100_000,
        "-" * 200_000 + "1",
        "f" + "(0)" * 100_000,
        "import sys; sys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
    ],
)
def test_code_that_is_too_deep_for_an_interpreter_ends_nothing_but_that(code):
    bad, after = steps(CodeAction(code=code, timeout_s=5), "print('fine')")
    assert bad.observation.exit_code != 0
    assert after.observation.stdout == "fine\n"


def test_a_flood_of_output_is_cut_and_that_is_told():
    seen = run("for _ in range(200): print('x' * 100_000)")
    assert len(seen.stdout) < 300 * 1024
    assert seen.bytes_cut[0] > 19_000_000
    assert "bytes were cut here" in seen.stdout


def test_binary_output_is_text_in_the_end():
    assert run(r"import sys; n = sys.stdout.buffer.write(b'a\xff\0b')").stdout == "a\N{REPLACEMENT CHARACTER}\0b"


# --- the episode -------------------------------------------------------------------------------------


def test_free_play_has_no_reward_and_no_end():
    async def main(environment: CodingEnvironment) -> None:
        first = await environment.reset()
        assert (first.stdout, first.exit_code, first.prompt, first.task_id) == ("", 0, "", None)
        for _ in range(25):
            result = await environment.step(CodeAction(code="pass"))
            assert (result.reward, result.done) == (None, False)

    played(main)


def test_the_snippets_that_people_use_with_a_coding_environment_run_as_they_are():
    with CodingEnv.with_provider(ProcessProvider()) as client:
        result = client.reset()
        assert (result.observation.stdout, result.observation.stderr, result.observation.exit_code) == ("", "", 0)
        result = client.step(CodeAction(code="x = 5 + 3\nprint(f'Result: {x}')"))
        assert (result.observation.stdout, result.observation.exit_code) == ("Result: 8\n", 0)
        result = client.step(CodeAction(code="raise SystemExit(2)"))
        state = client.state()
        assert (state.step_count, state.last_exit_code) == (2, 2)
        assert state.episode_id
        client.close()


def test_the_reset_says_what_to_do_with_examples_and_without_tests():
    async def main(environment: CodingEnvironment) -> CodeObservation:
        return await environment.reset(task_id="roman_numeral")

    seen = played(main)
    assert seen.task_id == "roman_numeral"
    assert "Roman numerals" in seen.prompt
    assert ">>> roman_numeral(14)\n'XIV'" in seen.prompt
    assert "MMMCMXCIX" not in seen.prompt


def test_a_seed_draws_a_task_and_the_same_one_each_time():
    async def main(environment: CodingEnvironment) -> list[str]:
        return [(await environment.reset(seed=seed)).task_id for seed in (*range(40), *range(40))]

    drawn = played(main)
    assert drawn[:40] == drawn[40:]
    assert len(set(drawn)) > 6


def test_an_unknown_task_is_refused_with_those_there_are():
    async def main(environment: CodingEnvironment) -> None:
        await environment.reset(task_id="no such task")

    with pytest.raises(InvalidRequestError, match="roman_numeral"):
        played(main)


def test_a_step_before_the_reset_says_so():
    async def main(environment: CodingEnvironment) -> None:
        await environment.step(CodeAction(code="pass"))

    with pytest.raises(NotResetError, match=r"reset\(\)"):
        played(main)


def test_an_unknown_interpreter_is_refused_with_those_there_are():
    with pytest.raises(ConfigurationError, match="python, smolagents"):
        CodingEnvironment("ruby")


def running(mark: str) -> bool:
    """Whether there is a process anywhere that has this among its arguments."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in place.read_bytes():
                return True
        except OSError:  # it has ended meanwhile
            continue
    return False


def test_a_close_leaves_no_folder_and_no_process():
    mark = f"a program of {os.getpid()}"
    code = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'input()', {mark!r}], stdin=-1)"

    async def main(environment: CodingEnvironment) -> str:
        await environment.reset()
        await environment.step(CodeAction(code=code))
        end = time.monotonic() + 20
        while not running(mark):  # for a moment a program has no arguments yet
            assert time.monotonic() < end
        result = await environment.step(CodeAction(code="import os; print(os.getcwd())"))
        await environment.close()
        await environment.close()
        return result.observation.stdout.strip()

    assert not Path(played(main)).parent.exists()
    assert not running(mark)


def test_eight_sessions_at_once_do_not_see_each_other():
    async def episode(server: LocalServer, number: int) -> list[str]:
        async with server.client(CodingEnv) as env:
            await env.reset()
            await env.step(CodeAction(code=f"secret = {number}; open('secret_{number}', 'w').close()"))
            result = await env.step(CodeAction(code="import os; print(secret, *os.listdir())"))
            return result.observation.stdout.split()

    async def main() -> None:
        async with LocalServer(CodingEnvironment) as server:
            seen = await asyncio.gather(*(episode(server, number) for number in range(8)))
        assert seen == [[str(number), f"secret_{number}"] for number in range(8)]

    asyncio.run(main())


# --- penalties ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reward"),
    [("print(", -0.2), ("  x", -0.2), ("while True: pass", -0.5), ("1 / 0", None), ("pass", None)],
)
def test_penalties_are_transforms(code, reward):
    penalties: Transform = CompositeTransform([SyntaxPenalty(0.2), TimeoutPenalty(0.5)])

    async def main(environment: CodingEnvironment) -> StepResult:
        await environment.reset()
        seconds = 1 if "while True" in code else 30
        return await environment.step(CodeAction(code=code, timeout_s=seconds))

    assert played(main, transform=penalties).reward == reward


# --- served ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["python", pytest.param("smolagents", marks=has_smolagents)])
def served(request) -> Iterator[Any]:
    """A client of a server in a sandbox."""
    try:
        provider = SandboxProvider(env_vars={"CODING_ENV_INTERPRETER": request.param})
        with CodingEnv.with_provider(provider) as env:
            yield env
    except IsolationError as error:
        pytest.skip(f"no sandbox here: {error}")


@pytest.mark.slow
@pytest.mark.parametrize("task_id", [task["id"] for task in TASKS])
def test_the_oracle_earns_the_most_and_the_null_policy_the_least(served, task_id):
    assert oracle(served, task_id=task_id) == MAX_RETURN
    assert null(served, task_id=task_id) == MIN_RETURN
    assert served.state().task_id == task_id


# --- smolagents --------------------------------------------------------------------------------------


@has_smolagents
def test_smolagents_refuses_what_it_does_not_know_and_keeps_variables():
    first, refused, failed, late, syntax, last = steps(
        "x = 6\nprint('x is', x)",
        "import os",
        "print('before')\n[][x]",
        CodeAction(code="while True: x = x + 1", timeout_s=0.3),
        "def (",
        "x > 5",
        interpreter="smolagents",
    )
    assert (first.observation.stdout, first.observation.value) == ("x is 6\n", None)
    assert refused.observation.error.type == "InterpreterError"
    assert "Import of os is not allowed" in refused.observation.stderr
    assert (failed.observation.stdout, failed.observation.error.type) == ("before\n", "IndexError")
    assert "smolagents" not in failed.observation.stderr
    assert late.observation.timed_out
    assert syntax.observation.error.type == "SyntaxError"
    assert last.observation.value == "True"


@has_smolagents
def test_who_gets_past_smolagents_is_held_all_the_same():
    escape = "[c for c in ().__class__.__base__.__subclasses__()]"
    (tried,) = steps(escape, interpreter="smolagents")
    assert tried.observation.error is not None
    _, graded = steps(
        "def second_largest(numbers):\n  return sorted(set(numbers))[-2] if len(set(numbers)) > 1 else None",
        CodeAction(code="", submit=True),
        interpreter="smolagents",
        task_id="second_largest",
    )
    assert graded.reward == 1.0


# --- many at once ------------------------------------------------------------------------------------

SESSIONS, STEPS = 64, 10


@pytest.mark.slow
def test_sixty_four_sessions_at_once_lose_nothing_and_read_back_their_own_secrets():
    async def episode(url: str) -> int:
        secret = secrets.token_hex(16)
        async with CodingEnv(base_url=url, message_timeout_s=120) as env:
            await env.reset()
            first = await env.step(CodeAction(code=f"secret = {secret!r}; open('secret', 'w').write(secret)"))
            assert first.observation.exit_code == 0, first.observation.stderr
            for _ in range(STEPS - 1):
                result = await env.step(CodeAction(code="print(secret, open('secret').read())"))
                assert result.observation.stdout == f"{secret} {secret}\n", result.observation
        return STEPS

    async def main(url: str) -> int:
        return sum(await asyncio.gather(*(episode(url) for _ in range(SESSIONS))))

    with ProcessProvider(HERE, max_concurrent_envs=SESSIONS) as provider:
        assert asyncio.run(main(provider.base_url)) == SESSIONS * STEPS
