"""What becomes of strategies that are given as code: good ones, failing ones, and those that mean harm."""

import asyncio
import subprocess
import sys

import pytest

from game2048_env import Game2048Action, Game2048Env, Game2048Observation, RunStrategy
from game2048_env.policies import SNAKE
from game2048_env.server import game2048_environment
from game2048_env.server.game2048_environment import Game2048Environment
from game2048_env.server.strategy import StrategyRun
from openenv.errors import IsolationError, WorkspaceLostError
from openenv.testing import EnvironmentContract, LocalServer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workspaces are of Linux")

CYCLE = """
def moves(board, move):
    flat = [list(line) for line in zip(*board)] if move in "WS" else [list(line) for line in board]
    for line in flat:
        line = line[::-1] if move in "SD" else line
        tiles = [tile for tile in line if tile]
        if line[: len(tiles)] != tiles or any(a == b for a, b in zip(tiles, tiles[1:])):
            return True
    return False

def strategy(board):
    return next(move for move in "AWDS" if moves(board, move))
"""
RANDOM = CYCLE.replace("def strategy", "def unused") + (
    "import random\n"
    "def strategy(board):\n"
    "    return random.choice([move for move in 'AWDS' if moves(board, move)])\n"
)


class TestContract(EnvironmentContract):
    environment = Game2048Environment
    actions = (
        RunStrategy(code=CYCLE, max_moves=5),
        RunStrategy(code=RANDOM, max_moves=5),
        RunStrategy(code="1 / 0"),
        RunStrategy(code=CYCLE),
    )


def played(*codes: str | RunStrategy, seed: int = 1, target: int = 2048) -> list[Game2048Observation]:
    """Hand in strategies one after the other in one episode."""

    async def main() -> list[Game2048Observation]:
        environment = Game2048Environment(target)
        try:
            environment.reset(seed=seed)
            actions = [each if isinstance(each, RunStrategy) else RunStrategy(code=each) for each in codes]
            return [await environment.step(action) for action in actions]
        finally:
            await environment.close()

    return asyncio.run(main())


def test_a_strategy_plays_until_the_game_is_over_and_earns_what_the_board_says():
    (seen,) = played(CYCLE)
    report = seen.strategy
    assert (report.ended, report.error) == ("game", "")
    assert seen.done
    assert report.moves == seen.moves > 50
    assert report.points == seen.score == seen.reward > 0


def test_it_stops_at_the_target():
    (seen,) = played(CYCLE, target=32)
    assert (seen.won, seen.done, seen.highest, seen.strategy.ended) == (True, True, 32, "game")


def test_it_makes_no_more_moves_than_it_may_and_the_next_goes_on():
    first, second = played(RunStrategy(code=CYCLE, max_moves=7), RunStrategy(code=CYCLE, max_moves=5))
    assert (first.strategy.ended, first.strategy.moves, first.moves) == ("max_moves", 7, 7)
    assert (second.strategy.moves, second.moves) == (5, 12)
    assert second.score == first.reward + second.reward


def test_a_strategy_and_single_moves_take_turns():
    async def main() -> None:
        environment = Game2048Environment()
        seen = environment.reset(seed=1)
        seen = await environment.step(RunStrategy(code=CYCLE, max_moves=3))
        seen = await environment.step(Game2048Action(move=seen.legal_actions[0]))
        assert (seen.moves, seen.strategy, environment.state.step_count) == (4, None, 2)
        await environment.close()

    asyncio.run(main())


@pytest.mark.parametrize("said", ["up", "UP", "W", "w"])
def test_a_move_has_two_names_in_any_case(said):
    code = f"def strategy(board):\n    return {said!r} if board[3] != [0] * 4 else 'S'"
    (seen,) = played(RunStrategy(code=code, max_moves=2))
    assert (seen.strategy.moves, seen.strategy.ended) == (2, "max_moves")


def test_its_random_numbers_follow_the_seed():
    assert played(RANDOM, seed=3) == played(RANDOM, seed=3)
    assert played(RANDOM, seed=3) != played(RANDOM, seed=4)


def test_the_order_of_its_sets_is_the_same_each_time():
    code = "print(list({'up', 'left', 'down', 'right'}))"
    expected = subprocess.check_output([sys.executable, "-c", code], env={"PYTHONHASHSEED": "0"}, text=True)
    assert played(code)[0].strategy.stdout == expected


def test_what_it_prints_is_shown_and_cut():
    (seen,) = played("print('begun')\ndef strategy(board):\n    print('x' * 100_000)\n    return 5")
    assert seen.strategy.stdout.startswith("begun\nxxx")
    assert "bytes were cut" in seen.strategy.stdout
    assert len(seen.strategy.stdout) < 20_000


# --- those that fail ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "ended", "error"),
    [
        ("", "error", "'strategy' is not defined"),
        ("strategy = 5", "error", "TypeError"),
        ("def strategy(board: return 'W'", "error", "SyntaxError"),
        ("1 / 0", "error", "ZeroDivisionError"),
        ("def strategy(board):\n    return board[9]", "error", "IndexError"),
        ("def strategy():\n    return 'W'", "error", "TypeError"),
        ("def strategy(board):\n    raise SystemExit", "error", ""),
        ("def strategy(board):\n    return object()", "error", "TypeError"),
        ("def strategy(board):\n    raise ValueError('\\udc80')", "error", "ValueError"),
        ("def strategy(board):\n    return None", "illegal_move", "None is no move"),
        ("def strategy(board):\n    return 'X'", "illegal_move", "'X' is no move"),
        ("def strategy(board):\n    return '\\udc80'", "illegal_move", "is no move"),
        ("def strategy(board):\n    return 0", "illegal_move", "0 is no move"),
        ("def strategy(board):\n    return ['W']", "illegal_move", "is no move"),
        ("def strategy(board):\n    return 'W' * 1_000_000", "illegal_move", "is no move"),
        ("import os\nos._exit(3)", "error", "its process ended"),
        ("import os\ndef strategy(board):\n    os.kill(os.getpid(), 9)", "error", "its process ended"),
    ],
)
def test_a_strategy_that_fails_earns_nothing_and_says_why(code, ended, error):
    failed, next_one = played(code, RunStrategy(code=CYCLE, max_moves=3))
    assert (failed.strategy.ended, failed.strategy.moves, failed.reward) == (ended, 0, 0.0)
    assert error in failed.strategy.error
    assert not failed.done
    assert next_one.strategy.moves == 3
    Game2048Observation.model_validate_json(failed.model_dump_json())


def test_a_move_that_moves_nothing_ends_its_turn_and_earlier_moves_count():
    (seen,) = played("def strategy(board):\n    return 'W'")
    assert seen.strategy.ended == "illegal_move"
    assert seen.strategy.error == "'W' would move nothing"
    assert seen.moves == seen.strategy.moves > 0


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "def strategy(board):\n    while True: pass",
        "def strategy(board):\n    while True:\n        try: strategy(board)\n        except BaseException: pass",
        "import time\ndef strategy(board):\n    time.sleep(600)",
    ],
)
def test_time_is_limited(code):
    late, next_one = played(RunStrategy(code=code, timeout_seconds=0.3), RunStrategy(code=CYCLE, max_moves=3))
    assert (late.strategy.ended, late.strategy.moves) == ("timeout", 0)
    assert late.strategy.error == "its 0.3 s were up"
    assert next_one.strategy.moves == 3


def test_where_its_workspace_is_lost_no_move_was_made_and_the_step_can_be_repeated(monkeypatch):
    async def main() -> None:
        environment = Game2048Environment()
        before = environment.reset(seed=1)
        calls, play = [], StrategyRun._play

        def lost_in_the_middle(run: StrategyRun, said: object) -> object:
            calls.append(said)
            if len(calls) == 20:
                assert environment._workspace is not None
                environment._workspace._link.close()
            return play(run, said)

        with monkeypatch.context() as patched:
            patched.setattr(StrategyRun, "_play", lost_in_the_middle)
            with pytest.raises(WorkspaceLostError):
                await environment.step(strategy)
        assert environment.state.step_count == 0
        assert environment._observation(environment._board) == before
        again.append(await environment.step(strategy))
        await environment.close()

    strategy = RunStrategy(code=CYCLE, max_moves=30)
    again: list[Game2048Observation] = []
    asyncio.run(main())
    assert again == played(strategy, seed=1)
    assert again[0].reward == again[0].score > 0


# --- those that mean harm ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attempt",
    [
        "import game2048_env",
        "import socket\nsocket.create_connection(('127.0.0.1', 1))",
        "import os\nos.kill(os.getppid(), 9)",
        "open('/etc/mine', 'w')",
    ],
)
def test_it_reaches_nothing_beyond_its_folder(attempt):
    (seen,) = played(f"{attempt}\ndef strategy(board):\n    return 'W'")
    assert (seen.strategy.ended, seen.reward) == ("error", 0.0)


def test_changing_the_board_it_is_shown_changes_nothing():
    cheat = CYCLE + "\nhonest = strategy\ndef strategy(board):\n    move = honest(board)\n"
    cheat += "    for row in board:\n        row[:] = [1024] * 4\n    return move"
    (cheated,), (honest,) = played(cheat), played(CYCLE)
    assert cheated.board == honest.board
    assert cheated.reward == honest.reward


@pytest.mark.parametrize(
    "code",
    [
        "def strategy(board):\n    while _play('X') is not None: pass\n    return 'W'",
        "def strategy(board):\n    _play({'points': 10**9})\n    return 'W'",
        "import threading\n"  # noqa: ISC004
        "def strategy(board):\n"
        "    for _ in range(50): threading.Thread(target=_play, args=('X',)).start()\n"
        "    return 'X'",
    ],
)
def test_asking_by_itself_brings_no_more_than_the_board_gives(code):
    (seen,) = played(RunStrategy(code=code, timeout_seconds=2))
    assert seen.strategy.ended == "illegal_move"
    assert seen.reward == seen.score == 0


def test_nothing_of_one_strategy_is_there_for_the_next():
    write = "open('left', 'w').close()\nleft = 1\ndef strategy(board):\n    return 5"
    look = "import os\nprint(os.listdir(), 'left' in globals())\ndef strategy(board):\n    return 5"
    assert played(write, look)[1].strategy.stdout == "[] False\n"


def test_eight_episodes_are_played_at_once_over_the_wire():
    async def episode(server: LocalServer, seed: int) -> float:
        async with server.client(Game2048Env) as env:
            await env.reset(seed=seed)
            result = await env.step(RunStrategy(code=CYCLE))
            assert result.done
            return float(result.reward)

    async def main() -> list[float]:
        async with LocalServer(Game2048Environment) as server:
            together = await asyncio.gather(*(episode(server, seed) for seed in range(8)))
        return together

    assert asyncio.run(main()) == [played(CYCLE, seed=seed)[0].reward for seed in range(8)]


def test_a_good_strategy_goes_far():
    (seen,) = played(RunStrategy(code=SNAKE, max_moves=150, timeout_seconds=30))
    assert seen.strategy.moves == 150
    assert seen.highest >= 64


@pytest.fixture
def nothing_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise IsolationError("nothing here can hold it")

    monkeypatch.setattr(game2048_environment, "the_backend", refuse)


@pytest.mark.usefixtures("nothing_holds")
def test_where_nothing_can_hold_a_strategy_it_is_not_run():
    with pytest.raises(IsolationError):
        played(CYCLE)
