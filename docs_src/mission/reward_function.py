import asyncio
from python_exec_env import PyExecEnv, RunCodeAction

# This is the bridge between OpenEnv and TRL's GRPO trainer.
# It receives a list of completions, executes them in OpenEnv, returns rewards.
async def openenv_reward_fn_async(completions: list[str], **kwargs) -> list[float]:
    """
    Execute each completion as Python code in a sandboxed OpenEnv environment.
    Returns a reward for each completion.
    """
    ENV_URL = "BASE_URL"

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
