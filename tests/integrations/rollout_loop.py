"""The loop of AsyncGRPOTrainer's rollout worker, for a process of its own; its model is told what to say."""

import asyncio
import queue
import types

from tests.integrations.scripted import END, call, last_message, tokenizer


def run(factory, rows, number, samples):
    """Play rows until there are so many rewards; AsyncGRPOTrainer pickles its factory in the same way."""
    from accelerate.state import PartialState
    from datasets import Dataset
    from trl.experimental.async_grpo import async_rollout_worker

    PartialState()

    class Loop(async_rollout_worker._AsyncRolloutLoop):
        async def _generate_one_turn(self, prompt_ids):
            told = last_message(self.tokenizer.decode(prompt_ids))
            said = call("add", amount=2) if told.startswith("user\nPlay.") else "Done."
            ids = self.tokenizer(f"{said}{END}")["input_ids"]
            return ids, [0.0] * len(ids)

        async def _score_group(self, group):
            scored = await super()._score_group(group)
            for _, reward in group.env_rewards:
                samples.put(reward)
            self.left -= len(group.env_rewards)
            if self.left <= 0:
                self._stop_event.set()
            return scored

    tokens = tokenizer()
    shared = types.SimpleNamespace
    loop = Loop(
        model_name="scripted",
        dataset=Dataset.from_list(rows),
        reward_funcs=[],
        processing_class=tokens,
        eos_token_ids=[tokens.eos_token_id],
        rollout_buffer=queue.Queue(),
        model_version_value=shared(value=0),
        heartbeat_value=shared(value=0.0),
        failed_event=shared(set=lambda: None),
        exception_info_queue=queue.Queue(1),
        metrics_queue=queue.Queue(),
        environment_factory=factory,
        num_generations=2,
        max_inflight_tasks=4,
        max_tokens=8000,
    )
    loop.left = number
    asyncio.set_event_loop(loop._loop)
    loop.run()
