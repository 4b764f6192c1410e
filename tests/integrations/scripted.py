"""TRL's own GRPOTrainer with a model that is told what to say: everything between the two is TRL's real code."""

import json
import os
from pathlib import Path

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import torch
import trl
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from openenv.testing import next_move

END, START, PAD = "<|im_end|>", "<|im_start|>", "<|endoftext|>"


def tokenizer(texts=()):
    """A token for each byte, and what is frequent in texts; and the chat template of Qwen3, which TRL knows."""
    bytewise = Tokenizer(models.BPE())
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bytewise.train_from_iterator(texts, trainer)
    template = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
    return PreTrainedTokenizerFast(
        tokenizer_object=bytewise,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[START],
        chat_template=template.read_text(encoding="utf-8"),
    )


def model(tokens, hidden=16, layers=1):
    """A model that knows nothing."""
    config = Qwen3Config(
        vocab_size=len(tokens),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 16,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=16384,
        pad_token_id=tokens.pad_token_id,
        eos_token_id=tokens.eos_token_id,
        bos_token_id=None,
    )
    return Qwen3ForCausalLM(config)


def call(name, **arguments):
    """What a model says that calls a tool."""
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def player(text):
    """Plays `openenv.testing.trouble`: text is what the model was told last."""
    move = next_move(text)
    return call(move.tool, number=move.number) if move else "Done."


class Scripted(trl.GRPOTrainer):
    """A trainer whose model says what a function of the last message says."""

    def __init__(self, factory, folder, answer=player, rows=({},), tokens=None, size=(16, 1), **settings):
        torch.set_num_threads(1)
        self.answer = answer
        self.rewards = []
        config = {
            "output_dir": str(folder),
            "max_steps": 1,
            "num_generations": 2,
            "num_generations_eval": 1,
            "per_device_train_batch_size": 2,
            "max_completion_length": 8000,
            "report_to": [],
            "use_cpu": True,
            "disable_tqdm": True,
            "save_strategy": "no",
            "logging_steps": 1,
            "dataloader_pin_memory": False,
        }
        tokens = tokens or tokenizer()
        super().__init__(
            model=model(tokens, *size),
            processing_class=tokens,
            args=trl.GRPOConfig(**{**config, **settings}),
            train_dataset=Dataset.from_list([with_prompt(row) for row in rows]),
            environment_factory=factory,
        )

    def play(self, rows):
        """Play a batch, and return the rewards as TRL has them; None for those it leaves out."""
        self.model.eval()
        self._generate_and_score_completions([with_prompt(row) for row in rows])
        return self.rewards

    def _generate_single_turn(self, prompt_ids, *_, **__):
        said = [self.answer(last_message(self.processing_class.decode(ids))) for ids in prompt_ids]
        return [self.processing_class(f"{one}{END}")["input_ids"] for one in said], None

    def _calculate_rewards(self, *arguments):
        rewards = super()._calculate_rewards(*arguments)
        self.rewards = [None if torch.isnan(row).all() else row.nansum().item() for row in rewards]
        return rewards


def with_prompt(row):
    return {"prompt": [{"role": "user", "content": "Play."}], **row}


def last_message(text):
    return text.split(START)[-2]
