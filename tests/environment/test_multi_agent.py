"""What an episode of several agents promises to each of their clients."""

import asyncio
import gc
import weakref
from typing import Any

import pytest
from tests.environment import games
from tests.environment.games import Add, Adding, Failing, Mark, RockPaperScissors, Throw, TicTacToe

from openenv.environment.multi_agent import MultiAgentGame, SeatEnvironment, SeatState, seats
from openenv.errors import (
    ConfigurationError,
    EpisodeEndedError,
    ExecutionError,
    InvalidRequestError,
    RequestError,
)
from openenv.outcomes import Cause, Outcome, Status
from openenv.server import create_app
from openenv.testing import EnvironmentContract, LocalServer

PEER_LEFT = Outcome.infra_fault(Cause.PEER_LEFT)


class TestContractOfAGameForOne(EnvironmentContract):
    environment = games.AddingSeat
    actions = (Add(number=3), Add(number=1))
    bad_actions = (
        {},
        {"number": "x"},
        {"number": 10},
        {"number": -1},
        {"number": 10**30},
        {"number": 1, "more": 1},
    )


async def seated(seat: Any, **arguments: Any) -> tuple[Any, asyncio.Task]:
    """Return a seat, and its reset that is under way."""
    env = seat()
    reset = asyncio.create_task(env.reset(**arguments))
    for _ in range(3):
        await asyncio.sleep(0)
    return env, reset


async def begun(seat: Any, **arguments: Any) -> tuple[Any, Any, asyncio.Task]:
    """Return both players of a game in which the first is to move; and the second's reset."""
    one, first = await seated(seat, **arguments)
    two, second = await seated(seat, **arguments)
    await first
    return one, two, second


async def x_wins(x: Any, o: Any, turn: asyncio.Task) -> tuple[Any, asyncio.Task]:
    """Play to the end; return the result of x, and the last step of o, which may not have seen it yet."""
    for mine, theirs in ((0, 3), (1, 4)):
        moved = asyncio.create_task(x.step(Mark(square=mine)))
        await turn
        turn = asyncio.create_task(o.step(Mark(square=theirs)))
        await moved
    return await x.step(Mark(square=2)), turn


async def play(env: Any, squares: list[int]) -> list[Any]:
    """Play by squares, and return all results."""
    results = [await env.reset()]
    for square in squares:
        results.append(await env.step(Mark(square=square)))
    return results


# --- a match -----------------------------------------------------------------------------------------


async def test_two_play_to_the_end_and_each_gets_its_own_reward():
    seat = seats(TicTacToe)
    x, o = await asyncio.gather(play(seat(), [0, 1, 2]), play(seat(), [3, 4]))
    assert [result.observation.squares for result in x] == [".........", "x..o.....", "xx.oo....", "xxxoo...."]
    assert [result.observation.squares for result in o] == ["x........", "xx.o.....", "xxxoo...."]
    assert [result.reward for result in x] == [None, None, None, 1.0]
    assert [result.reward for result in o] == [None, None, -1.0]
    for last in (x[-1], o[-1]):
        assert (last.done, last.terminated, last.outcome.status) == (True, True, Status.TERMINATED)
        assert last.observation.legal == []


async def test_what_an_agent_gets_while_others_move_adds_up_until_it_is_told():
    seat = seats(lambda: Adding(("a", "b", "c")), Add, games.Sum)
    a, first = await seated(seat, seed=1)
    b, second = await seated(seat)
    c, third = await seated(seat)
    await first
    moved = asyncio.create_task(a.step(Add(number=5)))
    assert (await second).reward is None  # a reset has no reward: it comes with the first step
    moving = asyncio.create_task(b.step(Add(number=2)))
    assert (await third).reward is None
    last = asyncio.create_task(c.step(Add(number=1)))
    assert (await moved).reward == 5.0 - 1.0 - 1.0
    assert not moving.done()
    ended = await a.step(Add(number=9))
    assert (ended.reward, ended.done) == (9.0, True)
    assert (await moving).reward == -1.0 + 2.0 - 1.0 - 1.0
    assert (await last).reward == -1.0 - 1.0 + 1.0 - 1.0


async def test_all_move_at_once_and_nobody_sees_what_the_others_have_thrown():
    seat = seats(RockPaperScissors)
    (ann, first), (bob, second) = await seated(seat), await seated(seat)
    await asyncio.gather(first, second)
    thrown = asyncio.create_task(bob.step(Throw(hand="paper")))
    await asyncio.sleep(0)
    assert bob.state.to_move == ["ann"]
    with pytest.raises(InvalidRequestError, match="ann throws"):
        await ann.step(Throw(hand="well"))
    assert not thrown.done()
    mine = await ann.step(Throw(hand="rock"))
    theirs = await thrown
    assert (mine.reward, theirs.reward) == (-1.0, 1.0)
    assert mine.observation.last == theirs.observation.last == {"ann": "rock", "bob": "paper"}
    for _ in range(2):
        both = await asyncio.gather(ann.step(Throw(hand="rock")), bob.step(Throw(hand="rock")))
    assert [(each.reward, each.truncated, each.terminated) for each in both] == [(0.0, True, False)] * 2


async def test_an_illegal_move_is_refused_and_it_is_still_the_same_turn():
    x, o, second = await begun(seats(TicTacToe))
    for square in (-1, 9, 10**30):
        with pytest.raises(InvalidRequestError, match="not a free square"):
            await x.step(Mark(square=square))
    assert (x.state.to_move, x.state.step_count) == (["x"], 0)
    assert not second.done()
    moved = asyncio.create_task(x.step(Mark(square=4)))
    assert (await second).observation.squares == "....x...."
    moved.cancel()


async def test_who_is_who_is_told():
    x, o, second = await begun(seats(TicTacToe), match="final")
    assert x.state == SeatState(match="final", agent="x", agents=["x", "o"], to_move=["x"])
    assert o.state.agent == "o"
    asyncio.create_task(x.step(Mark(square=0))).add_done_callback(lambda task: task.cancelled() or task.exception())
    assert (await second).info == {"match": "final", "agent": "o"}


# --- taking a seat -----------------------------------------------------------------------------------


async def test_a_seat_can_be_chosen():
    seat = seats(TicTacToe)
    o, second = await seated(seat, agent="o")
    x, first = await seated(seat)
    assert (await first).info["agent"] == "x"
    assert (o.state.agent, x.state.agent) == ("o", "x")
    assert not second.done()
    second.cancel()


async def test_players_without_a_name_meet_and_those_with_one_keep_to_themselves():
    seat = seats(TicTacToe)
    for arguments in ({}, {"match": "a"}, {"match": "b"}):
        _, waiting = await seated(seat, **arguments)
        assert not waiting.done()
    for arguments in ({}, {"match": "b"}, {"match": "a"}):
        _, waiting = await seated(seat, **arguments)
    assert sorted(str(match.name) for match in matches(seat)) == ["a", "b"]


async def test_those_who_want_to_be_the_same_agent_do_not_meet():
    seat = seats(TicTacToe)
    (_, first), (_, second) = await seated(seat, agent="x"), await seated(seat, agent="x")
    assert (first.done(), second.done()) == (False, False)
    await seated(seat, agent="o")
    await seated(seat, agent="o")
    assert (first.done(), second.done()) == (True, True)


async def test_a_full_match_is_refused_in_words():
    seat = seats(TicTacToe)
    await begun(seat, match="final")
    for arguments in ({}, {"agent": "x"}):
        with pytest.raises(InvalidRequestError, match="'final' is full: x, o play it"):
            await seat().reset(match="final", **arguments)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"agent": "x"}, "has a player x already"),
        ({"agent": "z"}, "no agent 'z'; it has x, o"),
        ({"seed": 2}, "has the seed 1, which another player said"),
        ({"first": "o"}, "has another first"),
        ({"second": "o"}, "does not take second"),
        ({"agent": ""}, "agent is a name"),
        ({"agent": 5}, "agent is a name"),
    ],
    ids=str,
)
async def test_what_does_not_agree_is_refused_and_who_waits_goes_on_waiting(arguments, reason):
    seat = seats(TicTacToe)
    x, first = await seated(seat, match="a", agent="x", seed=1, first="any")
    with pytest.raises(InvalidRequestError, match=reason):
        await seat().reset(match="a", **arguments)
    assert not first.done()
    await seated(seat, match="a", agent="o", seed=1, first="any")
    assert x.state.to_move


@pytest.mark.parametrize("name", ["", "x" * 201, 5, ["a"]])
async def test_a_match_has_a_name_of_ordinary_length(name):
    with pytest.raises(InvalidRequestError, match="match is a name"):
        await seats(TicTacToe)().reset(match=name)


@pytest.mark.parametrize("says", [0, 1])
async def test_one_player_is_enough_to_say_the_seed_and_the_options(says):
    seat = seats(TicTacToe)
    for seed in range(4):
        said = [{}, {}]
        said[says] = {"seed": seed, "first": "any"}
        x, _ = await seated(seat, **said[0])
        await seated(seat, **said[1])
        alone = TicTacToe()
        alone.reset(seed=seed, first="any")
        assert x.state.to_move == [alone.agent_selection]


async def test_players_without_a_name_who_say_different_seeds_do_not_meet():
    seat = seats(TicTacToe)
    (_, first), (_, second) = await seated(seat, seed=1), await seated(seat, seed=2)
    assert (first.done(), second.done()) == (False, False)


async def test_options_that_make_no_game_are_refused_and_nothing_is_left_of_it():
    seat = seats(TicTacToe)
    with pytest.raises(InvalidRequestError, match="first is x, o or any"):
        await seat().reset(first="nobody")
    x, first = await seated(seat)
    with pytest.raises(InvalidRequestError, match="first is x, o or any"):
        await seat().reset(first="nobody")
    await seated(seat)
    assert first.done()


async def test_a_match_that_is_over_can_be_played_again_under_its_name():
    seat = seats(TicTacToe)
    for _ in range(3):
        x, o, second = await begun(seat, match="again")
        won, lost = await x_wins(x, o, second)
        assert (won.reward, (await lost).reward) == (1.0, -1.0)


# --- leaving -----------------------------------------------------------------------------------------


async def leave_by_closing(env: Any, _request: asyncio.Task) -> None:
    await env.close()


async def leave_by_another_reset(env: Any, _request: asyncio.Task) -> None:
    asyncio.create_task(env.reset(match="elsewhere"))
    await asyncio.sleep(0)


async def leave_by_a_reset_that_is_refused(env: Any, _request: asyncio.Task) -> None:
    with pytest.raises(InvalidRequestError):
        await env.reset(agent="nobody")


@pytest.mark.parametrize("leave", [leave_by_closing, leave_by_another_reset, leave_by_a_reset_that_is_refused])
async def test_who_leaves_ends_the_match_for_the_others_at_once_and_without_a_reward(leave):
    seat = seats(TicTacToe)
    x, o, second = await begun(seat)
    await leave(x, second)
    result = await second
    assert (result.done, result.reward, result.outcome) == (True, None, PEER_LEFT)
    assert (result.terminated, result.truncated, result.outcome.retryable) == (False, False, True)
    assert result.info["ended"] == "x has left the match"


async def test_who_is_cancelled_while_it_waits_leaves():
    x, o, second = await begun(seats(TicTacToe))
    second.cancel()
    await asyncio.sleep(0)
    result = await x.step(Mark(square=0))
    assert (result.done, result.reward, result.outcome) == (True, None, PEER_LEFT)
    assert result.observation.squares == "........."  # the move was not made


async def test_who_leaves_before_the_game_has_begun_frees_its_seat():
    seat = seats(lambda: Adding(("a", "b", "c")), Add, games.Sum)
    a, first = await seated(seat)
    b, second = await seated(seat)
    second.cancel()
    await asyncio.sleep(0)
    assert a.state.agents == ["a", "b", "c"]
    assert not first.done()
    for expected in ("b", "c"):
        env, _ = await seated(seat)
        assert env.state.agent == expected
    assert first.done()


async def test_leaving_after_the_end_changes_nothing():
    x, o, second = await begun(seats(TicTacToe))
    won, lost = await x_wins(x, o, second)
    await x.close()
    assert (won.reward, (await lost).reward) == (1.0, -1.0)


async def test_a_game_is_closed_once_when_the_last_has_left():
    made = []

    def make() -> Adding:
        made.append(Adding(("a", "b")))
        return made[-1]

    a, b, second = await begun(seats(make, Add, games.Sum))
    await a.close()
    assert made[0].closed == 0
    await second
    for _ in range(2):
        await b.close()
    assert [game.closed for game in made] == [1]


async def test_nothing_is_left_of_matches_that_everybody_has_left():
    games_made = weakref.WeakSet()

    def make() -> TicTacToe:
        game = TicTacToe()
        games_made.add(game)
        return game

    seat = seats(make, Mark, games.Board)
    for arguments in ({}, {"match": "a"}, {"seed": 1}):
        waiting = await seated(seat, **arguments)
        waiting[1].cancel()
        x, o, second = await begun(seat, **arguments)
        await x.close()
        await second
        await o.close()
    assert not matches(seat)
    del x, o, second, waiting
    gc.collect()
    assert not games_made


# --- games that fail ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "error"), [(99, LookupError), (98, ConfigurationError)])
async def test_a_game_that_fails_is_a_fault_for_all_and_no_reward(number, error):
    a, b, second = await begun(seats(lambda: Failing(("a", "b")), Add, games.Sum))
    with pytest.raises(error):
        await a.step(Add(number=number))
    fault = Outcome.infra_fault(Cause.ENVIRONMENT_ERROR)
    for result in (await second, await a.step(Add(number=1))):
        assert (result.done, result.reward, result.outcome) == (True, None, fault)


async def test_a_game_that_can_not_begin_is_a_fault_for_all():
    class Stuck(Adding):
        def reset(self, seed: int | None = None) -> None:
            super().reset(seed)
            self.agent_selection = "nobody"

    seat = seats(lambda: Stuck(("a", "b")), Add, games.Sum)
    _, first = await seated(seat, match="m")
    with pytest.raises(ConfigurationError, match="agent_selection is 'nobody'"):
        await seat().reset(match="m")
    assert (await first).outcome.cause is Cause.ENVIRONMENT_ERROR
    assert not matches(seat)


@pytest.mark.parametrize("agents", [(), ("x", "x")])
async def test_agents_have_names_of_their_own(agents):
    named = type("Named", (TicTacToe,), {"agents": agents})
    with pytest.raises(ConfigurationError, match="each with its own name"):
        await seats(named)().reset()


# --- what can be served ------------------------------------------------------------------------------


def test_a_game_that_lacks_something_is_refused_when_it_is_wired():
    class Half(MultiAgentGame[Add, games.Sum]):
        def observe(self, agent: str) -> games.Sum:
            return games.Sum(total=0, target=0)

    with pytest.raises(ConfigurationError, match="Half does not define reset"):
        seats(Half)
    with pytest.raises(ConfigurationError, match="is not known"):
        seats(lambda: TicTacToe())


def test_players_meet_in_one_process_so_others_are_refused():
    with pytest.raises(ConfigurationError, match="play with one another"):
        create_app(games.TicTacToeSeat, isolation="process")
    server = create_app(games.TicTacToeSeat).state.openenv
    with pytest.raises(ConfigurationError, match="Leave out --workers"):
        server.join(server.manager.slots)


async def test_a_subclass_is_a_seat_as_well_and_meets_its_own_kind_only():
    class Seat(SeatEnvironment[Mark, games.Board]):
        game = TicTacToe

    class Other(Seat):
        pass

    (_, first), (_, second) = await seated(Seat), await seated(Other)
    assert (first.done(), second.done()) == (False, False)
    await seated(Seat)
    assert first.done()


def matches(seat: Any) -> list[Any]:
    """Return the matches that are kept for a seat's class."""
    table = seat._tables[asyncio.get_running_loop()]
    return [*table._named.values(), *table._nameless]


# --- with clients ------------------------------------------------------------------------------------


async def test_a_session_sees_an_ordinary_episode():
    async with LocalServer(games.TicTacToeSeat) as server, server.client() as x, server.client() as o:
        seen = await asyncio.gather(play_squares(x, [0, 1, 2]), play_squares(o, [3, 4]))
        assert [results[-1].reward for results in seen] == [1.0, -1.0]
        with pytest.raises(EpisodeEndedError):
            await x.step(Mark(square=8))
        state = await x.state()
        assert (state.agent, state.agents, state.step_count) == ("x", ["x", "o"], 3)
        assert state.episode_id


async def play_squares(env: Any, squares: list[int]) -> list[Any]:
    results = [await env.reset(match="one")]
    for square in squares:
        results.append(await env.step(Mark(square=square)))
    return results


async def test_a_game_that_fails_is_told_to_each_session():
    seat = seats(lambda: Failing(("a", "b")), Add, games.Sum)
    async with LocalServer(seat) as server, server.client() as a, server.client() as b:
        first, second = asyncio.create_task(a.reset()), asyncio.create_task(b.reset())
        await first
        with pytest.raises(ExecutionError, match="a bug of the game"):
            await a.step(Add(number=99))
        assert not (await second).outcome.reward_valid
        with pytest.raises(RequestError):
            await b.step(Add(number=1))
