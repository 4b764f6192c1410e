"""How seats at a game are taken, and what it means to the others that one is left."""

import asyncio
import gc
import weakref
from typing import Any

import pytest
from tests.environment import games
from tests.environment.games import Add, Adding, Mark, TicTacToe
from tests.environment.seating import begun, matches, seated, x_wins

from openenv.environment.multi_agent import seats
from openenv.errors import InvalidRequestError
from openenv.outcomes import Cause, Outcome

PEER_LEFT = Outcome.infra_fault(Cause.PEER_LEFT)


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
    _, first = await seated(seat)
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
    resetting = asyncio.create_task(env.reset(match="elsewhere"))
    await asyncio.sleep(0)
    resetting.cancel()


async def leave_by_a_reset_that_is_refused(env: Any, _request: asyncio.Task) -> None:
    with pytest.raises(InvalidRequestError):
        await env.reset(agent="nobody")


@pytest.mark.parametrize("leave", [leave_by_closing, leave_by_another_reset, leave_by_a_reset_that_is_refused])
async def test_who_leaves_ends_the_match_for_the_others_at_once_and_without_a_reward(leave):
    seat = seats(TicTacToe)
    x, _, second = await begun(seat)
    await leave(x, second)
    result = await second
    assert (result.done, result.reward, result.outcome) == (True, None, PEER_LEFT)
    assert (result.terminated, result.truncated, result.outcome.retryable) == (False, False, True)
    assert result.info["ended"] == "x has left the match"


async def test_who_is_cancelled_while_it_waits_leaves():
    x, _, second = await begun(seats(TicTacToe))
    second.cancel()
    await asyncio.sleep(0)
    result = await x.step(Mark(square=0))
    assert (result.done, result.reward, result.outcome) == (True, None, PEER_LEFT)
    assert result.observation.squares == "........."  # the move was not made


async def test_who_leaves_before_the_game_has_begun_frees_its_seat():
    seat = seats(lambda: Adding(("a", "b", "c")), Add, games.Sum)
    a, first = await seated(seat)
    _, second = await seated(seat)
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
