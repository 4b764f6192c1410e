"""Runs of TRL's own GRPOTrainer, in a process of its own; prints what they took as one line of JSON.

`overlap URL`: batches of 64 rollouts of one call each; seconds of all resets, and of all calls of the turn. `share
URL`: training steps of 32 rollouts of four calls each; seconds of each step, and of it in the adapter, for which it
waits for the environment, too. The model is of about 100,000 parameters, and it really generates as many tokens as
it is then told to have said. `faults URL`: a whole training in which nobody tells the model anything; the reward of
each step, and which share of its episodes broke.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
import trl
from datasets import Dataset
from tests.integrations.scripted import END, START, Scripted, call, model, tokenizer
from transformers import TrainerCallback

from openenv.integrations.trl import environment_factory, environments

ROLLOUTS, BATCHES = 64, 6
GENERATIONS, STEPS = 32, 6


class Timed(Scripted):
    """Notes when the resets of a batch are over, and when the calls of a turn begin and are over."""

    def _tokenize_prompts(self, *arguments: Any) -> Any:
        self.times.append(time.perf_counter())
        return super()._tokenize_prompts(*arguments)

    def _tool_call_loop(self, *arguments: Any) -> Any:
        self.times.append(time.perf_counter())
        return super()._tool_call_loop(*arguments)

    def _get_tool_suffix_ids(self, *arguments: Any) -> Any:
        self.times.append(time.perf_counter())
        return super()._get_tool_suffix_ids(*arguments)


def overlap(url: str, folder: str) -> dict[str, Any]:
    """Play batches of rollouts of one call."""
    taken: dict[str, Any] = {"resets": [], "calls": []}
    with environment_factory(url) as factory:
        trainer = Timed(factory, folder, lambda told: "Done." if "total is" in told else call("add", amount=1))
        for _ in range(BATCHES):
            trainer.times = [time.perf_counter()]
            rewards = trainer.play([{"seed": seed} for seed in range(ROLLOUTS)])
            assert rewards == [1.0] * ROLLOUTS, rewards
            began, reset, asked, answered = trainer.times[:4]
            taken["resets"].append(reset - began)
            taken["calls"].append(answered - asked)
    return taken


class Generating(Scripted):
    """Generates as many tokens as it says, and says what it is told to."""

    def _generate_single_turn(self, prompt_ids: Any, *arguments: Any, **options: Any) -> Any:
        told, logprobs = super()._generate_single_turn(prompt_ids, *arguments, **options)
        self.generation_config.max_new_tokens = self.generation_config.min_new_tokens = max(map(len, told))
        super(Scripted, self)._generate_single_turn(prompt_ids, *arguments, **options)
        return told, logprobs


class Steps(TrainerCallback):  # type: ignore[misc]
    """Notes how long each step takes, and how much of that was spent in the adapter."""

    def __init__(self) -> None:
        self.inside = 0.0
        self.steps: list[tuple[float, float]] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.began, self.inside = time.perf_counter(), 0.0

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.steps.append((time.perf_counter() - self.began, self.inside))

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timing(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self.inside += time.perf_counter() - began

        return timing


def share(url: str, folder: str) -> dict[str, Any]:
    """Train for some steps."""
    steps = Steps()
    for name in ("reset", "get_reward", "_call"):
        setattr(environments._Environment, name, steps.timed(getattr(environments._Environment, name)))

    def answer(told: str) -> str:
        total = told.count("4.")
        return "Done." if total else call("add", amount=1)

    with environment_factory(url) as factory:
        prompt = [{"role": "user", "content": "Play."}]
        shown = tokenizer().apply_chat_template(prompt, tools=[factory().add], tokenize=False)
        said = [f"{call('add', amount=1)}{END}\n{START}user\n<tool_response>\nThe total is {n}." for n in range(4)]
        trainer = Generating(
            factory,
            folder,
            answer,
            [{"seed": seed} for seed in range(GENERATIONS)],
            tokens=tokenizer([shown, *said] * 20),
            size=(64, 2),
            max_steps=STEPS,
            num_generations=8,
            per_device_train_batch_size=GENERATIONS,
        )
        trainer.add_callback(steps)
        trainer.train()
        calls = trainer.state.log_history[0]["tools/call_frequency"]
    return {"steps": steps.steps, "calls": calls, "parameters": trainer.model.num_parameters()}


LEARNING_STEPS, WARM_STEPS = 30, 200


def faults(url: str, folder: str) -> dict[str, Any]:
    """Show a new model how to call the tool, with a letter that is drawn, and let it find out which is right."""
    with environment_factory(url, rows=[{"safe": True}], attempts=1, unfinished=-1.0) as factory:
        prompt = [{"role": "user", "content": "Play."}]
        template = {"tools": [factory().say], "tokenize": False, "add_generation_prompt": True}
        shown = tokenizer().apply_chat_template(prompt, **template)
        answers = [f"{call('say', letter=letter)}{END}" for letter in "abc"]
        tokens = tokenizer([shown, *answers, "<tool_response>Heard.</tool_response>", "Done."] * 20)
        torch.manual_seed(0)
        network = model(tokens, 64, 2)
        _warm_up(network, tokens, [(shown, answer) for answer in answers] + [(f"{shown}{END}", f"Done.{END}")])
        config = trl.GRPOConfig(
            output_dir=folder,
            max_steps=LEARNING_STEPS,
            learning_rate=5e-4,
            per_device_train_batch_size=GENERATIONS,
            num_generations=GENERATIONS,
            max_completion_length=64,
            max_tool_calling_iterations=1,
            beta=0.0,
            top_p=0.9,
            lr_scheduler_type="constant",
            seed=1,
            use_cpu=True,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        trainer = trl.GRPOTrainer(
            model=network,
            processing_class=tokens,
            args=config,
            train_dataset=Dataset.from_list([{"prompt": prompt}] * GENERATIONS),
            environment_factory=factory,
        )
        trainer.train()
        steps = [step for step in trainer.state.log_history if "reward" in step]
        return {
            "rewards": [step["reward"] for step in steps],
            "faults": [step["env/faults"] for step in steps],
            "counts": factory.metrics(),
        }


def _warm_up(network: Any, tokens: Any, samples: list[tuple[str, str]]) -> None:
    pairs = [(tokens(asked)["input_ids"], tokens(answer)["input_ids"]) for asked, answer in samples]
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / WARM_STEPS)
    for _ in range(WARM_STEPS):
        for before, after in pairs:
            ids, labels = torch.tensor([before + after]), torch.tensor([[-100] * len(before) + after])
            (network(input_ids=ids, labels=labels).loss / len(pairs)).backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()


def main() -> None:
    """Do what the command line says."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        taken = {"faults": faults, "overlap": overlap, "share": share}[sys.argv[1]](sys.argv[2], folder)
    print("\n" + json.dumps(taken))


if __name__ == "__main__":
    main()
