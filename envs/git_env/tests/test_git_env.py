"""What git_env promises: the contract of every environment, real repositories, and checks that cannot be fooled."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from git_env import GitAction, GitEnv, GitObservation, ReadFile, Submit, WriteFile
from git_env.policies import MAX_RETURN, MIN_RETURN, null, oracle
from git_env.server import bare
from git_env.server.git_environment import GitEnvironment
from git_env.server.tasks import Tasks
from openenv.errors import ConfigurationError, InvalidRequestError, IsolationError, NotResetError
from openenv.execution import backend
from openenv.models import StepResult
from openenv.providers import ProcessProvider, SandboxProvider
from openenv.testing import EnvironmentContract, EnvironmentMemoryContract, LocalServer

BOUND_S = 60.0


def _lacking() -> str:
    try:
        backend()
    except IsolationError:
        return "nothing here holds programs"
    return "" if shutil.which("git") else "git is not installed (Debian: apt-get install git)"


pytestmark = pytest.mark.skipif(bool(_lacking()), reason=_lacking())


class TestContract(EnvironmentContract):
    environment = GitEnvironment
    actions = (
        GitAction(command="git status"),
        GitAction(command="false"),
        ReadFile(path="no such file"),
        WriteFile(path="a/b", text="snow \N{SNOWMAN}"),
        Submit(),
    )
    bad_actions = (
        {"type": "command"},
        {"type": "command", "command": 5},
        {"type": "command", "command": "git log", "timeout_s": 0},
        {"type": "write"},
        {"type": "no_such_type"},
        {"command": "git log"},
    )
    steps = 3

    def choose_action(self, step: int, result: StepResult) -> GitAction:
        return GitAction(command=f"echo {step} > file && git add . && git commit -m {step} && git log -1")


@pytest.mark.slow
class TestMemory(EnvironmentMemoryContract):
    environment = GitEnvironment
    actions = (GitAction(command="git status"),)
    steps = 1
    episodes = 500
    patience_s = 300


Play = Callable[[GitEnvironment], Awaitable[None]]


def in_episode(play: Play, task_id: str = "merge-conflict") -> None:
    async def main() -> None:
        environment = GitEnvironment()
        async with asyncio.timeout(BOUND_S):
            try:
                await environment.reset(task_id=task_id)
                await play(environment)
            finally:
                await environment.close()

    asyncio.run(main())


async def git(environment: GitEnvironment, command: str, **how: object) -> GitObservation:
    return (await environment.step(GitAction(command=command, **how))).observation


# --- commands and files ------------------------------------------------------------------------------


def test_commits_are_the_same_in_every_episode_and_in_the_order_of_the_steps():
    seen = []

    async def play(env: GitEnvironment) -> None:
        for _ in range(2):
            await git(env, "git commit -q --allow-empty -m more")
        seen.append((await git(env, "git log --format='%H %an %ae %at'")).stdout)

    in_episode(play)
    in_episode(play)
    assert seen[0] == seen[1]
    lines = [line.split() for line in seen[0].splitlines()]
    assert {(name, mail) for _, name, mail, _ in lines} == {("agent", "agent@localhost")}
    assert [int(when) for *_, when in lines] == sorted((int(when) for *_, when in lines), reverse=True)


def test_the_machines_own_configuration_makes_no_difference(monkeypatch, tmp_path):
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = somebody\n[core]\n\thooksPath = /tmp\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "somebody")

    async def play(env: GitEnvironment) -> None:
        await git(env, "git commit -q --allow-empty -m more")
        assert (await git(env, "git log -1 --format=%an; git config core.hooksPath")).stdout == "agent\n"

    in_episode(play)


def test_files_are_read_and_written_from_where_commands_begin():
    async def play(env: GitEnvironment) -> None:
        await env.step(WriteFile(path="new/file", text="snow \N{SNOWMAN}\n"))
        assert (await git(env, "git status --short -uall")).stdout == "?? new/file\n"
        assert (await env.step(ReadFile(path="new/file"))).observation.stdout == "snow \N{SNOWMAN}\n"

    in_episode(play)


@pytest.mark.parametrize("path", ["nothing", "", "a\0b", "pipe", "folder", "/etc/shadow", "x" * 5000, "big"])
def test_a_file_that_cannot_be_read_is_answered_with_the_reason(path):
    async def play(env: GitEnvironment) -> None:
        await git(env, "mkfifo pipe; mkdir folder; truncate -s 100M big")
        assert (await env.step(ReadFile(path=path))).observation.error

    in_episode(play)


@pytest.mark.parametrize(
    ("command", "exit_code"),
    [
        ("git no-such-command", 1),
        ("git commit", 1),
        ("if", 2),
        ("\0", 127),
        ("kill -9 $$", None),
        ("rm -rf ../project", 0),
        ("rm -rf .git", 0),
        ("head -c 3000000 /dev/urandom", 0),
    ],
)
def test_whatever_a_command_does_it_is_answered_and_so_is_the_next(command, exit_code):
    async def play(env: GitEnvironment) -> None:
        seen = await git(env, command)
        assert seen.exit_code == exit_code
        assert len(seen.stdout) < 300_000
        assert (await git(env, "echo fine")).exit_code is not None
        assert (await env.step(Submit())).reward == 0.0

    in_episode(play)


@pytest.mark.parametrize("command", ["cat /dev/zero > /dev/null", "git commit -a -F /dev/stdin & wait; sleep 600"])
def test_a_command_that_never_ends_is_ended_and_says_so(command):
    async def play(env: GitEnvironment) -> None:
        seen = await git(env, command, timeout_s=0.5)
        assert (seen.timed_out, seen.error) == (True, "The command was ended, for its time was up")
        assert (await git(env, "git status --short")).exit_code == 0

    in_episode(play)


# --- the episode -------------------------------------------------------------------------------------


def test_seeds_choose_the_task_and_names_do_too():
    async def main() -> None:
        environment = GitEnvironment()
        seen = [(await environment.reset(seed=seed)).task_id for seed in (*range(12), *range(12))]
        assert seen[:12] == seen[12:]
        assert len(set(seen)) > 3
        with pytest.raises(InvalidRequestError, match="lost-work"):
            await environment.reset(task_id="no such task")
        await environment.close()

    asyncio.run(main())


def test_a_step_before_the_reset_says_so():
    with pytest.raises(NotResetError, match=r"reset\(\)"):
        asyncio.run(GitEnvironment().step(Submit()))


def test_without_git_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ConfigurationError, match="apt-get install git"):
        GitEnvironment()


def test_the_share_of_the_checks_is_the_reward_and_no_other_step_has_one():
    async def play(env: GitEnvironment) -> None:
        assert (await env.step(GitAction(command="git merge -X ours -m Merge autumn"))).reward is None
        last = await env.step(Submit())
        assert (last.reward, last.done, last.truncated) == (pytest.approx(2 / 3), True, False)
        assert [check.passed for check in last.observation.checks] == [True, False, True]

    in_episode(play)


def test_when_the_steps_are_used_up_the_checks_are_made_too():
    async def play(env: GitEnvironment) -> None:
        for _ in range(39):
            assert not (await env.step(ReadFile(path="prices.txt"))).done
        last = await env.step(ReadFile(path="prices.txt"))
        assert (last.reward, last.done, last.truncated) == (0.0, True, True)

    in_episode(play)


def test_two_sessions_do_not_see_one_another():
    async def episode(server: LocalServer, number: int) -> str:
        async with server.client(GitEnv) as env:
            await env.reset(task_id="first-commit")
            await env.step(GitAction(command=f"git commit -q --allow-empty -m 'Mine: {number}'"))
            return (await env.step(GitAction(command="git log --format=%s"))).observation.stdout

    async def main() -> None:
        async with LocalServer(GitEnvironment) as server, asyncio.timeout(BOUND_S):
            seen = await asyncio.gather(*(episode(server, number) for number in range(4)))
        assert seen == [f"Mine: {number}\nBegin\n" for number in range(4)]

    asyncio.run(main())


def test_a_close_leaves_no_process_and_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def main() -> None:
        environment = GitEnvironment()
        await environment.reset(seed=1)
        await git(environment, f"setsid sleep {LONG_S} &")
        await environment.close()
        assert not _sleepers()

    asyncio.run(main())
    assert not list(tmp_path.iterdir())


LONG_S = 600 + os.getpid() / 10**8  # which nobody else would sleep for


def _sleepers() -> list[str]:
    """Return the processes that sleep for just that long."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(LONG_S).encode() in place.read_bytes().split(b"\0")[:2]:
                found.append(place.parent.name)
    return found


# --- what an agent may leave behind ------------------------------------------------------------------

MERGED = """
    git merge -q autumn
    printf 'filter coffee 2.80\\ntea 3.20\\ncake 3.90\\npumpkin soup 5.50\\n' > prices.txt
    git commit -q -a -m Merged
"""
# A commit that is no merge, shown as the right one by what stands beside the objects.
FORGED = """
    printf 'filter coffee 2.80\\ntea 3.20\\ncake 3.90\\npumpkin soup 5.50\\n' > prices.txt
    git checkout -q autumn -- recipes && git commit -q -a -m Forged; one=$(git rev-parse main)
    other=$(git commit-tree -p main^ -p autumn -m Forged main:)
"""


@pytest.mark.parametrize(
    ("trap", "reward"),
    [
        (FORGED, 2 / 3),
        (FORGED + "git replace $one $other; git pack-refs --all", 2 / 3),
        (FORGED + "echo $one $(git rev-parse main^ autumn) > .git/info/grafts", 2 / 3),
        (FORGED + "cp .git/objects/$(echo $other | sed 's,..,&/,') f; chmod u+w f .git/objects/$(echo $one | sed "
         "'s,..,&/,'); cp f .git/objects/$(echo $one | sed 's,..,&/,')", 0.0),
    ],
    ids=["plain", "replaced", "grafted", "overwritten"],
)  # fmt: skip
def test_history_is_what_the_objects_say(trap, reward):
    async def play(env: GitEnvironment) -> None:
        await git(env, trap)
        assert (await env.step(Submit())).reward == pytest.approx(reward)

    in_episode(play)


@pytest.mark.parametrize(
    "trap",
    [
        "git config core.fsmonitor 'touch ../../ran; false'; git config core.pager 'touch ../../ran'",
        "git config core.sshCommand false; git config alias.rev-parse '!true'; git config core.worktree /none",
        "echo exit 1 > .git/hooks/post-checkout; chmod +x .git/hooks/*; git config core.hooksPath .",
        "echo '* filter=evil diff=evil' > .git/info/attributes; git config filter.evil.smudge false",
        "git config core.bare nonsense; echo '[' >> .git/config",
        "rm .git/HEAD; git config --global alias.log '!false'; echo garbage > .git/index",
        "git pack-refs --all; git gc -q; git commit-graph write -q 2>/dev/null; git multi-pack-index write",
        "mkfifo .git/pipe; ln -s / .git/root; mkdir -p .git/refs/heads/deep/er",
    ],
)
def test_what_is_not_objects_and_references_makes_no_difference(trap):
    async def play(env: GitEnvironment) -> None:
        await git(env, MERGED)
        await git(env, trap)
        assert (await env.step(Submit())).reward == 1.0

    in_episode(play)


@pytest.mark.parametrize(
    "damage",
    [
        "mv .git/objects ../elsewhere; ln -s ../../elsewhere .git/objects",
        "mv .git ../elsewhere; echo 'gitdir: ../elsewhere' > .git",
        "mv .git ../elsewhere; ln -s ../elsewhere .git",
        "mkdir ../else; mv .git/objects/?? ../else; echo ../../../else > .git/objects/info/alternates",
        "chmod 000 .git",
        "truncate -s 100M .git/objects/pack/pack-0000000000000000000000000000000000000000.pack",
        "for file in $(find .git/objects -type f); do chmod u+w $file; echo > $file; done",
    ],
    ids=["linked objects", "git file", "link", "alternates", "locked", "too large", "overwritten"],
)
def test_a_repository_that_is_not_all_there_has_failed(damage):
    async def play(env: GitEnvironment) -> None:
        await git(env, MERGED)
        await git(env, damage)
        last = await env.step(Submit())
        assert last.reward == 0.0
        assert any(check.message for check in last.observation.checks)

    in_episode(play)


def test_of_a_git_folder_only_objects_and_references_are_taken_over():
    async def play(env: GitEnvironment) -> None:
        await git(
            env, "git tag -a -m one one; git pack-refs --all; git gc -q; touch .git/objects/ab .git/refs/x..y"
        )
        kept = set(await _names(env))
        assert {name for name in kept if not name.startswith(("objects/", "refs/"))} == {
            "HEAD",
            "config",
            "packed-refs",
        }
        assert not any("info" in name or ".." in name for name in kept)

    async def _names(env: GitEnvironment) -> list[str]:
        import io
        import tarfile

        packed = bare.cleaned(await env._workspace.pack("project/.git"))
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            return [member.name for member in archive if member.isreg()]

    in_episode(play)


# --- tasks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "told",
    ["[]", "instruction: x", "instruction: x\nrepositories: {work: .git}\nchecks: {}", "repositories: {a-b: x}"],
)
def test_what_is_no_task_is_refused_when_it_is_read(tmp_path, told):
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "build.sh").write_text("")
    (tmp_path / "task" / "task.yaml").write_text(told)
    with pytest.raises(ConfigurationError, match="no task"):
        Tasks(tmp_path)


def test_a_task_whose_script_fails_says_so(tmp_path):
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "build.sh").write_text("echo unhappy >&2; false")
    told = "instruction: x\nrepositories: {work: .git}\nchecks: {a: 'true'}"
    (tmp_path / "task" / "task.yaml").write_text(told)

    async def main() -> None:
        with pytest.raises(ConfigurationError, match="unhappy"):
            await GitEnvironment(tmp_path).reset()

    asyncio.run(main())


# --- served ------------------------------------------------------------------------------------------


def test_an_episode_against_a_server():
    with GitEnv.with_provider(ProcessProvider()) as env:
        assert env.metadata().name == "git_env"
        assert "autumn" in env.reset(task_id="merge-conflict").observation.instruction
        assert env.step(GitAction(command="git branch")).observation.stdout == "  autumn\n* main\n"
        assert env.state().task_id == "merge-conflict"


@pytest.mark.slow
def test_the_policies_bound_what_can_be_earned_in_a_sandbox():
    with GitEnv.with_provider(SandboxProvider()) as env:
        for task_id in Tasks().ids:
            assert null(env, task_id=task_id) == MIN_RETURN, task_id
            assert oracle(env, task_id=task_id) == MAX_RETURN, task_id
