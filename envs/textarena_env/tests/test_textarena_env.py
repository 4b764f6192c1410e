"""What textarena_env promises: the contract, Wordle on the shipped words, opponents, seats, and what it refuses."""

import asyncio
import random
from random import Random
from typing import Any, ClassVar

import pytest

pytest.importorskip("textarena", reason="textarena is not installed")

from openenv.environment.multi_agent import seats
from openenv.errors import ConfigurationError, InvalidRequestError, IsolationError
from openenv.models import StepResult
from openenv.outcomes import Cause, Status
from openenv.providers import SandboxProvider
from openenv.testing import EnvironmentContract, EnvironmentMemoryContract, LocalServer
from textarena_env import TextArenaAction, TextArenaEnv, TextArenaObservation, policies
from textarena_env.server import app, games
from textarena_env.server.moves import ALWAYS, LISTED
from textarena_env.server.seats import app as seats_app
from textarena_env.server.textarena_environment import TextArenaEnvironment
from textarena_env.server.textarena_game import TextArenaGame
from textarena_env.server.words import Spelling, shipped

POLICED = sorted({*LISTED, *ALWAYS, "ConnectFour", "Nim"} - {"Stratego"})
Result = StepResult[TextArenaObservation]


def say(message: str) -> TextArenaAction:
    return TextArenaAction(message=message)


class TestContract(EnvironmentContract):
    environment = TextArenaEnvironment
    actions = (say("[crane]"), say("I think of [moist]."), say("[bread]"))
    bad_actions = ({}, {"message": 5}, {"message": None}, {"message": "x" * 20_001}, {"message": "[a]", "more": 1})


class TestContractOfAGameForTwo(EnvironmentContract):
    environment = lambda: TextArenaEnvironment("KuhnPoker-v0")  # noqa: E731
    actions = (say("[check]"),)

    def choose_action(self, step: int, result: Result) -> TextArenaAction:
        legal = result.observation.legal_actions
        return say(legal[step % len(legal)])


class TestContractOfASeat(EnvironmentContract):
    environment = seats(TextArenaGame)
    reset_arguments: ClassVar[Any] = {"env_id": "Wordle-v0"}
    actions = (say("[crane]"), say("[moist]"))
    bad_actions = ({}, {"message": 5}, {"message": "x" * 20_001})


@pytest.mark.slow
class TestMemory(EnvironmentMemoryContract):
    environment = TextArenaEnvironment
    patience_s = 300.0
    actions = (say("[crane]"), say("[moist]"))


def episode(env_id: str, seed: int = 1, **reset: Any) -> list[Result]:
    """Play a game by random legal moves to its end."""
    rng, environment = Random(seed), TextArenaEnvironment(env_id)
    seen = [environment.reset(seed=seed, **reset)]
    while not seen[-1].done:
        seen.append(environment.step(say(rng.choice(seen[-1].observation.legal_actions))))
    return seen


# --- Wordle ------------------------------------------------------------------------------------------


class Direct:
    """An environment with the face of a blocking client."""

    def __init__(self) -> None:
        environment = TextArenaEnvironment()
        self.reset, self.step = environment.reset, environment.step


def test_the_oracle_finds_every_word_and_the_null_policy_hardly_any():
    env = Direct()
    assert {policies.oracle(env, seed=seed) for seed in range(20)} == {policies.MAX_RETURN}
    earned = [policies.null(env, seed=seed) for seed in range(100)]
    assert min(earned) == policies.MIN_RETURN
    assert 0.1 < sum(earned) / len(earned) < 0.25


def test_wordle_draws_from_the_shipped_words_by_the_seed():
    env = Direct()

    def secret(seed: int) -> str:
        env.reset(seed=seed)
        for word in policies.WORDS[:6]:
            result = env.step(say(f"[{word}]"))
            if result.done:
                break
        return result.observation.reason

    told = [secret(seed) for seed in range(20)]
    assert told == [secret(seed) for seed in range(20)]
    assert len(set(told)) > 15
    words = [reason.split("**")[1] for reason in told if "**" in reason]
    assert set(words) <= set(shipped())


def test_a_guess_is_any_english_word():
    spelling = Spelling()
    assert all(spelling.is_english_word(word) for word in ("crane", "Moist", "walked", "cities", "making", "boxes"))
    assert not any(spelling.is_english_word(word) for word in ("zzzzz", "qwert", ""))


def test_a_message_that_is_no_move_is_told_and_a_second_one_loses():
    environment = TextArenaEnvironment()
    environment.reset(seed=1)
    first = environment.step(say("I do not know"))
    assert (first.done, first.reward, first.observation.invalid) == (False, None, True)
    assert "invalid move" in first.observation.messages[-1].content
    good = environment.step(say("[crane]"))
    assert not good.observation.invalid
    environment.step(say("[zzzzz]"))
    lost = environment.step(say("[zzzzz]"))
    assert (lost.done, lost.observation.invalid) == (True, True)
    assert lost.outcome.status is Status.POLICY_FAULT
    assert lost.outcome.cause is Cause.ILLEGAL_ACTION
    assert isinstance(lost.reward, float)


def test_hangman_is_played_on_the_shipped_words():
    environment = TextArenaEnvironment("Hangman")
    environment.reset(seed=3)
    seen = [environment.step(say(f"[{letter}]")) for letter in "ea"]
    assert not any(result.observation.invalid for result in seen)
    assert environment.state.env_id == "Hangman-v0"
    with pytest.raises(InvalidRequestError, match="cannot be played here"):
        environment.reset(env_id="WordSearch-v0")  # the shipped words are for those two


# --- opponents and other games -----------------------------------------------------------------------


@pytest.mark.parametrize("name", POLICED)
def test_a_game_is_played_by_its_legal_moves_to_the_end(name):
    for seed in range(3):
        first, *steps = episode(name, seed=seed)
        assert first.reward is None
        assert [result.reward for result in steps[:-1]] == [None] * (len(steps) - 1)
        assert not any(result.observation.invalid for result in steps)
        last = steps[-1]
        assert (last.terminated, last.observation.current_player_id) == (True, -1)
        assert isinstance(last.reward, float)
        assert last.observation.reason


@pytest.mark.parametrize("name", ["KuhnPoker", "Othello", "Nim", "Sokoban", "Minesweeper"])
def test_the_same_seed_gives_the_same_game_whatever_else_draws(name):
    def begun(seed: int) -> str:
        random.random()
        return TextArenaEnvironment(name).reset(seed=seed).observation.prompt

    assert [begun(seed) for seed in range(3)] == [begun(seed) for seed in range(3)]


def test_the_global_generator_is_left_as_it_was():
    random.seed(7)
    expected = random.random()
    random.seed(7)
    episode("KuhnPoker")
    assert random.random() == expected


def test_what_opponents_say_is_read_by_the_agent_and_what_they_hold_is_not():
    seen = episode("TicTacToe", agent_player=1, opponent_policy="first")[0].observation
    assert "You are Player 1" in seen.prompt
    assert "You are Player 0" not in seen.prompt
    assert [(each.sender_id, each.content) for each in seen.messages if each.sender_id >= 0] == [(0, "[0]")]


def test_an_opponent_may_follow_a_script():
    environment = TextArenaEnvironment("TicTacToe")
    environment.reset(opponent_policy="script", opponent_script=["[0]", "[1]", "[2]"])
    for square in (3, 4, 8):
        result = environment.step(say(f"[{square}]"))
    assert (result.done, result.reward) == (True, -1.0)


def test_an_opponent_that_makes_no_move_loses_and_that_is_no_fault_of_the_agent():
    environment = TextArenaEnvironment("TicTacToe")
    environment.reset(opponent_policy="script", opponent_script=["well"])
    result = environment.step(say("[4]"))
    assert (result.reward, result.outcome.status) == (1.0, Status.TERMINATED)
    assert not result.observation.invalid


def test_an_episode_is_cut_off_after_its_steps():
    environment = TextArenaEnvironment("PigDice", max_steps=2)
    environment.reset(seed=1)
    results = [environment.step(say("[roll]")) for _ in range(2)]
    assert [result.truncated for result in results] == [False, True]
    assert results[-1].reward is None


def test_a_game_that_fails_is_a_fault_and_no_reward(monkeypatch, caplog):
    environment = TextArenaEnvironment("TicTacToe")
    environment.reset(seed=1)

    def broken(action: str) -> None:
        raise KeyError(action)

    monkeypatch.setattr(environment._game._env.env, "step", broken)
    result = environment.step(say("[4]"))
    assert (result.done, result.reward, result.outcome.cause) == (True, None, Cause.ENVIRONMENT_ERROR)
    assert "KeyError" in caplog.text


@pytest.mark.slow
def test_every_game_begins_or_is_refused_with_a_reason():
    families = sorted({name.partition("-v")[0] for name in games.names()})
    refused = {}
    for family in families:
        name = min((each for each in games.names() if each.startswith(f"{family}-v")), key=len)
        try:
            text = TextArenaEnvironment(name, opponent_policy="script", opponent_script=["[1]"]).reset(seed=1)
            assert text.observation.prompt
        except InvalidRequestError as error:
            refused[family] = error.message
    assert all("cannot be played" in reason for reason in refused.values())
    assert len(families) - len(refused) >= 70


# --- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reset", "reason"),
    [
        ({"env_id": "no_such_game"}, "no game"),
        ({"env_id": "Wordel-v0"}, "Wordle-v0"),
        ({"env_id": 5}, "no game"),
        ({"env_id": "WordChains-v0"}, "cannot be played here"),
        ({"env_id": "Debate-v0"}, "cannot be played here"),
        ({"num_players": 2}, "cannot be played by 2"),
        ({"num_players": 0}, "num_players is a whole number"),
        ({"num_players": 10**30}, "cannot be played"),
        ({"num_players": "two"}, "num_players is a whole number"),
        ({"agent_player": 1}, "players from 0 to 0"),
        ({"agent_player": -1}, "agent_player is a whole number"),
        ({"max_steps": 0}, "max_steps is a whole number"),
        ({"max_steps": float("nan")}, "max_steps is a whole number"),
        ({"opponent_policy": "genius"}, "no opponent"),
        ({"opponent_policy": "script"}, "opponent_script"),
        ({"opponent_script": "hello"}, "opponent_script"),
        ({"opponent_script": [1]}, "opponent_script"),
        ({"env_id": "SimpleNegotiation-v0"}, "legal moves of SimpleNegotiation-v0 are not known"),
    ],
    ids=str,
)
def test_a_game_that_cannot_be_is_refused_and_the_one_before_goes_on(reset, reason):
    environment = TextArenaEnvironment()
    environment.reset(seed=1, episode_id="before")
    with pytest.raises(InvalidRequestError, match=reason):
        environment.reset(**reset)
    environment.step(say("[crane]"))
    assert (environment.state.episode_id, environment.state.step_count) == ("before", 1)


def test_variables_say_what_is_served(monkeypatch):
    monkeypatch.setenv("TEXTARENA_ENV_ID", "Nim-v0")
    monkeypatch.setenv("TEXTARENA_MAX_STEPS", "3")
    environment = app.make()
    environment.reset(seed=1)
    assert (environment.state.env_id, environment.state.max_steps) == ("Nim-v0", 3)
    monkeypatch.setenv("TEXTARENA_AGENT_PLAYER", "first")
    with pytest.raises(ConfigurationError, match="TEXTARENA_"):
        app.make()


# --- served ------------------------------------------------------------------------------------------


def test_two_clients_play_with_one_another():
    async def play(env: Any, player: int) -> Result:
        result = await env.reset(agent=f"player_{player}", env_id="TicTacToe-v0", seed=1)
        while not result.done:
            assert f"You are Player {player}" in result.observation.prompt
            result = await env.step(say(result.observation.legal_actions[0]))
        return result

    async def main() -> list[Result]:
        async with LocalServer(seats(TextArenaGame)) as server, server.client() as one, server.client() as two:
            return list(await asyncio.gather(play(one, 0), play(two, 1)))

    assert [result.reward for result in asyncio.run(main())] == [1.0, -1.0]
    assert seats_app.state.openenv.manager is not None


@pytest.mark.slow
def test_the_oracle_finds_the_word_in_a_sandbox():
    try:
        with TextArenaEnv.with_provider(SandboxProvider()) as env:
            assert policies.oracle(env, seed=1) == policies.MAX_RETURN
            assert env.state().env_id == "Wordle-v0"
    except IsolationError as error:
        pytest.skip(f"no sandbox here: {error}")
