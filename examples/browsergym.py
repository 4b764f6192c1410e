"""Solves web tasks in a real browser: python examples/browsergym.py [--no-sandbox]

Two of MiniWoB's tasks: a mistake and how it shows, then a form that is filled in.
"""

import argparse

from browsergym_env import BrowserGymAction, BrowserGymEnv
from openenv.providers import ProcessProvider, SandboxProvider

TASKS = {
    "click-test-2": ["click('99')", "click('13')"],
    "login-user": ["fill('16', {0!r})", "fill('19', {1!r})", "click('20')"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    provider = ProcessProvider() if parser.parse_args().no_sandbox else SandboxProvider()
    with BrowserGymEnv.with_provider(provider) as env:
        for task, actions in TASKS.items():
            seen = env.reset(task_name=task, seed=7).observation
            print(f"{task}: {seen.goal}\n\n{seen.axtree_txt.expandtabs(4)}\n")
            print(f"(a picture of {len(seen.screenshot or b''):,} bytes)")
            for text in actions:
                action = text.format(*seen.goal.split('"')[1::2])
                result = env.step(BrowserGymAction(action_str=action))
                print(f"> {action}   {result.observation.last_action_error}")
            print(f"The reward is {result.reward}.\n")


if __name__ == "__main__":
    main()
