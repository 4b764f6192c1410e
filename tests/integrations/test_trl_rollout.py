"""TRL plays whole episodes by `rollout_func`, by its own code: see `speaking`."""

import pickle
import re
from contextlib import contextmanager

import pytest

pytest.importorskip("trl", reason="needs the extra openenv[trl]")

import torch
from tests.integrations.scripted import END, START, call, player, tokenizer, with_prompt
from tests.integrations.speaking import Speaking
from tests.servers import wait_until

from openenv.environment import Environment
from openenv.errors import ConfigurationError
from openenv.integrations.trl import rollout_func, rollout_reward
from openenv.integrations.trl.dialogue import Dialogue
from openenv.mcp import MCPEnvironment, tool
from openenv.models import Action, Observation, State
from openenv.testing import AdapterContract, next_move

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "error:::openenv"),
    pytest.mark.xdist_group("trl"),
]


class TestToolsContract(AdapterContract):
    """An environment of tools that misbehaves."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path

    def answer(self, text):
        return player(text)

    @contextmanager
    def adapter(self, url, budget_s):
        rollouts = rollout_func(url, timeout_s=budget_s, wait_s=budget_s)
        trainer = Speaking(rollouts, self.folder, self.answer)
        yield trainer.play
        rollouts.close()


class TestTextContract(TestToolsContract):
    """The same, played by what the model says."""

    form = "text"

    def answer(self, text):
        move = next_move(text)
        return str(move.number) if move else "nothing"


class Say(Action):
    words: str


class Heard(Observation):
    words: str


class Riddle(Environment[Say, Heard, State]):
    """Wants to hear the word of its task; every other word is answered, and costs a tenth."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, word: str, graded: bool = True) -> Heard:
        self.word, self.graded = word, graded
        return Heard(words=f"Say {word}.")

    def step(self, action: Say) -> Heard:
        if action.words == "fall over":
            raise RuntimeError("fell over")
        right = action.words == self.word
        reward = (1.0 if right else -0.1) if self.graded else None
        return Heard(words="Right." if right else "Wrong.", done=right, reward=reward)

    @property
    def state(self) -> State:
        return State()


class Adder(MCPEnvironment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, goal: int = 3) -> Heard:
        self.goal, self.total = goal, 0
        return Heard(words=f"Add up to {goal}.")

    @tool
    def add(self, amount: float = 1) -> str:
        """Add.

        Args:
            amount: How much.
        """
        self.total += amount
        if self.total >= self.goal:
            self.end_episode(reward=float(self.total == self.goal))
        return f"now {self.total}"

    @property
    def state(self) -> State:
        return State()


@pytest.fixture
def speaking(serve, tmp_path):
    """A maker of trainers whose model gives its answers by what it was told last."""
    made = []

    def start(env, answer, *, settings=None, **options):
        rollouts = rollout_func(serve(env, max_concurrent_envs=32).url, timeout_s=5, **options)
        made.append(rollouts)
        return Speaking(rollouts, tmp_path, answer if callable(answer) else lambda text: answer, **settings or {})

    yield start
    for rollouts in made:
        rollouts.close()


def guesser(text):
    """Says a wrong word first, then that of the task."""
    return "maybe" if "Say" in text else "milk"


MILK = {"word": "milk"}


# --- tokens ----------------------------------------------------------------------------------------------


def kept(trainer, row):
    """Return the tokens of a row's completion and which of them count, as TRL's loss has them."""
    mask = trainer.batch["completion_mask"][row].bool()
    ids = trainer.batch["completion_ids"][row][mask].tolist()
    return ids, trainer.batch["tool_mask"][row][mask].tolist()


@pytest.mark.parametrize(("env", "row", "answer"), [(Riddle, MILK, guesser), (Adder, {}, None)])
def test_the_model_learns_from_its_own_tokens_which_are_those_it_made(speaking, env, row, answer):
    trainer = speaking(env, answer or call("add", amount=1.5))
    assert trainer.play([row] * 2) == pytest.approx([0.9 if env is Riddle else 1.0] * 2)
    for place in range(2):
        ids, mask = kept(trainer, place)
        own = [token for token, counts in zip(ids, mask, strict=True) if counts]
        assert own == [token for turn in trainer.made for token in turn[place]]
        rest = trainer.processing_class.decode([t for t, counts in zip(ids, mask, strict=True) if not counts])
        told = "Wrong." if env is Riddle else "<tool_response>\nnow 1.5\n</tool_response>"
        assert rest == f"\n{START}user\n{told}{END}\n{START}assistant\n"


def test_each_turn_goes_on_from_exactly_the_tokens_of_the_one_before(speaking):
    trainer = speaking(Riddle, guesser)
    trainer.play([MILK] * 2)
    first, second = trainer.asked
    assert second[0][: len(first[0])] == first[0]
    assert second[0][len(first[0]) :][: len(trainer.made[0][0])] == trainer.made[0][0]


def test_tokens_that_no_rendering_would_give_are_kept(speaking):
    tokens = tokenizer(["milk milk milk"])
    letters = [tokens.convert_tokens_to_ids(letter) for letter in "milk"]
    assert tokens("milk")["input_ids"] != letters
    trainer = speaking(Riddle, lambda text: [*letters, tokens.eos_token_id], settings={"tokens": tokens})
    assert trainer.play([MILK] * 2) == [1.0, 1.0]
    assert kept(trainer, 0)[0] == [*letters, tokens.eos_token_id]


def test_what_is_shown_is_what_the_template_makes_of_the_whole_conversation(speaking):
    trainer = speaking(Riddle, guesser)
    trainer.play([MILK] * 2)
    talk = [
        {"role": "user", "content": "Play.\nSay milk."},
        {"role": "assistant", "content": "maybe"},
        {"role": "user", "content": "Wrong."},
    ]
    template = trainer.processing_class.apply_chat_template
    whole = template(talk, tokenize=False, add_generation_prompt=True)
    assert trainer.processing_class.decode(trainer.asked[1][0]) == whole


def test_an_answer_that_is_cut_off_is_ended_for_the_model_and_not_by_it(speaking):
    trainer = speaking(Riddle, "milkmilkmilk", turn_tokens=5, max_turns=2)
    assert trainer.play([MILK] * 2) == pytest.approx([-0.2, -0.2])
    ids, mask = kept(trainer, 0)
    assert mask[:5] == [1] * 5
    assert (ids[5], mask[5]) == (trainer.processing_class.eos_token_id, 0)


def test_an_episode_has_no_more_tokens_than_the_trainer_says(speaking):
    trainer = speaking(Riddle, "no", settings={"max_completion_length": 70})
    trainer.play([MILK, {"word": "x" * 40}])
    assert all(len(kept(trainer, place)[0]) <= 70 for place in range(2))
    assert trainer.generation_config.max_new_tokens == 70  # as before


def test_probabilities_are_those_of_the_generation_and_nothing_for_other_tokens(speaking):
    trainer = speaking(Riddle, guesser, settings={"logprobs": True})
    trainer.play([MILK] * 2)
    logprobs, (_, mask) = trainer.batch["sampling_per_token_logps"][0], kept(trainer, 0)
    assert logprobs[: len(mask)].tolist() == [-0.5 if counts else 0.0 for counts in mask]


def test_thoughts_are_no_part_of_an_answer():
    dialogue = Dialogue(tokens := tokenizer())
    said = ["<think>hm</think>\nmilk", "milk", "<think>milk, or", "<think>a</think>b<think>c</think> milk "]
    assert [dialogue.words(tokens(each)["input_ids"]) for each in said] == ["milk", "milk", "", "milk"]


def test_texts_are_continued_by_what_the_environment_says(speaking):
    trainer = speaking(Riddle, lambda text: "milk" if "Wrong." in text else "maybe")
    trainer.model.eval()
    trainer._generate_and_score_completions([{"prompt": "Play.", **MILK} for _ in range(2)])
    shown = trainer.processing_class.decode(trainer.asked[1][0])
    assert shown == f"Play.\nSay milk.\nmaybe{END}\nWrong.\n"
    assert trainer.rewards == pytest.approx([0.9, 0.9])


# --- what the model does wrong ---------------------------------------------------------------------------


def test_mistakes_of_the_model_are_told_to_it_and_the_episode_goes_on(speaking):
    mistakes = {
        call("subtract", amount=1): "subtract",
        call("add", amount="many"): "Wrong arguments for tool 'add': amount",
        '<tool_call>\n{"name": "add", "arguments": {"amount": NaN}}\n</tool_call>': "NaN",
        '<tool_call>\n{"name": "add", "arguments": [3]}\n</tool_call>': "JSON object",
    }
    for mistake, told in mistakes.items():
        heard = []

        def answer(text, mistake=mistake, heard=heard):
            heard.append(text)
            return mistake if len(heard) <= 2 else call("add", amount=3)

        trainer = speaking(Adder, answer)
        assert trainer.play([{"goal": 3}] * 2) == [1.0, 1.0], mistake
        assert told in heard[-1], mistake
        assert trainer.rollout_func.episodes.counts == {"episodes": 2}


def test_who_calls_no_tool_any_more_has_left(speaking):
    assert speaking(Adder, "No.").play([{}] * 2) == [None, None]
    assert speaking(Adder, "No.", unfinished=-1.0).play([{}] * 2) == [-1.0, -1.0]


def test_words_that_are_no_action_are_answered_by_what_is_wrong_with_them(speaking):
    def act(words):
        if words == "maybe":
            raise ValueError("Be clear.")
        return {"words": words}

    heard = []
    trainer = speaking(
        Riddle, lambda text: (heard.append(text), "milk" if "clear" in text else "maybe")[1], act=act
    )
    assert trainer.play([MILK] * 2) == [1.0, 1.0]
    assert "Be clear." in heard[-1]


def test_an_episode_that_has_no_turn_left_has_what_it_was_given_or_what_is_said_for_that(speaking):
    rows = [MILK, {**MILK, "graded": False}]
    assert speaking(Riddle, "no", max_turns=3, unfinished=-1.0).play(rows) == pytest.approx([-0.3, -1.0])
    trainer = speaking(Riddle, "no", max_turns=1)
    assert trainer.play(rows) == pytest.approx([-0.1, None])
    assert [row["env_outcome"] for row in trainer.inputs] == ["truncated"] * 2
    assert [row["env_steps"] for row in trainer.inputs] == [1, 1]


# --- what breaks -----------------------------------------------------------------------------------------


def test_an_episode_that_broke_has_no_reward_and_no_token_to_learn_from(speaking, caplog):
    trainer = speaking(Riddle, lambda text: "fall over" if "oats" in text else "milk")
    rows = [MILK, {"word": "oats"}, {"word": None}, MILK]  # None: the row has no such column
    assert trainer.play(rows) == [1.0, None, None, 1.0]
    assert [row["env_cause"] for row in trainer.inputs] == ["", "environment_error", "environment_error", ""]
    assert [sum(kept(trainer, place)[1]) > 0 for place in range(4)] == [True, False, False, True]
    assert trainer.batch["advantages"].tolist() == [0.0] * 4
    assert trainer.rollout_func.episodes.counts == {"episodes": 4, "environment_error": 2}
    assert len(re.findall(r"An episode broke \(environment_error\) and is left out", caplog.text)) == 2


def test_a_step_in_which_everything_breaks_changes_nothing(speaking):
    trainer = speaking(Riddle, "fall over", settings={"rows": [MILK], "learning_rate": 1.0})
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.named_parameters())
    (logged,) = [entry for entry in trainer.state.log_history if "env/faults" in entry]
    assert (logged["env/faults"], logged["env/faults/environment_error"]) == (1.0, 1.0)


def test_rows_of_the_same_group_keep_their_own_rewards(speaking):
    answers = iter(["milk", "no", "maybe", "milk"] + ["milk"] * 4)
    trainer = speaking(Riddle, lambda text: next(answers))
    assert trainer.play([MILK] * 4) == pytest.approx([1.0, 0.9, 0.9, 1.0])


def test_prompts_whose_rows_cannot_be_seen_are_not_played(serve):
    rollouts = rollout_func(serve(Riddle).url)
    trainer = object()

    def _generate_and_score_completions(inputs, prompts, asked):
        return rollouts(asked, trainer)

    rows = [with_prompt(MILK), {"prompt": "other", **MILK}]
    prompts = [row["prompt"] for row in rows]
    for asked in (prompts[::-1], prompts[:1]):
        with pytest.raises(ConfigurationError, match=r"row="):
            _generate_and_score_completions(rows, prompts, asked)
    with pytest.raises(ConfigurationError, match=r"row="):
        rollouts(["p"], trainer)
    assert rollouts.episodes.counts == {}


def test_rows_may_be_said_by_a_function_of_the_prompt(speaking):
    trainer = speaking(Riddle, "milk", row=lambda prompt: MILK)
    assert trainer.play([{"word": "oats"}] * 2) == [1.0, 1.0]


def test_a_row_that_cannot_be_said_begins_no_episode(speaking):
    def row(prompt):
        asked.append(prompt)
        if len(asked) == 2:
            raise KeyError("no such task")
        return MILK

    asked = []
    trainer = speaking(Riddle, "milk", row=row)
    with pytest.raises(KeyError):
        trainer.play([MILK] * 2)
    rollouts = trainer.rollout_func
    rollouts.close()  # after what has been begun
    assert rollouts.episodes.counts == {}


def test_no_session_is_left_and_sessions_are_used_again(serve, tmp_path):
    server = serve(Riddle, max_concurrent_envs=8)
    rollouts = rollout_func(server.url)
    trainer = Speaking(rollouts, tmp_path, guesser)
    for _ in range(3):
        trainer.play([MILK] * 4)
    assert len(server.manager.sessions()) <= 4
    rollouts.close()
    assert wait_until(lambda: not server.manager.sessions())


def test_a_rollout_function_can_be_pickled(serve, tmp_path):
    copy = pickle.loads(pickle.dumps(rollout_func(serve(Riddle, max_concurrent_envs=4).url, max_turns=1)))
    assert Speaking(copy, tmp_path, lambda text: "milk").play([MILK] * 2) == [1.0, 1.0]
    copy.close()


def test_the_reward_function_gives_what_the_rollouts_have_and_logs_what_broke():
    logged = {}
    rewards = rollout_reward(["a"] * 4, [1.0, None, None, 0.0], ["", "timeout", "died", ""], logged.__setitem__)
    assert rewards == [1.0, None, None, 0.0]
    assert logged == {"env/faults": 0.5, "env/faults/timeout": 0.25, "env/faults/died": 0.25}
