"""The grid world as a task of Inspect AI: python examples/inspect_task.py

As it stands a scripted model plays, which needs no network. With a real one:

    inspect eval examples/inspect_task.py --model openai/gpt-4o -T url=http://localhost:8000
"""

import json
import tempfile
from typing import Any

from openenv.integrations.inspect import openenv_task  # says what to install, if Inspect AI is not
from openenv.providers import ProcessProvider

from inspect_ai import Task, eval, task  # isort: skip
from inspect_ai.model import ModelOutput, ModelUsage, get_model  # isort: skip


@task
def grid_world(url: str | None = None, episodes: int = 10) -> Task:
    """Walk to the goal: 1.0 for the step that reaches it, -0.1 for every other."""
    rows = [{"seed": seed} for seed in range(episodes)]
    return openenv_task(url or ProcessProvider("grid_world_env"), rows, max_turns=25)


def shortest(messages: list[Any], *_: Any) -> ModelOutput:
    """Answer as a model does that walks the shortest way."""
    seen = json.loads(messages[-1].text)
    if seen["row"] != seen["goal_row"]:
        move = "down" if seen["row"] < seen["goal_row"] else "up"
    else:
        move = "right" if seen["column"] < seen["goal_column"] else "left"
    said = ModelOutput.for_tool_call("mockllm/model", "grid_world", {"move": move})
    said.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    return said


def main() -> None:
    model = get_model("mockllm/model", custom_outputs=shortest)
    with tempfile.TemporaryDirectory() as logs:
        (log,) = eval(grid_world(), model, log_dir=logs, display="none")
        for sample in log.samples or []:  # which are read from the log
            score = (sample.scores or {})["reward"]
            print(f"seed {sample.metadata['reset']['seed']}: {score.value:+.1f} in {score.metadata['steps']} steps")
    metrics = log.results.scores[0].metrics
    print(f"{log.status}: {metrics['mean'].value:.3f} ± {metrics['stderr'].value:.3f}")


if __name__ == "__main__":
    main()
