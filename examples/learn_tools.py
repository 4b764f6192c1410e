"""Learns to press the right button: python examples/learn_tools.py [--model Qwen/Qwen3-4B --steps 300 --vllm ...]

GRPO through `environment_factory`: the environment, `servers/lights.py`, has two tools, and runs in a sandbox. By
`look` the model is told which colour the light has, and by nothing else; `press` ends the episode, with 1 for the
button of that colour and 0 for another. Whoever presses none gets -1. The small model has seen how tools are
called, that one looks first, and what follows: in two of seven dialogues nothing, else a button, which is the right
one in three of five.

`--faults 0.1` breaks every tenth environment: those rollouts are left out, and counted, and the rest learns.
"""

import json
import sys
import tempfile
from typing import Any

import _learning as learning
from datasets import Dataset

from openenv.integrations.trl import EnvironmentFactory, environment_factory

RISE = 0.3
"""What each seed's mean reward must rise by, stated before it was run; it lies between -1 and 1."""
LAST = 0.75
"""What the mean reward of each seed's last steps must be. One that only unlearns to press nothing comes to 0.6, the
share of right buttons in what it was shown; above that is only who uses what the tool told."""

COLOURS = ("red", "green", "blue")
ENDED = "I did."
TASK = [{"role": "user", "content": "Press the button that has the colour of the light."}]


def call(name: str, **arguments: str) -> str:
    """Return what a model says that calls a tool."""
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def told(text: str) -> str:
    """Return what a tool returned as the model sees it, up to where it goes on."""
    return learning.END + "\n" + learning.user(f"<tool_response>\n{text}\n</tool_response>")


def shown(asked: str) -> list[tuple[str, str]]:
    """Return dialogues that look, then press a button, the right one in three of five, or none in two of seven."""
    looked = {colour: asked + call("look") + told(colour) for colour in COLOURS}
    buttons = [(colour, button) for colour in COLOURS for button in (*COLOURS, colour, colour)]
    pressed = [(looked[colour], call("press", button=button)) for colour, button in buttons]
    ended = [(before + press + told("Done."), ENDED) for before, press in pressed]
    left = [(before, ENDED) for before in looked.values()] * 2
    return [(asked, call("look"))] * len(pressed) + pressed + ended + left


def taught(factory: EnvironmentFactory, seed: int) -> tuple[Any, Any]:
    """Return a small model that can call the tools, and its tokenizer."""
    environment = factory()
    tools = [environment.look, environment.press]
    options = {"tools": tools, "tokenize": False, "add_generation_prompt": True}
    asked = learning.tokenizer_of([]).apply_chat_template(TASK, **options)
    samples = shown(asked)
    tokenizer = learning.tokenizer_of([text for sample in samples for text in sample], phrases=True)
    model = learning.model_of(tokenizer, seed, spread=0.1)
    learning.warm_start(model, tokenizer, samples, steps=200, seed=seed)
    return model, tokenizer


def run(flags: Any, url: str, seed: int, learning_rate: float) -> learning.Run:
    from trl import GRPOTrainer

    rows = [
        {"prompt": TASK, "seed": 1000 * seed + row} for row in range(flags.steps * flags.batch // flags.generations)
    ]
    with (
        environment_factory(url, unfinished=-1.0) as factory,
        tempfile.TemporaryDirectory() as folder,
    ):
        model, tokenizer = learning.loaded(flags.model) if flags.model else taught(factory, seed)
        settings = {"max_completion_length": flags.length, "max_tool_calling_iterations": 2}
        trainer = GRPOTrainer(
            model=model,
            args=learning.config(flags, folder, seed, learning_rate, **settings),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            environment_factory=factory,
        )
        trainer.train()
        return learning.Run(learning.rewards(trainer), factory.metrics())


def main() -> int:
    flags = learning.parser(__doc__, steps=60, learning_rate=1e-3, generations=8, batch=32)
    flags.add_argument("--length", type=int, default=160, help="tokens of an episode")
    flags = flags.parse_args()
    with learning.served(flags, "lights:Lights", "lights:app") as url:
        return learning.judged("learn_tools", flags, lambda *how: run(flags, url, *how), RISE, LAST)


if __name__ == "__main__":
    sys.exit(main())
