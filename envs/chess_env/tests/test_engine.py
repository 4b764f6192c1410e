"""Stockfish as an opponent: its strength, its end, and what becomes of it when others end."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("chess", reason="chess is not installed")

from chess_env import ChessAction, ChessEnv, ChessObservation, ChessState
from chess_env.server.chess_environment import ChessEnvironment
from chess_env.server.engine import stockfish
from openenv.errors import ConfigurationError, ExecutionError, InvalidRequestError, WorkspaceLostError
from openenv.providers import SandboxProvider
from openenv.testing import EnvironmentContract, LocalServer

PATH = stockfish()
needs_stockfish = pytest.mark.skipif(PATH is None, reason="Stockfish is not installed")
GONE_S = 20.0


@needs_stockfish
class TestContract(EnvironmentContract):
    environment = staticmethod(lambda: ChessEnvironment("stockfish", nodes=500))
    actions = (ChessAction(move="e2e4"), ChessAction(move="d2d3"))
    steps = 2
    longest_episode = 0
    seed_changes_nothing = "The same nodes give the same game."


async def gone(pid: int) -> None:
    """Wait until a process has ended, or is only waited for."""
    async with asyncio.timeout(GONE_S):
        while _lives(pid):  # noqa: ASYNC110 - nobody tells of the end of somebody else's child
            await asyncio.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def with_engine(main: Any, **settings: Any) -> None:
    async def run() -> None:
        environment = ChessEnvironment("stockfish", **{"nodes": 500, **settings})
        try:
            await main(environment)
        finally:
            await environment.close()

    asyncio.run(run())


def pid_of(environment: ChessEnvironment) -> int:
    engine = environment._opponents.engine
    assert engine is not None
    assert engine.pid is not None
    return engine.pid


@needs_stockfish
def test_the_same_nodes_give_the_same_game():
    async def game(environment: ChessEnvironment) -> None:
        games = []
        for _ in range(2):
            await environment.reset()
            moves = ("e4", "d3", "a3", "h3")
            games.append([(await environment.step(ChessAction(move=move))).observation.fen for move in moves])
        assert games[0] == games[1]

    with_engine(game)


@needs_stockfish
@pytest.mark.parametrize("strength", [{"skill": 0}, {"elo": 1400}, {"skill": 20}], ids=str)
def test_its_strength_can_be_chosen_for_a_game(strength):
    async def game(environment: ChessEnvironment) -> None:
        await environment.reset(**strength)
        assert (await environment.step(ChessAction(move="e4"))).observation.opponent_move
        pid = pid_of(environment)
        await environment.reset()
        await environment.step(ChessAction(move="e4"))
        assert pid_of(environment) == pid

    with_engine(game)


@needs_stockfish
@pytest.mark.parametrize("elo", [10, 1000, 5000])
def test_a_rating_that_it_does_not_have_is_refused_with_those_that_it_has(elo):
    async def game(environment: ChessEnvironment) -> None:
        before = await environment.reset()
        with pytest.raises(InvalidRequestError, match=r"elo is from 1,3\d0 to [23],\d+ here, and not"):
            await environment.reset(elo=elo)
        assert environment.state.fen == before.fen
        assert (await environment.step(ChessAction(move="e4"))).observation.opponent_move

    with_engine(game)


@needs_stockfish
def test_a_rating_that_is_wrong_from_the_beginning_is_a_fault_of_the_settings():
    async def game(environment: ChessEnvironment) -> None:
        with pytest.raises(ConfigurationError, match="elo is from"):
            await environment.reset()
        assert (await environment.reset(opponent="random")).turn == "white"

    with_engine(game, elo=10)


@needs_stockfish
def test_an_engine_that_is_killed_is_a_fault_and_no_move_and_the_step_can_be_repeated():
    async def game() -> None:
        made: list[ChessEnvironment] = []

        def make() -> ChessEnvironment:
            made.append(ChessEnvironment("stockfish", nodes=500))
            return made[-1]

        types = {"action": ChessAction, "observation": ChessObservation, "state": ChessState}
        async with LocalServer(make, **types) as server, server.client(ChessEnv) as env:
            await env.reset()
            await env.step(ChessAction(move="e4"))
            before = await env.state()
            environment = made[-1]
            first = pid_of(environment)
            os.kill(first, signal.SIGKILL)
            await gone(first)
            engine = environment._opponents.engine
            assert engine is not None
            engine._path = "/bin/false"
            with pytest.raises(ExecutionError) as failed:
                await env.step(ChessAction(move="d3"))
            assert failed.value.outcome.status == "infra_fault"
            assert (await env.state()).fen == before.fen
            engine._path = str(PATH)
            assert (await env.step(ChessAction(move="d3"))).observation.opponent_move
            assert pid_of(environment) != first
            last = pid_of(environment)
        await gone(last)

    asyncio.run(game())


@needs_stockfish
def test_closing_ends_the_process():
    async def game() -> None:
        environment = ChessEnvironment("stockfish", nodes=500, color="black")
        await environment.reset()
        pid = pid_of(environment)
        await environment.close()
        await gone(pid)
        await environment.close()

    asyncio.run(game())


ENDLESS = """
import asyncio
from chess_env import ChessAction
from chess_env.server.chess_environment import ChessEnvironment

async def main():
    environment = ChessEnvironment("stockfish", nodes=500)
    await environment.reset()
    await environment.step(ChessAction(move="e4"))
    print(environment._opponents.engine.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@needs_stockfish
def test_it_does_not_outlive_a_server_that_is_killed():
    places = os.pathsep.join(place for place in sys.path if place)
    command = [sys.executable, "-c", ENDLESS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": places}) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        assert _lives(pid)
        server.kill()
        server.wait()
        asyncio.run(gone(pid))


@pytest.mark.parametrize("program", ["/bin/true", "/bin/cat", "/no/such/program", "/etc/hostname"])
def test_a_program_that_is_no_engine_is_a_fault(program, monkeypatch):
    monkeypatch.setattr("chess_env.server.engine.START_S", 1.0)

    async def game(environment: ChessEnvironment) -> None:
        await environment.reset()
        with pytest.raises(WorkspaceLostError):
            await environment.step(ChessAction(move="e4"))
        assert environment.state.step_count == 0

    with_engine(game, engine=program)


def test_without_stockfish_one_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr("chess_env.server.opponents.stockfish", lambda: None)
    with pytest.raises(ConfigurationError, match="apt-get install stockfish"):
        ChessEnvironment("stockfish")
    with pytest.raises(InvalidRequestError, match="not installed"):
        asyncio.run(ChessEnvironment().reset(opponent="stockfish"))


@needs_stockfish
@pytest.mark.slow
def test_it_plays_in_a_sandbox_and_beats_a_beginner():
    variables = {"CHESS_OPPONENT": "stockfish", "CHESS_NODES": "2000"}
    provider = SandboxProvider("chess_env.server.app:app", memory_bytes=4 * 2**30, env_vars=variables)
    with ChessEnv.with_provider(provider) as env:
        result = env.reset(seed=1)
        while not result.done:
            result = env.step(ChessAction(move=result.observation.legal_moves[0]))
        assert (result.reward, result.observation.termination) == (-1.0, "checkmate")
