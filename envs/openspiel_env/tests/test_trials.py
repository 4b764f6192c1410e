"""Games that clients choose are tried first: what would end or stop the server is refused, and the others go on."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("pyspiel", reason="open_spiel is not installed")

from openenv.errors import InvalidRequestError
from openenv.providers import ProcessProvider
from openenv.testing import LocalServer
from openspiel_env import OpenSpielAction, OpenSpielEnv, policies
from openspiel_env.server import app, seats, trials
from openspiel_env.server.openspiel_environment import OpenSpielEnvironment
from openspiel_env.server.trials import Verdict

CRASHES = [
    ({"game_name": "hearts", "opponent_policy": "mcts", "simulations": 3}, "when it was tried"),
    ({"game_name": "connect_four", "game_params": {"rows": 0}}, "when it was tried"),
    ({"game_name": "leduc_poker", "game_params": {"starting_player": 3}}, "when it was tried"),
    ({"game_name": "dark_chess", "game_params": {"fen": ""}}, "when it was tried"),
    ({"game_name": "go_fish", "game_params": {"initial_cards": 0}}, "when it was tried"),
    ({"game_name": "hanabi", "game_params": {"colors": -1}}, "when it was tried"),
    ({"game_name": "hanabi", "game_params": {"ranks": 200}}, "when it was tried"),
    ({"game_name": "coin_game", "game_params": {"rows": 999_999}}, "it took"),
    ({"game_name": "hex", "game_params": {"num_rows": 1}}, "no legal move"),
    ({"game_name": "bridge_uncontested_bidding"}, "took"),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server in a process of its own, as `openenv serve` starts it."""
    with ProcessProvider("openspiel_env") as server:
        yield server.base_url


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was tried: nothing is remembered from other tests, and all trials end well."""
    keys: list[str] = []

    def trial(key: str) -> Verdict:
        keys.append(key)
        return Verdict("", 0.0, 0.0)

    monkeypatch.setattr(trials, "_verdicts", {})
    monkeypatch.setattr(trials, "_trial", trial)
    return keys


def refused_beside_another(url: str, reset: dict, reason: str) -> None:
    with OpenSpielEnv(base_url=url) as bystander, OpenSpielEnv(base_url=url) as env:
        bystander.reset(seed=1)
        with pytest.raises(InvalidRequestError, match=reason):
            env.reset(**reset)
        bystander.step(OpenSpielAction(action_id=1))
        assert bystander.state().step_count == 1
        assert policies.oracle(env) == policies.MAX_RETURN


def test_a_game_that_would_end_the_server_is_refused_and_all_go_on(url):
    refused_beside_another(url, {"game_name": "hanabi", "game_params": {"players": 0}}, r"crashed \(SIGABRT\)")


@pytest.mark.slow
@pytest.mark.parametrize(("reset", "reason"), CRASHES, ids=str)
def test_what_would_end_or_stop_the_server_is_refused_and_all_go_on(url, reset, reason):
    refused_beside_another(url, reset, reason)


def test_a_game_that_passes_its_trial_is_played(url):
    with OpenSpielEnv(base_url=url) as env:
        result = env.reset(seed=1, game_name="hex", game_params={"board_size": 3})
        while not result.done:
            result = env.step(OpenSpielAction(action_id=result.observation.legal_actions[0]))
        assert result.reward in (-1.0, 1.0)


@pytest.mark.slow
def test_with_a_process_for_each_session_nothing_is_tried_and_a_crash_ends_one_session():
    with (
        ProcessProvider("openspiel_env", env_vars={"OPENSPIEL_ISOLATION": "process"}) as server,
        OpenSpielEnv(base_url=server.base_url) as bystander,
        OpenSpielEnv(base_url=server.base_url) as env,
    ):
        bystander.reset(seed=1)
        with pytest.raises(Exception, match="SIGABRT"):
            env.reset(game_name="hanabi", game_params={"players": 0})
        bystander.step(OpenSpielAction(action_id=1))
        assert bystander.state().step_count == 1
        assert policies.oracle(env) == policies.MAX_RETURN


# --- what is tried, and when --------------------------------------------------------------------------


def test_a_verdict_is_remembered_for_a_game_its_parameters_and_whether_the_opponent_searches(tried):
    environment = OpenSpielEnvironment(tries=True)
    for _ in range(2):
        for params in ({"board_size": 3}, {"board_size": 4}):
            for opponent in ("random", "last", "mcts", "self"):
                environment.reset(game_name="hex", game_params=params, opponent_policy=opponent, simulations=1)
    environment.reset(game_name="hex(board_size=3)")
    assert len(tried) == len(set(tried)) == 4


def test_those_who_ask_at_the_same_time_share_a_trial(tried, monkeypatch):
    begun, end, verdicts = threading.Event(), threading.Event(), []
    quick = trials._trial

    def slow(key: str) -> Verdict:
        begun.set()
        assert end.wait(30)
        return quick(key)

    monkeypatch.setattr(trials, "_trial", slow)
    asking = [threading.Thread(target=lambda: verdicts.append(trials.tried("hex", {}, "random"))) for _ in range(5)]
    for each in asking:
        each.start()
    assert begun.wait(30)
    assert trials.known("hex", {}, "random") is None
    end.set()
    for each in asking:
        each.join(30)
    assert len(verdicts) == 5
    assert len(tried) == 1


def test_a_trial_that_could_not_be_held_is_held_again(tried, monkeypatch):
    def fails(_key: str) -> Verdict:
        raise OSError("no more processes")

    monkeypatch.setattr(trials, "_trial", fails)
    for _ in range(2):
        with pytest.raises(OSError, match="no more processes"):
            trials.tried("hex", {}, "random")
        assert trials.known("hex", {}, "random") is None


def test_what_is_remembered_does_not_grow_for_ever(tried, monkeypatch):
    monkeypatch.setattr(trials, "MOST_REMEMBERED", 3)
    for size in range(2, 8):
        trials.tried("hex", {"board_size": size}, "random")
    assert len(trials._verdicts) == 3
    assert trials.known("hex", {"board_size": 7}, "random") is not None


@pytest.mark.parametrize(
    "reset",
    [
        {},
        {"game_params": {"rows": 30, "columns": 2}},
        {"game_name": "connect_four", "opponent_policy": "mcts", "simulations": 1},
        {"game_name": "2048"},
    ],
    ids=str,
)
def test_well_known_games_are_not_tried(tried, reset):
    OpenSpielEnvironment(tries=True).reset(**reset)
    assert not tried


@pytest.mark.parametrize(
    "reset", [{"game_params": {"rows": True}}, {"game_params": {"rows": 31}}, {"game_name": "catch()"}], ids=str
)
def test_other_parameters_of_well_known_games_are_tried(tried, reset):
    environment = OpenSpielEnvironment(tries=True)
    try:
        environment.reset(**reset)
    except InvalidRequestError:
        assert reset["game_params"]["rows"] is True  # of the wrong type, as OpenSpiel says
    assert len(tried) == 1


@pytest.mark.parametrize(
    "reset", [{"game_name": "no_such"}, {"game_name": "hex", "game_params": {"f": [1]}}], ids=str
)
def test_what_is_no_game_is_refused_without_a_trial(tried, reset):
    with pytest.raises(InvalidRequestError):
        OpenSpielEnvironment(tries=True).reset(**reset)
    assert not tried


def test_in_a_program_of_ones_own_nothing_is_tried(tried):
    OpenSpielEnvironment().reset(game_name="hex")
    assert not tried


def test_what_the_server_was_started_with_is_played_whatever_its_trial_says(monkeypatch):
    monkeypatch.setattr(trials, "_verdicts", {})
    monkeypatch.setattr(trials, "_trial", lambda _key: Verdict("it is slow", 0.0, 9.0))
    environment = OpenSpielEnvironment("hex", {"board_size": 3}, tries=True)
    environment.reset()
    assert environment.takes_long("step", {})
    with pytest.raises(InvalidRequestError, match="it is slow"):
        environment.reset(game_params={"board_size": 4})


# --- what takes long ----------------------------------------------------------------------------------


def takes_long(**reset: object) -> tuple[bool, bool]:
    """Return whether a reset is said to take long, and then whether a step is."""
    environment = OpenSpielEnvironment(tries=True)
    said = environment.takes_long("reset", reset)
    environment.reset(**reset)
    return said, environment.takes_long("step", {"action": OpenSpielAction(action_id=0)})


@pytest.mark.parametrize("name", [None, "catch", "tic_tac_toe", "leduc_poker", "2048"])
def test_well_known_games_take_no_time(name):
    assert takes_long(**{"game_name": name} if name else {}) == (False, False)


@pytest.mark.parametrize("opponent", ["mcts", "minimax"])
def test_an_opponent_that_thinks_takes_long(opponent):
    assert takes_long(game_name="tic_tac_toe", opponent_policy=opponent) == (True, True)


def test_where_nobody_else_plays_nobody_thinks():
    assert takes_long(opponent_policy="mcts") == (True, False)


def test_the_first_reset_of_a_game_takes_long_and_the_next_one_does_not(tried):
    assert takes_long(game_name="hex") == (True, False)
    assert takes_long(game_name="hex") == (False, False)


@pytest.mark.parametrize(("verdict", "said"), [((0.01, 0.0), (True, False)), ((0.0, 0.01), (False, True))])
def test_a_game_that_was_slow_in_its_trial_takes_long(monkeypatch, tried, verdict, said):
    monkeypatch.setattr(trials, "_trial", lambda _key: Verdict("", *verdict))
    trials.tried("hex", {}, "random")
    assert takes_long(game_name="hex") == said


def test_of_a_game_that_was_never_tried_nobody_knows():
    environment = OpenSpielEnvironment()
    environment.reset(game_name="hex", game_params={"board_size": 6})
    assert environment.takes_long("step", {})


def test_a_reset_that_is_refused_at_once_takes_no_time():
    assert not OpenSpielEnvironment().takes_long("reset", {"game_params": 5})


def test_an_opponent_that_thinks_is_asked_on_a_thread_and_another_on_the_loop():
    async def main() -> tuple[set[str], set[str]]:
        async with LocalServer(Where) as server, server.client() as env, server.client() as other:
            await env.reset(game_name="tic_tac_toe", opponent_policy="mcts", simulations=1)
            await other.reset()
            where.clear()
            await env.step(OpenSpielAction(action_id=0))
            slow = set(where)
            where.clear()
            await other.step(OpenSpielAction(action_id=1))
            return slow, set(where)

    slow, quick = asyncio.run(main())
    assert slow.isdisjoint(quick)


where: list[str] = []


class Where(OpenSpielEnvironment):
    """Notes on which thread a step is made."""

    def step(self, action: OpenSpielAction) -> object:
        where.append(threading.current_thread().name)
        return super().step(action)


# --- clients that play with one another -------------------------------------------------------------------


def test_players_are_refused_a_game_whose_trial_has_failed_and_play_another(monkeypatch):
    monkeypatch.setattr(trials, "_verdicts", {})
    monkeypatch.setattr(trials, "_trial", lambda key: Verdict("" if "hex" in key else "it crashed"))

    async def main() -> None:
        async with LocalServer(seats.OpenSpielSeat) as server, server.client() as env, server.client() as other:
            with pytest.raises(InvalidRequestError, match="it crashed"):
                await env.reset(game_name="hanabi", game_params={"players": 0})
            small = {"game_name": "hex", "game_params": {"board_size": 3}}
            first, second = (asyncio.create_task(each.reset(**small)) for each in (env, other))
            done, _ = await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED)
            assert [len(each.result().observation.legal_actions) for each in done] == [9]
            mover, waiting = (env, second) if first in done else (other, first)
            moved = asyncio.create_task(mover.step(OpenSpielAction(action_id=4)))
            assert len((await waiting).observation.legal_actions) == 8
            moved.cancel()

    asyncio.run(main())


def test_players_need_no_trial_of_the_game_that_is_played_anyway(tried):
    game = seats.TriedGame()
    game.reset()
    game.reset(game_name="connect_four")
    assert not tried
    with pytest.raises(trials.UntriedError):
        game.reset(game_name="hex")


def test_the_served_environment_tries_what_its_clients_choose():
    assert app.make()._tries
