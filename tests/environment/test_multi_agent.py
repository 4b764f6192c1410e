"""What an episode of several agents promises to each of their clients."""

import asyncio
from typing import Any

import pytest
from tests.environment import games
from tests.environment.games import Add, Adding, Failing, Mark, RockPaperScissors, Throw, TicTacToe
from tests.environment.seating import begun, matches, seated

from openenv.environment.multi_agent import MultiAgentGame, SeatEnvironment, SeatState, seats
from openenv.errors import (
    ConfigurationError,
    InvalidRequestError,
)
from openenv.outcomes import Cause, Outcome, Status
from openenv.server import create_app
from openenv.testing import EnvironmentContract


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
    x, _, second = await begun(seats(TicTacToe))
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


# --- games that fail ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "error"), [(99, LookupError), (98, ConfigurationError)])
async def test_a_game_that_fails_is_a_fault_for_all_and_no_reward(number, error):
    a, _, second = await begun(seats(lambda: Failing(("a", "b")), Add, games.Sum))
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

    class Still(Half):
        def reset(self, seed: int | None = None) -> None: ...

    with pytest.raises(ConfigurationError, match="Half does not define reset"):
        seats(Half)
    with pytest.raises(ConfigurationError, match="Still defines neither step"):
        seats(Still)
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
