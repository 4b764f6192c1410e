"""Solves a task of coding_env: python examples/coding.py [--no-sandbox]

The server runs in a sandbox, and the code that is sent to it in a smaller one within.
"""

import argparse

from coding_env import CodeAction, CodeObservation, CodingEnv
from openenv.models import StepResult
from openenv.providers import ProcessProvider, SandboxProvider

STEPS = (
    ("look at the example", "[list(column) for column in zip([1, 2], [3, 4])]"),
    ("a first attempt, with a mistake", "def rotate_matrix(rows): return [list(column) for column in zip(*rows)]"),
    ("try it", "assert rotate_matrix([[1, 2], [3, 4]]) == [[3, 1], [4, 2]], rotate_matrix([[1, 2], [3, 4]])"),
    ("mend it", "def rotate_matrix(rows): return [list(column) for column in zip(*rows[::-1])]"),
    ("try it again", "print(rotate_matrix([[1, 2], [3, 4]]))"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    provider = ProcessProvider() if parser.parse_args().no_sandbox else SandboxProvider()
    with CodingEnv.with_provider(provider) as env:
        task = env.reset(task_id="rotate_matrix").observation
        print(f"The task {task.task_id}:\n{task.prompt}\n")
        for what, code in STEPS:
            show(what, code, env.step(CodeAction(code=code)))
        result = env.step(CodeAction(code="", submit=True))
        passed, total = result.observation.tests_passed, result.observation.tests_total
        print(f"Submitted: {passed} of {total} hidden tests pass, reward {result.reward}, done {result.done}")


def show(what: str, code: str, result: StepResult[CodeObservation]) -> None:
    seen = result.observation
    print(f"# {what}\n>>> {code}")
    for text in (seen.stdout.rstrip(), seen.value, seen.error and f"{seen.error.type}: {seen.error.message}"):
        if text:
            print(text)
    print(f"    exit code {seen.exit_code}, {seen.execution_time_ms:.1f} ms\n")


if __name__ == "__main__":
    main()
