"""What repl_env promises: the contract of every environment, a context out of sight, fair grades, counting."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from openenv.errors import InvalidRequestError, IsolationError, NotResetError
from openenv.models import StepResult
from openenv.providers import ProcessProvider, SandboxProvider
from openenv.testing import EnvironmentContract, EnvironmentMemoryContract, LocalServer
from repl_env import ReplAction, ReplEnv, ReplObservation
from repl_env.policies import MAX_RETURN, MIN_RETURN, null, oracle
from repl_env.server import sub_model
from repl_env.server.repl_environment import SHOWN_CHARACTERS, ReplEnvironment
from repl_env.server.sub_model import QueryLimits, openai_compatible
from repl_env.server.tasks import KINDS, Task, make_task

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workspaces are held by Linux")

SMALL = {"seed": 0, "size": 20_000}


class TestContract(EnvironmentContract):
    environment = ReplEnvironment
    actions = (
        ReplAction(code="print(context[:80])"),
        ReplAction(code="1 / 0"),
        ReplAction(code="llm_query('hello')"),
        ReplAction(code="x = len(context)\nx"),
        ReplAction(final_answer="Hull"),
    )
    bad_actions = ({"code": 5}, {"final_answer": {}}, {"final_answer": [1]}, {"code": "", "no_such_field": 1})


@pytest.mark.slow
class TestMemory(EnvironmentMemoryContract):
    environment = ReplEnvironment
    actions = (ReplAction(code="print(context[:80])"),)
    steps = 1
    episodes = 500
    patience_s = 300


def episode(*actions: ReplAction | str, reset: dict[str, object] = SMALL, **options: object) -> list[StepResult]:
    """Play an episode without a server; a text is code."""

    async def play() -> list[StepResult]:
        environment = ReplEnvironment(**options)
        try:
            await environment.reset(**reset)
            made = [ReplAction(code=one) if isinstance(one, str) else one for one in actions]
            return [await environment.step(action) for action in made]
        finally:
            await environment.close()

    return asyncio.run(play())


def run(*code: str, **options: object) -> ReplObservation:
    """Return what the last piece of code has come to."""
    return episode(*code, **options)[-1].observation


# --- the context and the code ------------------------------------------------------------------------


def test_the_context_is_a_variable_and_only_its_length_is_told():
    task = make_task("needle", 100_000, 3)
    seen = run("context[:50], len(context)", reset={"seed": 3, "size": 100_000, "task": "needle"})
    assert seen.value == repr((task.context[:50], len(task.context)))
    assert seen.context_characters == len(task.context)
    assert task.context[:50] not in seen.question


def test_of_much_output_the_beginning_and_the_end_are_shown_and_what_is_missing_is_told():
    seen = run("print('begin', context, 'end')\ncontext")
    for shown in (seen.stdout, seen.value):
        assert len(shown) < SHOWN_CHARACTERS + 100
        assert "characters are not shown" in shown
    assert seen.stdout.startswith("begin")
    assert seen.stdout.endswith("end\n")
    assert seen.characters_cut > 2 * (seen.context_characters - SHOWN_CHARACTERS)


def test_variables_stay_and_errors_are_told():
    first, second, third = episode("x = 6", "x * 7", "1 / 0")
    assert (first.observation.value, second.observation.value) == (None, "42")
    assert third.observation.error == "ZeroDivisionError"
    assert "ZeroDivisionError" in third.observation.stderr
    assert [result.reward for result in (first, second, third)] == [None] * 3


def test_a_step_has_its_time_and_variables_survive_it():
    late, after = episode("x = 7\nwhile True: pass", "x", step_s=0.5)
    assert late.observation.timed_out
    if not late.observation.context_lost:  # a busy machine may not come back in time from an interruption
        assert after.observation.value == "7"


@pytest.mark.parametrize("end", ["import os; os._exit(3)", "import ctypes; ctypes.string_at(0)"])
def test_after_an_interpreter_has_died_the_context_is_there_again(end):
    dead, after = episode(f"x = 1\nopen('context.txt', 'w').close()\n{end}", "len(context), 'x' in globals()")
    assert dead.observation.context_lost
    assert after.observation.value == f"({after.observation.context_characters}, False)"


@pytest.mark.parametrize(
    "code",
    [
        "\0",
        "'\udc80'",
        "print('\\udc80')",
        "x = '" + "y" * 10_000_000 + "'",
        "raise type('E', (Exception,), {'__str__': lambda self: 1 / 0})",
        "def f(): f()\nf()",
        "print('x' * 100_000_000)",
        "del context",
        "FINAL_VAR('no_such_name')",
        "FINAL()",
        "FINAL('x' * 2_000_000)",
        "_final()",
        "_final(1, 2)",
        "_llm_queries(*range(5))",
        "llm_query(10 ** 5000)",
        "llm_query_batched(5)",
        "llm_query = FINAL = None",
    ],
)
def test_whatever_is_run_the_next_step_runs(code):
    first, second = episode(code, "6 * 7")
    assert (first.reward, first.done) == (None, False)
    assert second.observation.value == "42"
    ReplObservation.model_validate_json(first.observation.model_dump_json())


# --- answers -----------------------------------------------------------------------------------------


def needle() -> Task:
    return make_task("needle", 20_000, 0)


NEEDLE = {**SMALL, "task": "needle"}


@pytest.mark.parametrize(
    "how", ["FINAL({})", "FINAL('{}')", "FINAL({}.0)", "found = {}\nFINAL_VAR('found')", "FINAL({})\nFINAL(1)"]
)
def test_the_code_gives_the_final_answer_the_first_one_counts(how):
    (result,) = episode(how.format(needle().answer), reset=NEEDLE)
    assert (result.reward, result.terminated) == (1.0, True)


def test_the_action_gives_the_final_answer_after_its_code():
    right = needle().answer
    assert episode(ReplAction(final_answer=right), reset=NEEDLE)[0].reward == 1.0
    assert episode(ReplAction(final_answer=f" {right} "), reset=NEEDLE)[0].reward == 1.0
    assert episode(ReplAction(code="FINAL(1)", final_answer=right), reset=NEEDLE)[0].reward == 0.0


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("FINAL(float('nan'))", "nan"),
        ("FINAL(float('inf'))", "inf"),
        ("FINAL(10 ** 40)", "1" + "0" * 40),
        ("FINAL({1})", "{1}"),
        ("FINAL(None)", "None"),
        ("_final([1, {'a': None}])", "[1, {'a': None}]"),
        ("FINAL('\\udc80')", "?"),
        ("FINAL('')", ""),
        ("FINAL(1); import os; os._exit(1)", 1),
    ],
)
def test_an_answer_of_any_kind_is_taken_and_is_wrong(code, answer):
    (result,) = episode(code, reset=NEEDLE)
    assert (result.reward, result.terminated, result.observation.final_answer) == (0.0, True, answer)
    ReplObservation.model_validate_json(result.observation.model_dump_json())


def test_an_episode_without_an_answer_ends_with_its_last_step():
    first, last = episode("1", "2", max_steps=2)
    assert (first.reward, first.done, first.observation.steps_left) == (None, False, 1)
    assert (last.reward, last.truncated, last.terminated) == (0.0, True, False)


def test_what_is_not_there_is_refused():
    with pytest.raises(NotResetError):
        asyncio.run(ReplEnvironment().step(ReplAction(code="1")))
    for wrong in ({"task": "nope"}, {"size": 5}, {"size": 10**9}):
        with pytest.raises(InvalidRequestError):
            episode(reset=wrong)


# --- tasks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_task_follows_its_seed_and_has_about_the_size_asked_for(kind):
    for size in (10_000, 100_000, 1_000_000):
        task = make_task(kind, size, 5)
        assert task == make_task(kind, size, 5)
        assert task.context != make_task(kind, size, 6).context
        assert 0.9 * size < len(task.context) < 1.1 * size + 500


@pytest.mark.parametrize("seed", range(20))
def test_the_text_says_the_answer_once(seed):
    task = make_task("needle", 10_000, seed)
    assert task.context.count(str(task.answer)) == 1
    counted = make_task("counting", 10_000, seed)
    assert isinstance(counted.answer, int)
    assert counted.answer >= 3
    joined = make_task("join_two_facts", 10_000, seed)
    assert joined.context.count(f"will winter in {joined.answer}.") == 1


@pytest.mark.parametrize("answer", [None, True, "", [], "nan", float("nan"), 10**400, "1" * 5000, b"x"])
def test_a_wrong_answer_earns_nothing_whatever_it_is(answer):
    for kind in KINDS:
        assert make_task(kind, 10_000, 1).reward(answer) == 0.0


# --- the sub-model -----------------------------------------------------------------------------------


async def shout(prompt: str) -> str:
    return prompt.upper()


def test_code_asks_the_sub_model_and_what_it_asks_is_counted():
    code = "print(llm_query('hello'), llm_query_batched(['a', 'bc']))"
    seen = run(code, sub_model=shout, query_limits=QueryLimits(queries=5))
    assert seen.stdout == "HELLO ['A', 'BC']\n"
    assert seen.queries == [(5, 5), (1, 1), (2, 2)]
    assert seen.queries_left == 2


def test_without_a_sub_model_the_code_is_told():
    seen = run("llm_query('hello')")
    assert seen.error == "RuntimeError"
    assert "no sub-model" in seen.stderr
    assert seen.queries_left == 0


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("llm_query('abcdef')", "a prompt may have 5 characters"),
        ("llm_query_batched(['a'] * 4)", "of the 3 queries of the episode 3 are left"),
        ("for _ in range(4): llm_query('a')", "of the 3 queries of the episode 0 are left"),
        ("_llm_queries([5])", "a prompt is a text"),
        ("llm_query('x' * 2_000_000)", "are too much to ask at once"),
    ],
)
def test_the_number_and_the_size_of_queries_are_limited(code, told):
    limits = QueryLimits(queries=3, prompt_characters=5)
    assert told in run(code, sub_model=shout, query_limits=limits).stderr


def test_a_long_answer_is_cut():
    async def talk(_: str) -> str:
        return "x" * 1000

    seen = run("len(llm_query('go on'))", sub_model=talk, query_limits=QueryLimits(answer_characters=10))
    assert seen.value == "10"


def test_several_queries_run_at_once_and_threads_may_ask():
    waiting: list[str] = []
    all_there = asyncio.Event()

    async def wait_for_three(prompt: str) -> str:
        waiting.append(prompt)
        if len(waiting) == 3:
            all_there.set()
        await all_there.wait()
        return prompt

    assert run("llm_query_batched(['a', 'b', 'c'])", sub_model=wait_for_three).value == "['a', 'b', 'c']"
    threads = "from concurrent.futures import ThreadPoolExecutor as P\nlist(P(4).map(llm_query, 'abcdefgh'))"
    assert run(threads, sub_model=shout).value == str(list("ABCDEFGH"))


def test_a_sub_model_that_fails_is_an_error_of_the_call():
    async def fail(_: str) -> str:
        raise ConnectionError("nobody there")

    seen = run("try: llm_query('a')\nexcept RuntimeError as e: print(e)", sub_model=fail)
    assert "nobody there" in seen.stdout


def test_a_query_that_nobody_waits_for_any_more_is_given_up():
    ended: list[str] = []

    async def never(prompt: str) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(prompt)
        return ""

    late, after = episode("llm_query('a')", "1 + 1", sub_model=never, step_s=0.5)
    assert late.observation.timed_out
    assert after.observation.value == "2"
    assert ended == ["a"]


def test_an_openai_compatible_server_is_asked_as_such(monkeypatch):
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((str(request.url), request.headers.get("authorization"), json.loads(request.content)))
        if len(asked) > 1:
            return httpx.Response(500, text="a secret of the server")
        return httpx.Response(200, json={"choices": [{"message": {"content": "hi"}}]})

    real = httpx.AsyncClient
    monkeypatch.setattr(
        sub_model.httpx, "AsyncClient", lambda **options: real(transport=httpx.MockTransport(answer), **options)
    )
    model = openai_compatible("http://models.test/v1/", "small", "k3y")
    assert asyncio.run(model("hello")) == "hi"
    assert asked == [
        (
            "http://models.test/v1/chat/completions",
            "Bearer k3y",
            {"model": "small", "messages": [{"role": "user", "content": "hello"}]},
        )
    ]
    with pytest.raises(RuntimeError, match=r"answers 500$"):
        asyncio.run(model("hello"))


# --- served ------------------------------------------------------------------------------------------


def test_two_sessions_do_not_see_one_another():
    async def session(server: LocalServer, number: int) -> str | None:
        async with server.client(ReplEnv) as env:
            await env.reset(seed=number, size=20_000)
            await env.step(ReplAction(code=f"secret = {number}\nopen('{number}', 'w').close()"))
            code = "import os\nsecret, len(context), sorted(os.listdir())"
            return (await env.step(ReplAction(code=code))).observation.value

    async def play() -> list[str | None]:
        async with LocalServer(ReplEnvironment) as server:
            return await asyncio.gather(*(session(server, number) for number in range(6)))

    sizes = [len(make_task(None, 20_000, number).context) for number in range(6)]
    assert asyncio.run(play()) == [repr((n, sizes[n], [str(n), "context.txt"])) for n in range(6)]


def test_a_close_leaves_no_process_and_no_folder():
    seconds = f"8{os.getpid():07}"  # tells the process from all others
    code = f"import os, subprocess\nsubprocess.Popen(['sleep', '{seconds}'], start_new_session=True)\nos.getcwd()"

    async def play() -> str:
        environment = ReplEnvironment()
        await environment.reset(**SMALL)
        result = await environment.step(ReplAction(code=code))
        end = time.monotonic() + 20
        while not processes(f"sleep {seconds}"):  # for a moment a program has no arguments yet
            assert time.monotonic() < end
        await environment.close()
        return (result.observation.value or "").strip("'")

    place = asyncio.run(play())
    assert processes(f"sleep {seconds}") == []
    assert not Path(place).parent.exists()


def processes(command: str) -> list[str]:
    """Return the processes of this machine that were started by a command."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += (
                [file.parent.name] if file.read_bytes().replace(b"\0", b" ").decode().startswith(command) else []
            )
    return found


def test_the_answers_are_out_of_reach():
    here = str(Path(__file__).resolve())
    assert run(f"open({here!r})").error in ("PermissionError", "FileNotFoundError")
    assert run("import repl_env").error == "ModuleNotFoundError"
    assert run("import socket; socket.create_connection(('127.0.0.1', 80))").error in ("PermissionError", "OSError")


def test_an_episode_against_a_server():
    with ReplEnv.with_provider(ProcessProvider()) as env:
        assert env.metadata().name == "repl_env"
        assert oracle(env) == MAX_RETURN
        assert null(env) == MIN_RETURN


@pytest.mark.slow
@pytest.mark.parametrize("play", [oracle, null])
def test_every_task_is_played_in_a_sandbox_with_texts_of_every_size(play: Callable[..., float]):
    best = {oracle: MAX_RETURN, null: MIN_RETURN}[play]
    sizes = (100_000, 1_000_000, 8_000_000)
    try:
        with ReplEnv.with_provider(SandboxProvider("repl_env.server.app:app")) as env:
            for size in sizes:
                assert [play(env, task=kind, seed=7, size=size) for kind in KINDS] == [best] * len(KINDS)
    except IsolationError as error:
        pytest.skip(f"no sandbox here: {error}")
