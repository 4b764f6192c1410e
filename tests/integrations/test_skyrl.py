"""SkyRL's text environments made from ours."""

import math
import re
from contextlib import contextmanager

import pytest

pytest.importorskip("skyrl_gym", reason="skyrl-gym is not installed (extra: skyrl)")

import skyrl_gym
from tests.integrations.conftest import served

from openenv.integrations.skyrl import register, unregister, without_faults
from openenv.outcomes import Status
from openenv.testing import AdapterContract, next_move

ASKED = [{"role": "system", "content": "Play."}, {"role": "user", "content": "Begin."}]


class TestText(AdapterContract):
    """An environment whose action is a text, played as SkyRL's generator plays."""

    form = "text"

    @contextmanager
    def adapter(self, url, budget_s):
        register("trouble", url, timeout_s=budget_s, wait_s=budget_s)
        try:
            yield lambda rows: [self.played(row) for row in rows]
        finally:
            unregister("trouble")

    def played(self, row):
        env = skyrl_gym.make("trouble", env_config={}, extras={"max_turns": 5, "data_source": "here", **row})
        try:
            talk, _ = env.init(list(ASKED))
            total, over = 0.0, False
            while not over:
                made = env.step(self.answer(talk[-1]["content"]))
                talk = talk + made["observations"]
                total, over = total + made["reward"], made["done"]
                assert made["metadata"]["reward_valid"] != math.isnan(made["reward"])
            assert set(env.get_metrics()) == {"steps", "faults"}
        finally:
            env.close()
        return None if math.isnan(total) else total

    def answer(self, text):
        move = next_move(text)
        return str(move.number) if move else "nothing"


class TestTools(TestText):
    """The same by calls of tools."""

    form = "tools"

    def answer(self, text):
        move = next_move(text)
        call = f'{{"name": "{move.tool}", "arguments": {{"number": {move.number}}}}}' if move else ""
        return f"I think so. <tool_call>{call}</tool_call>"


@pytest.fixture
def trouble_tools():
    for url in served("openenv.testing.trouble:tools"):
        register("trouble", url)
        yield
        unregister("trouble")


@pytest.fixture
def corridor(corridor_url):
    register("corridor", corridor_url, max_turns=3)
    yield lambda **row: skyrl_gym.make("corridor", env_config=None, extras=row)
    unregister("corridor")


def test_the_prompt_ends_with_what_is_seen_first(corridor):
    env = corridor(at=3)
    talk, info = env.init(list(ASKED))
    assert talk[0] == ASKED[0]
    assert re.fullmatch(r'Begin\.\n\n\{"at":3,.*\}', talk[1]["content"])
    assert info["outcome"].status == Status.OK
    assert corridor(at=3).init([])[0][0]["role"] == "user"
    env.close()


def test_an_action_is_json_or_the_only_value(corridor):
    env = corridor(at=4)
    env.init(list(ASKED))
    assert env.step('I go: {"move": "right"}')["observations"][0]["content"].startswith('{"at":5')
    made = env.step("right")
    assert (made["reward"], made["done"]) == (1.0, True)
    env.close()


def test_what_is_no_action_is_told_and_counts_as_a_turn(corridor):
    env = corridor(at=1)
    env.init(list(ASKED))
    made = env.step("somewhere")
    assert "move" in made["observations"][0]["content"]
    assert made["metadata"]["outcome"].status == Status.POLICY_FAULT
    env.step("right")
    assert env.step("right")["done"]  # it has had three turns
    env.close()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('<tool_call>{"name": "shout", "arguments": {}}</tool_call>', "shout"),
        ('<tool_call>{"name": "say", "arguments": {"number": "many"}}</tool_call>', "number"),
        ('<tool_call>{"name": "say", "arguments": [1]}</tool_call>', "A call is"),
        ("<tool_call>say 1</tool_call>", "A call is"),
        ('<tool_call>{"name": "say", "arguments": ' + "[" * 100_000, "A call is"),
    ],
)
def test_a_call_that_is_none_is_told_and_the_episode_goes_on(trouble_tools, said, told):
    env = skyrl_gym.make("trouble", env_config={}, extras={"task": 1})
    talk, _ = env.init([])
    made = env.step(said)
    assert not made["done"]
    assert made["reward"] == 0.0
    assert told in made["observations"][0]["content"]
    move = next_move(talk[-1]["content"])
    made = env.step(f'<tool_call>{{"name": "{move.tool}", "arguments": {{"number": {move.number}}}}}</tool_call>')
    assert made["reward"] == 0.25
    env.close()


def test_an_id_is_registered_once(corridor, corridor_url):
    with pytest.raises(skyrl_gym.error.RegistrationError):
        register("corridor", corridor_url)


def test_faults_are_taken_out_of_what_goes_to_the_trainer():
    nan = math.nan
    output = {
        "prompt_token_ids": [[1], [1], [1], [2]],
        "loss_masks": [[1, 1], [1, 1], [1], [1]],
        "rewards": [1.0, nan, 0.0, nan],
        "stop_reasons": ["stop"] * 4,
    }
    kept = without_faults(output)
    assert kept["rewards"] == [1.0, 0.5, 0.0, 0.0]
    assert kept["loss_masks"] == [[1, 1], [0, 0], [1], [0]]
    assert kept["stop_reasons"] == output["stop_reasons"]
    by_token = without_faults({**output, "rewards": [[0.0, 1.0], [0.5, nan], [0.0], [nan]]})
    assert by_token["rewards"] == [[0.0, 1.0], [0.0, 0.5], [0.0], [0.0]]
