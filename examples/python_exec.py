"""Plays an episode of python_exec_env: python examples/python_exec.py [--no-sandbox]

Each program is a process of its own; what they have in common is a folder.
"""

import argparse

from openenv.providers import ProcessProvider, SandboxProvider
from python_exec_env import PyExecEnv, RunCodeAction

PROGRAMS = (
    ("write a module", "open('primes.py', 'w').write('first = [2, 3, 5, 7]')"),
    ("use it", "import primes\nprint(sum(primes.first))"),
    ("make a mistake", "print(primes.first)"),
    ("take too long", "while True:\n    pass"),
    ("try to reach the network", "import socket\nsocket.create_connection(('192.0.2.1', 80))"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    provider = ProcessProvider() if parser.parse_args().no_sandbox else SandboxProvider()
    total = 0.0
    with PyExecEnv.with_provider(provider) as env:
        print(env.reset().observation.stdout)
        for what, code in PROGRAMS:
            result = env.step(RunCodeAction(code=code, timeout_seconds=1))
            seen = result.observation
            total += result.reward
            print(f"\n# {what}\n{code}")
            for line in (*seen.stdout.splitlines(), *seen.stderr.splitlines()[-1:]):
                print(f"  | {line}")
            print(f"exit code {seen.exit_code}, reward {result.reward:+}, files changed: {seen.files_changed}")
    print(f"\nThe episode's return: {total:+}")


if __name__ == "__main__":
    main()
