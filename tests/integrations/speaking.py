"""TRL's own GRPOTrainer over a rollout function, with a model that is told what to say."""

import torch
import trl
from datasets import Dataset
from tests.integrations.scripted import END, START, last_message, model, tokenizer, with_prompt

from openenv.integrations.trl import rollout_reward


class Speaking(trl.GRPOTrainer):
    """A trainer whose model says what a function of the last message says; `made` is all it has said, in tokens."""

    def __init__(self, rollouts, folder, answer, rows=({},), tokens=None, logprobs=False, **settings):
        torch.set_num_threads(1)
        self.answer, self.told_logprobs = answer, logprobs
        self.rewards, self.asked, self.made = [], [], []
        config = {
            "output_dir": str(folder),
            "max_steps": 1,
            "num_generations": 2,
            "num_generations_eval": 1,
            "per_device_train_batch_size": 2,
            "max_completion_length": 4000,
            "report_to": [],
            "use_cpu": True,
            "disable_tqdm": True,
            "save_strategy": "no",
            "logging_steps": 1,
            "dataloader_pin_memory": False,
        }
        tokens = tokens or tokenizer()
        super().__init__(
            model=model(tokens),
            processing_class=tokens,
            args=trl.GRPOConfig(**{**config, **settings}),
            train_dataset=Dataset.from_list([with_prompt(row) for row in rows]),
            rollout_func=rollouts,
            reward_funcs=[rollout_reward],
        )

    def play(self, rows):
        """Play a batch, and return the rewards as TRL has them; None for those it leaves out."""
        self.model.eval()
        self.batch = self._generate_and_score_completions([with_prompt(row) for row in rows])
        return self.rewards

    def _generate_single_turn(self, prompt_ids, *_, **__):
        most = self.generation_config.max_new_tokens
        self.asked.append([list(ids) for ids in prompt_ids])
        heard = [self.processing_class.decode(ids) for ids in prompt_ids]
        said = [self.answer(last_message(text) if START in text else text) for text in heard]
        ids = [one if isinstance(one, list) else self.processing_class(f"{one}{END}")["input_ids"] for one in said]
        ids = [one[:most] for one in ids]
        self.made.append(ids)
        return ids, [[-0.5] * len(one) for one in ids] if self.told_logprobs else None

    def _calculate_rewards(self, inputs, *arguments):
        self.inputs = inputs
        rewards = super()._calculate_rewards(inputs, *arguments)
        self.rewards = [None if torch.isnan(row).all() else row.nansum().item() for row in rewards]
        return rewards
