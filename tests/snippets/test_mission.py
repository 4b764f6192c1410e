"""The programs that articles about OpenEnv print, run word for word against servers in their own processes.

What is filled in: the address of the server. Where an article starts a container, the provider of that name is
the process provider here, so the program itself is unchanged and needs no container engine.
"""

import asyncio
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from openenv.cli.init import init
from openenv.client import EnvClient
from openenv.errors import ConnectionFailedError
from openenv.models import Action, Observation, State, StepResult
from openenv.providers import ProcessProvider, registry
from openenv.testing import LocalServer

ROOT = Path(__file__).parents[2]
PRINTED = ROOT / "docs_src" / "mission"
PACKAGE = "python_exec_env_mission"

pytestmark = pytest.mark.xdist_group("mission")  # one process, so that each server is started once


def execute(name: str, **names: object) -> dict[str, object]:
    """Run a printed program and return its names; `base_url` is filled in, the others are there beforehand."""
    path = PRINTED / name
    code = path.read_text(encoding="utf-8").replace("BASE_URL", str(names.pop("base_url", "")))
    namespace = {"__name__": "printed", **names}
    exec(compile(code, str(path), "exec"), namespace)
    return namespace


@pytest.fixture(scope="module")
def echo_url() -> Iterator[str]:
    with ProcessProvider(ROOT / "envs" / "echo_env") as provider:
        yield provider.base_url


# --- the echo environment ------------------------------------------------------------------------------


def test_the_async_program_prints_what_its_comments_say(echo_url, capsys):
    execute("echo_async.py", base_url=echo_url)
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines == [
        "Initial obs: Echo environment ready!",
        "Observation: Hello from my RL trainer!",
        "Reward: 1.0",
        "Done: False",
    ]
    assert re.fullmatch(r"Episode: \S+, Steps: 1", last)


def test_the_sync_program_prints_its_echo(echo_url, capsys):
    execute("echo_sync.py", base_url=echo_url)
    assert capsys.readouterr().out == "Sync also works!\n"


def test_the_blocking_program_of_the_first_generation_prints_what_its_comments_say(capsys, monkeypatch):
    monkeypatch.setitem(registry._BUILT_IN, "docker", "openenv.providers.process:ProcessProvider")
    monkeypatch.syspath_prepend(str(ROOT))
    client = execute("echo_blocking.py")["client"]
    assert capsys.readouterr().out.splitlines() == ["Echo environment ready!", "Hello, World!", "1.3"]
    assert isinstance(client, EnvClient)
    with pytest.raises(ConnectionFailedError):  # `close` has ended the server
        type(client)(base_url=client.base_url).reset()


# --- the interface --------------------------------------------------------------------------------------


class Add(Action):
    amount: int


class Total(Observation):
    total: int


def test_a_class_that_follows_the_printed_interface_can_be_served():
    types = {"Action": Action, "Observation": Observation, "State": State, "StepResult": StepResult}
    printed: type = execute("environment_interface.py", **types)["Environment"]

    class Counter(printed):
        async def reset(self) -> Total:
            self.total = 0
            return Total(total=0)

        async def step(self, action: Add) -> StepResult:
            self.total += action.amount
            return StepResult(observation=Total(total=self.total), reward=1.0, done=False, info={"why": "test"})

        async def state(self) -> State:
            return State(episode_id="mine", step_count=self.total, level=3)

    async def main() -> None:
        async with LocalServer(Counter) as server, server.client() as env:
            assert (await env.reset()).observation == Total(total=0)
            result = await env.step(Add(amount=2))
            assert (result.observation.total, result.reward, result.done) == (2, 1.0, False)
            assert result.info == {"why": "test"}
            state = await env.state()
            assert (state.episode_id, state.step_count, state.level) == ("mine", 2, 3)
            assert state.elapsed_time >= 0

    asyncio.run(main())


# --- an environment from scratch ------------------------------------------------------------------------

# The article prints what these two hold only in words.
INIT = """
from .client import PyExecEnv
from .models import PyExecObservation, ResetAction, RunCodeAction
"""
APP = """
from openenv.server import create_app

from .environment import PythonExecEnvironment

app = create_app(PythonExecEnvironment)
"""


@pytest.fixture(scope="module")
def package_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `openenv init` makes, with the printed files put in."""
    folder = tmp_path_factory.mktemp("article") / PACKAGE
    assert CliRunner().invoke(init, [PACKAGE, "-o", str(folder.parent)]).exit_code == 0
    for printed in (PRINTED / "python_exec_env").rglob("*.py"):
        place = folder / printed.relative_to(PRINTED / "python_exec_env")
        place.write_text(printed.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "__init__.py").write_text(INIT, encoding="utf-8")
    (folder / "server" / "app.py").write_text(APP, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def package(package_folder: Path) -> Iterator[ModuleType]:
    sys.path.insert(0, str(package_folder.parent))
    try:
        yield importlib.import_module(PACKAGE)
    finally:
        sys.path.remove(str(package_folder.parent))
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def package_url(package_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    variables = {
        # The printed code calls `python`, and leaves its work folders behind.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "TMPDIR": str(tmp_path_factory.mktemp("work")),
    }
    with ProcessProvider(package_folder, env_vars=variables) as provider:
        yield provider.base_url


def test_the_printed_environment_is_played_by_its_own_client(package, package_url):
    async def main() -> None:
        async with package.PyExecEnv(base_url=package_url) as env:
            result = await env.reset()
            assert isinstance(result.observation, package.PyExecObservation)
            assert result.observation.stdout == "Python 3.12 sandbox ready."
            result = await env.step(package.RunCodeAction(code="print(6 * 7)"))
            assert (result.observation.stdout, result.observation.exit_code) == ("42\n", 0)
            assert (result.reward, result.done) == (1.0, False)
            result = await env.step(package.RunCodeAction(code="1 / 0"))
            assert "ZeroDivisionError" in result.observation.stderr
            assert result.reward == -0.5
            state = await env.state()
            assert (len(state.episode_id), state.step_count) == (16, 2)

    asyncio.run(main())


def test_the_printed_environment_resets_by_action_times_out_and_ends_after_twenty_steps(package, package_url):
    with package.PyExecEnv(base_url=package_url) as env:
        env.reset()
        env.step(package.RunCodeAction(code="pass"))
        result = env.step(package.ResetAction())
        assert (result.reward, result.done, env.state().step_count) == (0.0, False, 0)
        result = env.step(package.RunCodeAction(code="import time; time.sleep(60)", timeout_seconds=0.2))
        assert (result.observation.exit_code, result.reward) == (-1, -1.0)
        assert result.observation.stderr == "TimeoutError: execution exceeded limit"
        results = [env.step(package.RunCodeAction(code="")) for _ in range(19)]
        assert [result.done for result in results] == [False] * 18 + [True]


# --- the reward function of a trainer --------------------------------------------------------------------

COMPLETIONS = ["print('hello')", "1 / 0", "import sys; sys.exit(3)", "print(", "pass", "x = 1", "y", "0"]
REWARDS = [1.0, -0.5, -0.5, -0.5, 1.0, 1.0, -0.5, 1.0]

RewardFunction = Callable[[list[str]], list[float]]


def test_the_reward_function_grades_many_completions_at_once():
    with ProcessProvider(ROOT / "envs" / "python_exec_env") as provider:
        grade: RewardFunction = execute("reward_function.py", base_url=provider.base_url)["openenv_reward_fn"]
        assert grade(COMPLETIONS) == REWARDS
        assert grade([]) == []


def test_the_reward_function_grades_many_completions_at_once_with_the_printed_environment_too(
    package, package_url, monkeypatch
):
    """The printed class does not say that two may be in one process, so each session has a process of its own."""
    monkeypatch.setitem(sys.modules, "python_exec_env", package)
    grade: RewardFunction = execute("reward_function.py", base_url=package_url)["openenv_reward_fn"]
    assert grade(COMPLETIONS) == REWARDS
