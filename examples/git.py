"""Solves a task of git_env: python examples/git.py [--no-sandbox]

The server runs in a sandbox, git in a smaller one within, and the task's checks in one more.
"""

import argparse

from git_env import GitAction, GitEnv, GitObservation, ReadFile, Submit, WriteFile
from openenv.providers import ProcessProvider, SandboxProvider

PRICES = "filter coffee 2.80\ntea 3.20\ncake 3.90\npumpkin soup 5.50\n"

STEPS = (
    ("look around", GitAction(command="git log --oneline --graph --all")),
    ("merge", GitAction(command="git merge autumn")),
    ("look at the conflict", ReadFile(path="prices.txt")),
    ("resolve it", WriteFile(path="prices.txt", text=PRICES)),
    ("commit the merge", GitAction(command="git add prices.txt && git commit -m 'Merge autumn'")),
    ("look at it", GitAction(command="git log --oneline --graph --all && git status --short")),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    provider = ProcessProvider() if parser.parse_args().no_sandbox else SandboxProvider()
    with GitEnv.with_provider(provider) as env:
        task = env.reset(task_id="merge-conflict").observation
        print(f"The task {task.task_id}:\n{task.instruction}\n")
        for what, action in STEPS:
            given = ", ".join(
                f"{name}={value!r}" for name, value in action.model_dump(exclude_defaults=True).items()
            )
            print(f"# {what}\n{type(action).__name__}({given})")
            show(env.step(action).observation)
        result = env.step(Submit())
        for check in result.observation.checks:
            print(f"{check.name}: {'passed' if check.passed else f'failed {check.message}'}")
        print(f"Submitted: reward {result.reward}, done {result.done}")


def show(seen: GitObservation) -> None:
    for line in (seen.error or seen.stdout + seen.stderr).splitlines():
        print(f"    {line}")
    print(f"    exit code {seen.exit_code}\n" if seen.exit_code is not None else "")


if __name__ == "__main__":
    main()
