"""Several clients in one episode, over real connections."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import pytest
from tests.environment import games
from tests.environment.games import Add, Adding, Board, Failing, Mark, RockPaperScissors, Sum, Throw, TicTacToe
from tests.servers import wait_until
from tests.sessions.wire import Wires

from openenv.client import EnvClient, HTTPEnvClient
from openenv.environment import matches
from openenv.environment.multi_agent import SeatState, seats
from openenv.errors import (
    BudgetExceededError,
    EpisodeEndedError,
    ExecutionError,
    InvalidRequestError,
    RequestCancelledError,
    SessionLost,
    SnapshotUnsupportedError,
)
from openenv.models import StepResult
from openenv.outcomes import Cause, Outcome
from openenv.protocol.formats import JSON
from openenv.server.budgets import Budgets

PEER_LEFT = Outcome.infra_fault(Cause.PEER_LEFT)
X_WINS = {"x": [0, 1, 2], "o": [3, 4]}


class TicTacToeEnv(EnvClient[Mark, Board, SeatState]):
    pass


class TicTacToeHTTP(HTTPEnvClient[Mark, Board, SeatState]):
    pass


class ThrowEnv(EnvClient[Throw, games.Hands, SeatState]):
    pass


class AddEnv(EnvClient[Add, Sum, SeatState]):
    pass


@pytest.fixture
def url(serve) -> str:
    return serve(seats(TicTacToe)).url


@pytest.fixture
def wires() -> Iterator[Wires]:
    with ExitStack() as stack:
        yield Wires(stack, JSON)


async def played(url: str, **reset: Any) -> StepResult[Board]:
    """Play a match to its end with one of two clients, and return how it ended."""
    async with TicTacToeEnv(base_url=url) as env:
        result = await env.reset(**reset)
        for square in X_WINS[result.info["agent"]]:
            result = await env.step(Mark(square=square))
        return result


async def test_two_clients_play_a_game_to_its_end(url):
    x, o = await asyncio.gather(played(url, agent="x"), played(url))
    assert (x.reward, o.reward) == (1.0, -1.0)
    assert x.observation.squares == o.observation.squares == "xxxoo...."
    assert x.done and o.done and x.terminated and o.terminated  # noqa: PT018


@pytest.mark.parametrize("client", [lambda url: TicTacToeEnv(base_url=url).sync(), TicTacToeHTTP])
def test_two_blocking_clients_play_in_two_threads(url, client):
    rewards = {}

    def play(agent: str) -> None:
        with client(url) as env:
            env.reset(agent=agent)
            for square in X_WINS[agent]:
                result = env.step(Mark(square=square))
            rewards[agent] = result.reward

    threads = [threading.Thread(target=play, args=(agent,)) for agent in "ox"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rewards == {"x": 1.0, "o": -1.0}


async def test_all_throw_at_once_over_one_connection(serve):
    url = serve(seats(RockPaperScissors)).url
    async with ThrowEnv.vector(base_url=url, num_envs=2) as both:
        first = await both.reset()
        hands = {"ann": Throw(hand="rock"), "bob": Throw(hand="scissors")}
        results = await both.step([hands[result.info["agent"]] for result in first])
    assert {result.info["agent"]: result.reward for result in results} == {"ann": 1.0, "bob": -1.0}


async def test_a_hundred_matches_do_not_see_one_another(serve):
    url = serve(seats(TicTacToe), max_concurrent_envs=200).url

    async def match(number: int) -> None:
        opening = [square for square in range(9) if square != number % 9][:2]

        async def x() -> StepResult[Board]:
            async with TicTacToeEnv(base_url=url) as env:
                await env.reset(match=str(number), agent="x")
                return await env.step(Mark(square=number % 9))

        async def o() -> None:
            async with TicTacToeEnv(base_url=url) as env:
                result = await env.reset(match=str(number), agent="o")
                assert result.observation.squares.replace(".", "") == "x"
                assert result.observation.squares[number % 9] == "x"
                await env.step(Mark(square=opening[0]))

        result = (await asyncio.gather(x(), o()))[0]
        assert sorted(result.observation.squares.replace(".", "")) == ["o", "x"]

    async with asyncio.timeout(30):
        await asyncio.gather(*(match(number) for number in range(100)))


# --- what a client sees ------------------------------------------------------------------------------


async def test_a_session_sees_an_ordinary_episode(url):
    async with TicTacToeEnv(base_url=url) as env, TicTacToeEnv(base_url=url) as other:
        second = asyncio.create_task(env.reset(agent="o", episode_id="mine"))
        await other.reset()
        first = asyncio.create_task(other.step(Mark(square=0)))
        await second
        with pytest.raises(InvalidRequestError, match="0 is not a free square"):
            await env.step(Mark(square=0))
        state = await env.state()
        assert (state.agent, state.to_move, state.step_count, state.episode_id) == ("o", ["o"], 0, "mine")
        with pytest.raises(SnapshotUnsupportedError):
            await env.snapshot()
        await other.close()
        with pytest.raises(SessionLost):
            await first
        assert (await env.step(Mark(square=1))).outcome == PEER_LEFT
        with pytest.raises(EpisodeEndedError):
            await env.step(Mark(square=1))


async def test_who_waits_is_told_for_what_and_now_and_then_again(serve, monkeypatch):
    monkeypatch.setattr(matches, "REMIND_S", 0.01)
    url = serve(seats(lambda: Adding(("a", "b", "c")), Add, Sum)).url
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def next_other(than: str) -> str:
        while (message := await heard.get()) == than:
            pass
        return message

    async with AsyncExitStack() as stack:
        a, b, c = [await stack.enter_async_context(AddEnv(base_url=url)) for _ in "abc"]
        second = asyncio.create_task(b.reset(agent="b", on_progress=lambda told: heard.put_nowait(told.message)))
        assert await next_other("") == "waiting for 2 more players"
        others = [asyncio.create_task(a.reset(agent="a"))]
        assert await next_other("waiting for 2 more players") == "waiting for 1 more player"
        assert await heard.get() == "waiting for 1 more player"  # so its client knows that somebody is there
        others.append(asyncio.create_task(c.reset()))
        assert await next_other("waiting for 1 more player") == "waiting for a"
        await others[0]
        others.append(asyncio.create_task(a.step(Add(number=1))))
        await second
        await asyncio.gather(a.close(), b.close(), c.close())
        await asyncio.gather(*others, return_exceptions=True)


async def test_a_game_that_fails_is_told_to_each_session(serve):
    url = serve(seats(lambda: Failing(("a", "b")), Add, Sum)).url
    async with AddEnv(base_url=url) as a, AddEnv(base_url=url) as b:
        first, second = asyncio.create_task(a.reset(agent="a")), asyncio.create_task(b.reset(agent="b"))
        await first
        with pytest.raises(ExecutionError, match="a bug of the game"):
            await a.step(Add(number=99))
        assert (await second).outcome == Outcome.infra_fault(Cause.ENVIRONMENT_ERROR)
        first, second = asyncio.create_task(a.reset(agent="a")), asyncio.create_task(b.reset(agent="b"))
        assert (await first).outcome.status == "ok"
        second.cancel()


# --- clients that are gone ---------------------------------------------------------------------------


def kept(server: Any) -> int:
    """Return how many matches a server keeps."""
    return server.on_loop(lambda: sum(map(len, server.seat._tables.values())))


def serving(serve: Any, **budgets: float) -> Any:
    """Return a server of tic-tac-toe that knows its seat's class."""
    seat = seats(TicTacToe)
    server = serve(seat, budgets=Budgets(**budgets))
    server.seat = seat
    return server


def settled(wire: Any, number: int) -> dict[str, Any]:
    """Return the observation that answers a request, after whatever is told before it."""
    while (answer := wire.answer(number))["type"] == "progress":
        pass
    return answer["data"]


def test_a_client_that_vanishes_while_it_waits_for_a_player_leaves_nothing(serve, wires):
    server = serving(serve, lease=0.05)
    wire = wires(server)
    [session] = wire.open()
    session.send("reset", {})
    assert wait_until(lambda: kept(server) == 1)
    wire.drop()
    assert wait_until(lambda: kept(server) == 0)
    assert wait_until(lambda: not server.manager.sessions())


@pytest.mark.parametrize("gone", ["the one who waits", "the one whose turn it is"])
def test_a_client_that_vanishes_in_a_game_ends_it_for_the_other(serve, wires, gone):
    server = serving(serve, lease=0.05)
    one, two = wires(server), wires(server)
    [x], [o] = one.open(), two.open()
    first, second = x.send("reset", {"agent": "x"}), o.send("reset", {"agent": "o"})
    assert settled(one, first)["done"] is False
    if gone == "the one who waits":
        two.drop()
        assert wait_until(lambda: kept(server) == 0)
        data = settled(one, x.send("step", {"square": 0}))
    else:
        one.drop()
        data = settled(two, second)
    assert (data["done"], data["reward"]) == (True, None)
    assert data["outcome"]["cause"] == "peer_left"
    assert wait_until(lambda: len(server.manager.sessions()) == 1)
    assert kept(server) == 0


async def test_a_client_that_gives_up_waiting_frees_its_seat(serve):
    server = serving(serve)
    async with TicTacToeEnv(base_url=server.url) as env, TicTacToeEnv(base_url=server.url) as other:
        waiting = asyncio.create_task(env.reset(match="m"))
        while kept(server) == 0:
            await asyncio.sleep(0.005)
        assert await env.cancel()
        with pytest.raises(RequestCancelledError):
            await waiting
        assert kept(server) == 0
        second = asyncio.create_task(env.reset(match="m", agent="o"))
        await other.reset(match="m", agent="x")
        assert await env.cancel()
        with pytest.raises(RequestCancelledError):
            await second
        assert (await other.step(Mark(square=0))).outcome == PEER_LEFT
        assert kept(server) == 0


async def test_waiting_counts_for_the_budgets(serve):
    server = serving(serve, reset=0.05)
    async with TicTacToeEnv(base_url=server.url) as env:
        with pytest.raises(BudgetExceededError) as over:
            await env.reset()
        assert over.value.budget == "reset"
        assert kept(server) == 0
