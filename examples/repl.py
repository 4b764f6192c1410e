"""Answers a question about a text too long to be read: python examples/repl.py [--no-sandbox]

The text is a variable in an interpreter; the agent sees its length, and what its code prints of it.
"""

import argparse
import re

from openenv.models import StepResult
from openenv.providers import ProcessProvider, SandboxProvider
from repl_env import ReplAction, ReplEnv, ReplObservation


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    provider = ProcessProvider() if parser.parse_args().no_sandbox else SandboxProvider()
    with ReplEnv.with_provider(provider) as env:
        task = env.reset(seed=3, task="join_two_facts", size=2_000_000).observation
        print(f"A text of {task.context_characters:,} characters. {task.question}\n")
        captain = re.findall(r"whose captain is (\w+)", task.question)[0]
        show(env, "look at the beginning", "print(context[:200])")
        found = show(
            env, "whose captain?", f"[line for line in context.split('\\n') if '{captain} is the new' in line]"
        )
        ship = re.findall(r"captain of the (\w+)", found.observation.value or "")[0]
        show(
            env,
            "where does it winter?",
            f"import re\ntown = re.findall(r'{ship} will winter in (\\w+)', context)\ntown",
        )
        result = show(env, "answer", "FINAL(town[0])")
        print(f"The answer {result.observation.final_answer!r} earns {result.reward}; done: {result.done}")


def show(env: ReplEnv, what: str, code: str) -> StepResult[ReplObservation]:
    result = env.step(ReplAction(code=code))
    seen = result.observation
    print(f"# {what}\n>>> " + code.replace("\n", "\n>>> "))
    for text in (seen.stdout.rstrip(), seen.value, seen.stderr.rstrip()):
        if text:
            print(text)
    print()
    return result


if __name__ == "__main__":
    main()
