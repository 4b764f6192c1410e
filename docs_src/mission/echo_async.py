import asyncio
from echo_env import CallToolAction, EchoEnv

async def run_episode():
    async with EchoEnv(base_url="BASE_URL") as env:
        # Reset: initialize a new episode
        result = await env.reset()
        print(f"Initial obs: {result.observation.echoed_message}")
        # → "Echo environment ready!"

        # Step: take an action
        result = await env.step(
            CallToolAction(
                tool_name="echo_message",
                arguments={"message": "Hello from my RL trainer!"},
            )
        )
        print(f"Observation: {result.observation.result}")
        # → "Hello from my RL trainer!"
        print(f"Reward: {result.reward}") # → 1.0
        print(f"Done: {result.done}") # → False

        # State: inspect episode metadata
        state = await env.state()
        print(f"Episode: {state.episode_id}, Steps: {state.step_count}")

asyncio.run(run_episode())
