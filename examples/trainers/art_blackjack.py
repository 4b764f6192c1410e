"""ART: a rollout of blackjack_env as a trajectory; what breaks is an exception of its group, and no trajectory.

    python examples/trainers/art_blackjack.py --model http://localhost:8000/v1 --name my-model

With a model that ART trains, hand the groups to `model.train(groups)` in place of printing them.
"""

import argparse
import asyncio
import json
from dataclasses import dataclass
from typing import Any

import art

from openenv.providers import ProcessProvider
from openenv.rollouts import Episodes, text_of

PROMPT = "You play blackjack. Each of your turns is one call of the tool."


@dataclass(frozen=True)
class Scenario:
    """One task: the deal of a seed."""

    seed: int


async def rollout(model: Any, scenario: Scenario, episodes: Episodes, max_turns: int = 12) -> art.Trajectory:
    """Play one episode.

    Raises:
        RuntimeError: Something broke that the model can not have caused, or nothing was graded.
    """
    episode, reset = episodes.begin(seed=scenario.seed)
    try:
        turn = await asyncio.wrap_future(reset)
        tools = [tool.to_openai() for tool in await asyncio.wrap_future(episode.tools())]
        messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": text_of(turn.observation)}]
        played = art.Trajectory(messages_and_choices=messages, tools=tools, metadata={"seed": scenario.seed})
        client = model.openai_client()
        while not turn.done and max_turns:
            max_turns -= 1
            answer = await client.chat.completions.create(
                model=model.get_inference_name(), messages=played.messages(), tools=tools
            )
            choice = answer.choices[0]
            played.messages_and_choices.append(choice)
            for call in choice.message.tool_calls or ():
                turn = await asyncio.wrap_future(episode.call_tool(call.function.name, _arguments(call)))
                told = {"role": "tool", "tool_call_id": call.id, "content": turn.error or text_of(turn.observation)}
                played.messages_and_choices.append(told)
            if not choice.message.tool_calls:
                played.messages_and_choices.append({"role": "user", "content": "Call the tool."})
        if episode.reward is None:
            raise RuntimeError(episode.fault or "The episode was not graded")
        played.reward = episode.reward
        played.metrics["turns"] = episode.steps
        return played.finish()
    finally:
        await asyncio.wrap_future(episode.end())


def _arguments(call: Any) -> dict[str, Any]:
    try:
        arguments = json.loads(call.function.arguments)
    except ValueError:
        return {}
    return arguments if isinstance(arguments, dict) else {}


async def gather(model: Any, episodes: Episodes, seeds: range, size: int) -> list[art.TrajectoryGroup]:
    """Play `size` episodes of each seed."""
    return await art.gather_trajectory_groups(
        (art.TrajectoryGroup(rollout(model, Scenario(seed), episodes) for _ in range(size)) for seed in seeds),
        max_exceptions=size * len(seeds),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--model", required=True, help="address of an OpenAI-compatible endpoint")
    parser.add_argument("--name", required=True, help="of its model")
    given = parser.parse_args()
    model = art.Model(
        name=given.name, project="blackjack", inference_base_url=given.model, inference_api_key="none"
    )
    with Episodes(ProcessProvider("blackjack_env")) as episodes:
        for group in asyncio.run(gather(model, episodes, range(3), 4)):
            print([trajectory.reward for trajectory in group.trajectories], len(group.exceptions), "broke")


if __name__ == "__main__":
    main()
