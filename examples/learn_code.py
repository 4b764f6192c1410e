"""Learns to write programs that run: python examples/learn_code.py [--model Qwen/Qwen3-4B --steps 500 ...]

The reward function is the one that articles about OpenEnv print: each completion is executed in an episode of
python_exec_env of its own, all at the same time; +1 for a program that runs, -0.5 for one that fails, -1 for one
whose time is up. The small model has seen programs of which half are wrong, and is to find out which.

`--faults 0.1` breaks every tenth environment. The printed function has no way to say that there is no reward, so
`reward_func` takes its place then, which leaves those completions out, and counts them.
"""

import asyncio
import sys
import tempfile
from typing import Any

import _learning as learning
from datasets import Dataset

from openenv.integrations.trl import reward_func
from python_exec_env import PyExecEnv, RunCodeAction

RISE = 0.5
"""What each seed's mean reward must rise by, stated before it was run; it lies between -1 and 1."""

ENV_URL = ""


# --- as printed, but for the address ---------------------------------------------------------------------


async def openenv_reward_fn_async(completions: list[str], **kwargs) -> list[float]:
    """
    Execute each completion as Python code in a sandboxed OpenEnv environment.
    Returns a reward for each completion.
    """

    async def run_single(code: str) -> float:
        async with PyExecEnv(base_url=ENV_URL) as env:
            await env.reset()
            result = await env.step(RunCodeAction(code=code, timeout_seconds=10.0))
            return result.reward

    # Run all completions in parallel
    rewards = await asyncio.gather(*[run_single(c) for c in completions])
    return list(rewards)


def openenv_reward_fn(completions: list[str], **kwargs) -> list[float]:
    """Sync wrapper for TRL compatibility."""
    return asyncio.run(openenv_reward_fn_async(completions, **kwargs))


# --- what the small model has been shown -----------------------------------------------------------------

PROGRAMS = {
    "Write a Python function that computes the nth Fibonacci number iteratively.": """
def fib(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a
assert fib(10) == 55
""",
    "Write a Python function that checks if a string is a palindrome.": """
def palindrome(s):
    return s == s[::-1]
assert palindrome("level")
""",
    "Write a Python function that finds all prime numbers up to N using the Sieve of Eratosthenes.": """
def primes(n):
    sieve = [True] * (n + 1)
    for i in range(2, n + 1):
        for j in range(i * i, n + 1, i):
            sieve[j] = False
    return [i for i in range(2, n + 1) if sieve[i]]
assert primes(10) == [2, 3, 5, 7]
""",
    "Write a Python function that computes the factorial of n.": """
def factorial(n):
    return n * factorial(n - 1) if n else 1
assert factorial(5) == 120
""",
}
MISTAKES = (("(n):", "(n)"), ("(s):", "(s"), ("return ", "return return "), ("assert ", "assert not "))


def shown() -> list[tuple[str, str]]:
    """Return questions and answers: a right program as often as one of three that have a mistake."""
    samples = []
    for question, program in PROGRAMS.items():
        wrong = [program.replace(*mistake, 1) for mistake in MISTAKES if mistake[0] in program]
        samples += [(question, each) for each in (*[program] * len(wrong), *wrong)]
    return samples


def act(code: str) -> RunCodeAction:
    """Return the action of a completion, as in the printed function."""
    return RunCodeAction(code=code, timeout_seconds=10.0)


# --- the run ---------------------------------------------------------------------------------------------


def run(flags: Any, seed: int, learning_rate: float) -> learning.Run:
    from trl import GRPOTrainer

    if flags.model:
        model, tokenizer = learning.loaded(flags.model)
    else:
        tokenizer = learning.tokenizer_of([text for sample in shown() for text in sample])
        model = learning.model_of(tokenizer, seed)
        learning.warm_start(model, tokenizer, shown(), steps=200, seed=seed)
    faulty = reward_func(ENV_URL, PyExecEnv, act=act)
    with faulty.episodes, tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=model,
            args=learning.config(flags, folder, seed, learning_rate, max_completion_length=flags.length),
            train_dataset=Dataset.from_dict({"prompt": list(PROGRAMS)}),
            processing_class=tokenizer,
            reward_funcs=[faulty if flags.faults else openenv_reward_fn],
        )
        trainer.train()
    return learning.Run(learning.rewards(trainer), faulty.episodes.counts)


def main() -> int:
    global ENV_URL
    flags = learning.parser(__doc__, steps=16, learning_rate=1e-3, generations=8, batch=32)
    flags.add_argument("--length", type=int, default=160, help="tokens of a completion")
    flags = flags.parse_args()
    environment = "python_exec_env.server.python_exec_environment:PythonExecEnvironment"
    with learning.served(flags, environment, "python_exec_env.server.app:app") as ENV_URL:
        return learning.judged("learn_code", flags, lambda *how: run(flags, *how), RISE)


if __name__ == "__main__":
    sys.exit(main())
