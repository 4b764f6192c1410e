"""What the learning examples share: a model that is made on the spot, and what counts as having learned.

A run has learned if its reward rises by what the example states in advance, for each seed, and that of a control,
which is the same run at a learning rate of 0, does not. `--model` puts a model of a hub or a folder in place of the
small one; nothing else changes.
"""

import argparse
import contextlib
import gc
import logging
import math
import os
import random
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.utils import logging as transformers_logging

END, START, PAD = "<|im_end|>", "<|im_start|>", "<|endoftext|>"
ENDS = 5
"""How many steps at the beginning and at the end of a curve are compared."""

SERVERS = Path(__file__).parent / "servers"

Curve = list[float]
"""The mean reward of each step."""


class Run(NamedTuple):
    """One training.

    Attributes:
        curve: Its rewards.
        counts: How many episodes there were, and how many broke, by cause.
    """

    curve: Curve
    counts: dict[str, int]


# --- flags ----------------------------------------------------------------------------------------------


def parser(description: str | None, *, steps: int, learning_rate: float, generations: int, batch: int) -> Any:
    """Return a parser of the flags that all learning examples have, with one example's defaults."""
    flags = argparse.ArgumentParser(description=(description or "").partition(":")[0])
    flags.add_argument("--model", help="of a hub, or a folder; by default a small one that is made on the spot")
    flags.add_argument("--steps", type=int, default=steps)
    flags.add_argument("--seeds", type=int, default=3, help="how many runs are to learn")
    flags.add_argument("--learning-rate", type=float, default=learning_rate)
    flags.add_argument("--generations", type=int, default=generations, help="completions of one prompt")
    flags.add_argument(
        "--batch", type=int, default=batch, help="completions of a step; a multiple of --generations"
    )
    flags.add_argument("--no-control", action="store_true", help="leave out the run that cannot learn")
    flags.add_argument("--vllm", action="store_true", help="generate with vLLM, in the trainer's own process")
    flags.add_argument("--plot", type=Path, metavar="FOLDER", help="draw the curves into a file there")
    flags.add_argument("--url", help="of a server that runs already; by default one is started")
    flags.add_argument("--faults", type=float, default=0.0, metavar="SHARE", help="of the episodes, which break")
    flags.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    return flags


def config(flags: Any, folder: Path | str, seed: int, learning_rate: float, **settings: Any) -> Any:
    """Return the GRPOConfig of one run: what all examples have in common, and what the flags say."""
    from trl import GRPOConfig

    common = {
        "output_dir": str(folder),
        "seed": seed,
        "max_steps": flags.steps,
        "learning_rate": learning_rate,
        "lr_scheduler_type": "constant",
        "per_device_train_batch_size": flags.batch,
        "num_generations": flags.generations,
        "beta": 0.0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "bf16": torch.cuda.is_available(),
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        "gradient_checkpointing": flags.model is not None,
        **({"use_vllm": True, "vllm_mode": "colocate"} if flags.vllm else {}),
    }
    return GRPOConfig(**{**common, **settings})


@contextlib.contextmanager
def served(flags: Any, environment: str, app: str) -> Iterator[str]:
    """Give the address of the server to learn from: a given one, or one that is started in a sandbox.

    Args:
        flags: What `parser` made of the command line. By `--faults` a share of the episodes breaks.
        environment: Class of the environment, as `module:name`.
        app: What to serve: an installed environment, or one of `servers/`.
    """
    from openenv.providers import ProcessProvider, SandboxProvider

    if flags.url:
        yield flags.url
        return
    kind = ProcessProvider if flags.no_sandbox else SandboxProvider
    env_vars = {"FAULTY_ENVIRONMENT": environment, "FAULTY_SHARE": str(flags.faults)}
    target = "faulty:app" if flags.faults else app
    options = {"max_concurrent_envs": 2 * flags.batch, "cwd": SERVERS, "env_vars": env_vars}
    provider = kind(target, **options)
    url = provider.start()
    try:
        provider.wait_for_ready()
        yield url
    finally:
        provider.stop()


# --- a model made on the spot ---------------------------------------------------------------------------


def tokenizer_of(texts: Sequence[str], size: int = 800, phrases: bool = False) -> PreTrainedTokenizerBase:
    """Train a byte-level tokenizer on texts, and give it the chat template of Qwen3, which TRL knows.

    Args:
        texts: What it is to be good at.
        size: How many tokens it has at most.
        phrases: Whether a token can be longer than a word, so that what is always said in the same words, such as
            how tools are to be called, is only a few tokens.
    """
    import trl

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not phrases)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=[PAD, START, END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    template = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[START],
        chat_template=template.read_text(encoding="utf-8"),
    )


def user(text: str) -> str:
    """Return what somebody says to the model as the model sees it, up to where it answers."""
    return f"{START}user\n{text}{END}\n{START}assistant\n"


def model_of(tokenizer: PreTrainedTokenizerBase, seed: int, spread: float = 0.02) -> PreTrainedModel:
    """Return a Qwen3 of about 100,000 parameters that knows nothing.

    Args:
        tokenizer: Its tokenizer.
        seed: Draws the parameters.
        spread: Their standard deviation. A small model that has to look back at what it was told learns to do so
            sooner with one that is larger than usual.
    """
    torch.manual_seed(seed)
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=16,
            max_position_embeddings=2048,
            initializer_range=spread,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )


def warm_start(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    samples: Sequence[tuple[str, str]],
    *,
    steps: int,
    seed: int,
    batch: int = 16,
    learning_rate: float = 3e-3,
) -> None:
    """Teach a model to answer as samples do, good and bad alike.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        samples: What it is asked, as the model sees it, and the answer without the token that ends it.
        steps: Batches to learn from.
        seed: Chooses the batches.
        batch: Samples in each.
        learning_rate: Of AdamW, falling to 0.
    """
    pairs = [(tokenizer(asked)["input_ids"], tokenizer(answer + END)["input_ids"]) for asked, answer in samples]
    draw = random.Random(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    model.train()
    for _ in range(steps):
        rows = [pairs[draw.randrange(len(pairs))] for _ in range(batch)]
        longest = max(len(asked) + len(answer) for asked, answer in rows)
        ids = torch.full((batch, longest), tokenizer.pad_token_id)
        labels = torch.full((batch, longest), -100)
        for row, (asked, answer) in enumerate(rows):
            end = len(asked) + len(answer)
            ids[row, :end] = torch.tensor(asked + answer)
            labels[row, len(asked) : end] = torch.tensor(answer)
        loss = model(input_ids=ids, attention_mask=(ids != tokenizer.pad_token_id).long(), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()


def loaded(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a model of a hub or a folder, and its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(name, dtype="bfloat16" if torch.cuda.is_available() else "float32")
    return model, AutoTokenizer.from_pretrained(name)


# --- what counts as having learned ----------------------------------------------------------------------


def rise(curve: Curve) -> float:
    """Return by how much the last steps are better than the first."""
    return fmean(curve[-ENDS:]) - fmean(curve[:ENDS])


def drawn(curve: Curve, low: float, high: float) -> str:
    """Return a curve as one line of text."""
    marks = "▁▂▃▄▅▆▇█"
    span = (high - low) or 1.0
    return "".join(marks[min(7, max(0, int((value - low) / span * 8)))] for value in curve)


def judged(name: str, flags: Any, run: Callable[[int, float], Run], asked: float, end: float = -math.inf) -> int:
    """Run each seed and the control, print and plot their curves, and return the exit code.

    Args:
        name: Of the example, for the plot.
        flags: What `parser` made of the command line.
        run: Trains with a seed and a learning rate.
        asked: By how much the reward of each seed must rise; that of the control must rise by less than half.
        end: What the mean reward of the last steps of each seed must be.
    """
    torch.set_num_threads(1 if not torch.cuda.is_available() else torch.get_num_threads())
    transformers_logging.set_verbosity_error()
    warnings.filterwarnings("ignore")
    if flags.faults:  # which are expected, and counted
        logging.getLogger("openenv").setLevel(logging.ERROR)
        logging.getLogger("trl").setLevel(logging.ERROR)
    runs = [(f"seed {seed}", seed, flags.learning_rate) for seed in range(flags.seeds)]
    if not flags.no_control:
        runs.append(("control", 0, 0.0))
    curves: dict[str, Curve] = {}
    fine = True
    for title, seed, learning_rate in runs:
        begun = time.monotonic()
        with quiet():
            curve, counts = run(seed, learning_rate)
        curves[title] = curve
        gc.collect()
        first, last = (fmean(some) for some in (curve[:ENDS], curve[-ENDS:]))
        learned = rise(curve) >= asked and last >= end
        right = learned if title != "control" else rise(curve) < asked / 2
        fine &= right
        low, high = (f(value for each in curves.values() for value in each) for f in (min, max))
        print(
            f"{title:8} {drawn(curve, low, high)} {first:+.2f} to {last:+.2f}: {rise(curve):+.2f}"
            f" in {time.monotonic() - begun:.0f} s{_broken(counts)}{'' if right else ', not as stated'}",
            flush=True,
        )
    ending = f" and an end of at least {end:+.2f}" if end > -math.inf else ""
    print(f"asked for: at least {asked:+.2f}{ending} for each seed, less than {asked / 2:+.2f} for the control")
    if flags.plot:
        print(f"drawn in {_plot(name, flags.plot, curves)}")
    return 0 if fine else 1


def _broken(counts: dict[str, int]) -> str:
    broke = {cause: number for cause, number in counts.items() if cause != "episodes"}
    return "".join(f", {number} of {counts['episodes']} episodes: {cause}" for cause, number in broke.items())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what the trainer prints of each step off standard output."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def _plot(name: str, folder: Path, curves: dict[str, Curve]) -> Path:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for title, curve in curves.items():
        axes.plot(range(1, len(curve) + 1), curve, label=title, linestyle="--" if title == "control" else "-")
    axes.set(xlabel="step", ylabel="mean reward", title=name)
    axes.legend()
    axes.grid(alpha=0.3)
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{name}.png"
    figure.savefig(place, dpi=120, bbox_inches="tight")
    pyplot.close(figure)
    return place


def rewards(trainer: Any) -> Curve:
    """Return the mean reward of each step of a trainer that has trained."""
    return [entry["reward"] for entry in trainer.state.log_history if "reward" in entry]
