"""Episodes: what broke is a result, no reward is made up, and no session is left over."""

import asyncio
import pickle
import threading
import time

import pytest
from tests.servers import wait_until
from tests.toys import UNLUCKY, Add, Counter, CounterEnv

from openenv.client import EnvClient
from openenv.environment import Environment
from openenv.errors import ConfigurationError, OpenEnvError
from openenv.mcp import MCPEnvironment, tool
from openenv.models import Action, Observation, State
from openenv.outcomes import Cause, Status
from openenv.rollouts import Episode, Episodes
from openenv.server.app import create_app


class Hanging(Counter):
    """Waits for ever where it is told to."""

    def reset(self, seed=None, episode_id=None, where=""):
        self.where = where
        if where == "reset":
            time.sleep(2)
        return super().reset(seed, episode_id)

    def step(self, action):
        if self.where == "step":
            time.sleep(2)
        return super().step(action)


class Held(Counter):
    """Takes a step only when it is let go."""

    begun, go = threading.Event(), threading.Event()

    def step(self, action):
        self.begun.set()
        self.go.wait(10)
        return super().step(action)


class Failing(Counter):
    """Cannot be reset as often as is asked for."""

    failures = 0

    def reset(self, seed=None, episode_id=None, fail=0):
        type(self).failures += 1
        if type(self).failures <= fail:
            raise OSError("no luck")
        return super().reset(seed, episode_id)


class Ungraded(Environment[Add, Observation, State]):
    """Says nothing of how good an action was."""

    def reset(self, seed=None, episode_id=None):
        return Observation()

    def step(self, action):
        return Observation(done=True)

    @property
    def state(self):
        return State()


class Tools(MCPEnvironment):
    """A task in its reset, and a tool."""

    def reset(self, seed=None, episode_id=None, word="none"):
        self.word = word
        return Observation()

    @property
    def state(self):
        return State()

    @tool
    def guess(self, word: str) -> str:
        """Guess the word."""
        self.end_episode(reward=float(word == self.word))
        return "right" if word == self.word else "wrong"


class Paint(Action):
    shade: int


class Painted(Observation):
    picture: bytes = b""


class Painter(Environment[Paint, Painted, State]):
    """Shows bytes, which travel as MessagePack."""

    def reset(self, seed=None, episode_id=None):
        return Painted()

    def step(self, action):
        return Painted(picture=bytes([action.shade]))

    @property
    def state(self):
        return State()


class PainterEnv(EnvClient[Paint, Painted, State]):
    """Its client."""


@pytest.fixture
def episodes(serve):
    server = serve(Counter, max_concurrent_envs=64)
    with Episodes(server.url, CounterEnv, timeout_s=5) as episodes:
        episodes.server = server
        yield episodes


def test_the_reward_is_the_sum_of_what_the_environment_gave(episodes):
    episode, reset = episodes.begin(seed=1)
    assert reset.result().observation.total == 0
    assert episode.reward is None
    for amount in (1, 2, 97):
        turn = episode.step(Add(amount=amount)).result()
    assert (turn.reward, turn.done, turn.observation.total) == (97.0, True, 100)
    assert episode.reward == 100.0
    assert episode.outcome.status is Status.TERMINATED


def test_many_episodes_are_played_at_the_same_time_in_sessions_of_their_own(episodes):
    played = [episodes.begin() for _ in range(32)]
    for number, (episode, _) in enumerate(played):
        episode.step(Add(amount=number * 2))  # begun before the reset has come back
        episode.step(Add(amount=1))
    rewards = [episode.step(Add(amount=0)).result() and episode.reward for episode, _ in played]
    assert rewards == [number * 2 + 1 for number in range(32)]
    for episode, _ in played:
        episode.end().result()
    again = [episodes.begin()[0] for _ in range(32)]
    assert [episode.step(Add(amount=2)).result().reward for episode in again] == [2.0] * 32
    assert len(episodes.server.manager.sessions()) == 32
    assert episodes.counts == {"episodes": 64}


def test_closing_ends_all_sessions(episodes):
    for _ in range(4):
        episodes.begin()[1].result()
    episodes.close()
    assert wait_until(lambda: not episodes.server.manager.sessions())


def test_an_exception_of_the_environment_is_a_fault_without_reward(episodes, caplog):
    episode, _ = episodes.begin()
    episode.step(Add(amount=5)).result()
    turn = episode.step(Add(trouble="raise")).result()
    assert turn.outcome.status is Status.INFRA_FAULT
    assert (turn.reward, episode.reward, episode.done) == (None, None, True)
    assert "no such key" in turn.error
    assert episode.step(Add()).result().error == turn.error  # said again, and the environment is not asked
    assert episodes.counts == {"episodes": 1, "environment_error": 1}
    assert "An episode broke (environment_error)" in caplog.text
    assert episode.reset().result().error == ""
    assert episode.step(Add(amount=3)).result().reward == episode.reward == 3.0


def test_an_action_that_is_wrong_is_told_and_the_episode_goes_on(episodes):
    episode, _ = episodes.begin()
    turn = episode.step({"amount": "many"}).result()
    assert (turn.done, turn.outcome.status) == (False, Status.POLICY_FAULT)
    assert turn.error
    assert "unlucky" in episode.call_tool("add", {"amount": UNLUCKY}).result().error
    assert episode.step(Add(amount=1)).result().reward == episode.reward == 1.0


def test_a_step_after_the_end_changes_nothing(episodes):
    episode, _ = episodes.begin()
    episode.step(Add(amount=100)).result()
    assert episode.step(Add(amount=1)).result().error == "The episode is over"
    assert (episode.reward, episode.steps) == (100.0, 1)


def test_a_step_before_the_first_reset_is_told(episodes):
    assert "reset first" in Episode(episodes).step(Add()).result().error


def test_a_caller_can_make_an_episode_a_fault(episodes):
    episode, _ = episodes.begin()
    episode.step(Add(amount=5)).result()
    episode.fail(Cause.OUT_OF_TURN, "not what was played").result()
    assert (episode.reward, episode.fault) == (None, "not what was played")


@pytest.mark.parametrize("where", ["reset", "step"])
def test_an_environment_that_hangs_is_a_fault_when_its_time_is_over(serve, where):
    with Episodes(serve(Hanging).url, CounterEnv, timeout_s=0.2) as episodes:
        episode, _ = episodes.begin(where=where)
        turn = episode.step(Add()).result()
        assert (turn.outcome.cause, episode.reward) == (Cause.BUDGET, None)


def test_a_reset_that_fails_in_passing_is_tried_again(serve):
    Failing.failures = 0
    with Episodes(serve(Failing).url, CounterEnv) as episodes:
        assert episodes.begin(fail=1)[1].result().error == ""
        Failing.failures = 0
        turn = episodes.begin(fail=2)[1].result()
        assert (turn.done, turn.outcome.cause) == (True, Cause.ENVIRONMENT_ERROR)


def test_what_nothing_graded_has_no_reward(serve):
    with Episodes(serve(Ungraded).url) as episodes:
        episode, _ = episodes.begin()
        assert episode.step({}).result().done
        assert (episode.reward, episode.fault) == (None, "")


def test_a_server_that_cannot_be_reached_is_a_fault():
    with Episodes("http://127.0.0.1:9", CounterEnv, wait_s=0.5) as episodes:
        turn = episodes.begin()[1].result()
        assert turn.outcome.cause in (Cause.CAPACITY, Cause.SESSION_LOST)
        assert "127.0.0.1:9" in turn.error


def test_a_server_that_starts_anew_costs_the_episodes_that_were_under_way_and_no_more(host):
    first = host.serve(Counter)
    port = int(first.url.rpartition(":")[2])
    with Episodes(first.url, CounterEnv, timeout_s=5) as episodes:
        lost, idle = episodes.begin()[0], episodes.begin()[0]
        idle.end().result()
        first.vanish()
        host.run(create_app(Counter), port=port)
        assert lost.step(Add()).result().outcome.status is Status.INFRA_FAULT
        assert lost.reward is None
        again, reset = episodes.begin()
        assert reset.result().error == ""
        assert again.step(Add(amount=4)).result().reward == 4.0


def test_tools_are_those_of_the_episode_and_calls_are_steps(serve):
    with Episodes(serve(Tools).url) as episodes:
        assert [tool.name for tool in episodes.tools()] == ["guess"]
        episode, _ = episodes.begin(word="owl")
        assert [tool.name for tool in episode.tools().result()] == ["guess"]
        assert "nothing" in episode.call_tool("nothing", {}).result().error
        assert episode.call_tool("guess", {"wrod": "owl"}).result().error
        turn = episode.call_tool("guess", {"word": "owl"}).result()
        assert (turn.value, turn.reward, turn.done, episode.reward) == ("right", 1.0, True, 1.0)


def test_a_copy_of_another_process_has_sessions_of_its_own(episodes):
    episodes.begin()[1].result()
    with pickle.loads(pickle.dumps(episodes)) as copy:
        assert copy.urls == episodes.urls
        assert copy.begin()[0].step(Add(amount=2)).result().reward == 2.0
        assert copy.counts == {"episodes": 1}


async def test_it_can_be_awaited_inside_a_running_loop(episodes):
    episode, reset = episodes.begin()
    await asyncio.wrap_future(reset)
    assert (await asyncio.wrap_future(episode.step(Add(amount=1)))).reward == 1.0


def test_what_is_no_place_is_refused():
    with pytest.raises(ConfigurationError):
        Episodes([])


def test_the_tools_of_what_cannot_begin_are_an_error():
    with Episodes("http://127.0.0.1:9", wait_s=0.1) as episodes, pytest.raises(OpenEnvError):
        episodes.tools()


def test_arguments_that_no_message_can_hold_are_a_mistake_of_who_calls(serve):
    with Episodes(serve(Tools).url, timeout_s=10) as episodes:
        episode, _ = episodes.begin(word="milk")
        for odd in (float("nan"), "\ud800"):
            turn = episode.call_tool("guess", {"word": odd}).result()
            assert (turn.outcome.status, turn.done) == (Status.POLICY_FAULT, False)
            assert turn.error
        episode.call_tool("guess", {"word": "milk"}).result()
        assert (episode.reward, episodes.counts) == (1.0, {"episodes": 1})


@pytest.mark.parametrize("typed", [True, False])
def test_an_action_that_no_message_can_hold_is_a_mistake_of_who_acts_and_the_episode_goes_on(serve, typed):
    with Episodes(serve(Counter).url, CounterEnv if typed else None, timeout_s=10) as episodes:
        episode, _ = episodes.begin()
        nested: list[object] = []
        for _ in range(300):
            nested = [nested]
        for odd in (float("inf"), "\ud800", nested):
            turn = episode.step({"amount": odd}).result()
            assert (turn.outcome.status, turn.outcome.cause) == (Status.POLICY_FAULT, Cause.INVALID_ACTION)
            assert turn.error
        assert episode.step({"amount": 3}).result().reward == 3.0
        assert (episode.reward, episodes.counts) == (3.0, {"episodes": 1})


def test_a_number_that_messagepack_cannot_hold_is_a_mistake_of_who_acts(serve):
    with Episodes(serve(Painter).url, PainterEnv, timeout_s=10) as episodes:
        episode, _ = episodes.begin()
        assert episode.step({"shade": 1 << 64}).result().outcome.status is Status.POLICY_FAULT
        assert episode.step({"shade": 7}).result().observation.picture == b"\x07"
        assert episodes.counts == {"episodes": 1}


def test_an_answer_that_no_message_can_hold_is_a_fault(episodes):
    episode, _ = episodes.begin()
    turn = episode.step(Add(trouble="nan")).result()
    assert (turn.outcome.cause, turn.done, episode.reward) == (Cause.SERIALIZATION, True, None)


def test_a_call_that_no_message_can_hold_is_a_mistake_of_who_calls(serve):
    with Episodes(serve(Tools).url, timeout_s=10) as episodes:
        episode, _ = episodes.begin()
        nested: list[object] = []
        for _ in range(210):  # one can be written, and none can be read
            nested = [nested]
        for name, arguments in (("\ud800", {}), ("guess", {"word": nested}), ("guess", {"\ud800": 1})):
            turn = episode.call_tool(name, arguments).result()
            assert (turn.outcome.status, turn.done) == (Status.POLICY_FAULT, False)
        assert episodes.counts == {"episodes": 1}


def test_a_session_that_is_given_back_is_there_for_the_next_episode(episodes):
    for _ in range(5):
        played = [episodes.begin() for _ in range(4)]
        for episode, reset in played:
            reset.result()
            episode.step(Add(amount=1)).result()
        for episode, _ in played:
            episode.end()
    assert len(episodes.server.manager.sessions()) == 4


def test_the_schema_of_actions_is_told_and_where_there_is_none_to_tell_it_the_episode_is_a_fault(episodes):
    episode, _ = episodes.begin()
    assert "amount" in episode.action_schema().result()["properties"]
    with Episodes("http://127.0.0.1:9", wait_s=0.1) as nowhere:
        episode, _ = nowhere.begin()
        assert episode.action_schema().result() == {}
        assert episode.fault


@pytest.fixture
def held(serve):
    Held.begun.clear()
    Held.go.clear()
    with Episodes(serve(Held, max_concurrent_envs=4).url, CounterEnv, timeout_s=3) as episodes:
        yield episodes
        Held.go.set()


def test_a_session_that_is_busy_with_a_cancelled_call_is_not_for_the_next_episode(held):
    episode, _ = held.begin()
    step = episode.step(Add())
    Held.begun.wait(10)
    assert step.cancel()
    episode.end().result()
    assert (episode.outcome.cause, episode.reward) == (Cause.CANCELLED, None)
    assert held.begin()[1].result().error == ""
    assert held.counts == {"episodes": 2, "cancelled": 1}


def test_a_call_that_is_cancelled_before_its_turn_lets_no_other_overtake_and_breaks_nothing(held):
    episode, _ = held.begin()
    first = episode.step(Add(amount=1))
    Held.begun.wait(10)
    second, third = episode.step(Add(amount=2)), episode.end()
    assert second.cancel()
    held.begin()[1].result()  # by then the loop has seen it
    assert not third.done()
    Held.go.set()
    assert first.result().reward == episode.reward == 1.0
    third.result()
    assert episode.fault == ""


def test_an_argument_of_a_reset_can_have_any_name(episodes):
    episode, reset = episodes.begin(self="me", arguments=1)
    assert reset.result().error == ""
    assert episode.reset(self="me").result().error == ""
