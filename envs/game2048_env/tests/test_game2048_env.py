"""What game2048_env promises: the contract, the rules of the game, and policies with known scores."""

import asyncio
from random import Random
from statistics import mean

import pytest

from game2048_env import Game2048Action, Game2048Env, Game2048Observation
from game2048_env.policies import NULL_EXPECTED, ORACLE_SCORES, null, oracle
from game2048_env.server import app
from game2048_env.server.board import MOVES, Board, slid
from game2048_env.server.game2048_environment import Game2048Environment
from openenv.errors import ConfigurationError, InvalidRequestError, IsolationError, NotResetError
from openenv.models import StepResult
from openenv.providers import SandboxProvider
from openenv.testing import EnvironmentContract, EnvironmentMemoryContract


class TestContract(EnvironmentContract):
    environment = Game2048Environment
    actions = tuple(Game2048Action(move=move) for move in MOVES)
    bad_actions = (
        {},
        {"move": "north"},
        {"move": 0},
        {"move": ["up"]},
        {"move": "up", "code": ""},
        {"code": 5},
        {"code": "pass", "max_moves": 0},
        {"code": "pass", "max_moves": 10**30},
        {"code": "pass", "timeout_seconds": 0},
        {"code": "pass", "timeout_seconds": -1},
        {"code": "pass", "timeout_seconds": "long"},
    )
    steps = 8
    longest_episode = 1000

    def choose_action(self, step: int, result: StepResult[Game2048Observation]) -> Game2048Action:
        legal = result.observation.legal_actions
        return Game2048Action(move=legal[step % len(legal)])

    # Its samples are not all legal in the same position, and the contract plays each of them after a reset.
    def test_reset_and_step_return_observations_of_the_declared_type(self) -> None:
        environment = Game2048Environment()
        seen = environment.reset(seed=0)
        while not seen.done:
            assert isinstance(seen, Game2048Observation)
            seen = asyncio.run(environment.step(Game2048Action(move=seen.legal_actions[-1])))


@pytest.mark.slow
class TestMemory(EnvironmentMemoryContract):
    environment = Game2048Environment
    steps = 5

    def choose_action(self, step: int, result: StepResult[Game2048Observation]) -> Game2048Action:
        return Game2048Action(move=result.observation.legal_actions[0])


def placed(*rows: str, target: int = 2048) -> Game2048Environment:
    """Return an environment with this board; `.` is an empty field."""
    environment = Game2048Environment(target)
    environment.reset(seed=0)
    environment._board.rows = [[0 if tile == "." else int(tile) for tile in row.split()] for row in rows]
    return environment


def moved(environment: Game2048Environment, move: str) -> Game2048Observation:
    return asyncio.run(environment.step(Game2048Action(move=move)))


@pytest.mark.parametrize(
    ("line", "pushed", "points"),
    [
        ([0, 0, 0, 0], [0, 0, 0, 0], 0),
        ([0, 2, 0, 4], [2, 4, 0, 0], 0),
        ([2, 0, 2, 0], [4, 0, 0, 0], 4),
        ([2, 2, 2, 2], [4, 4, 0, 0], 8),
        ([2, 2, 4, 8], [4, 4, 8, 0], 4),
        ([4, 2, 2, 0], [4, 4, 0, 0], 4),
        ([2, 2, 2, 0], [4, 2, 0, 0], 4),
        ([8, 4, 2, 2], [8, 4, 4, 0], 4),
    ],
)
def test_equal_tiles_merge_once_in_a_move(line, pushed, points):
    assert slid(line) == (pushed, points)


@pytest.mark.parametrize(
    ("move", "row", "column"), [("up", 0, 1), ("down", 3, 1), ("left", 1, 0), ("right", 1, 3)], ids=str
)
def test_tiles_slide_to_the_side_they_are_moved_to(move, row, column):
    seen = moved(placed(". . . .", ". 8 . .", ". . . .", ". . . ."), move)
    assert seen.board[row][column] == 8
    assert sum(tile > 0 for line in seen.board for tile in line) == 2  # one has appeared
    assert (seen.reward, seen.moves) == (0.0, 1)


def test_a_step_is_worth_the_tiles_that_merged():
    environment = placed("2 2 8 8", "4 4 . .", ". . . .", ". . . .")
    seen = moved(environment, "left")
    assert (seen.reward, seen.score, seen.highest) == (28.0, 28, 16)
    assert seen.text.splitlines()[0].split()[:2] == ["4", "16"]


def test_a_move_that_moves_nothing_is_refused_and_nothing_appears():
    environment = placed("2 4 . .", ". . . .", ". . . .", ". . . .")
    for move in ("up", "left"):
        with pytest.raises(InvalidRequestError, match="these would: right, down"):
            moved(environment, move)
    assert environment._board.rows == [[2, 4, 0, 0], [0] * 4, [0] * 4, [0] * 4]
    assert environment.state.step_count == 0


def test_the_game_ends_when_nothing_can_move():
    environment = placed("2 4 2 4", "4 2 4 2", "2 4 2 4", ". 4 8 16")
    environment._board._appear = lambda: environment._board.rows[3].__setitem__(3, 32)
    seen = moved(environment, "left")
    assert (seen.done, seen.won, seen.legal_actions) == (True, False, [])


def test_the_target_ends_the_game_as_won():
    seen = moved(placed("1024 1024 . .", ". . . .", ". . . .", ". . . ."), "left")
    assert (seen.done, seen.won, seen.reward, seen.legal_actions) == (True, True, 2048.0, [])
    assert moved(placed("4 4 . .", ". . . .", ". . . .", ". . . .", target=8), "left").won


def test_new_tiles_are_twos_nine_times_of_ten():
    tiles = [tile for seed in range(1000) for row in Board(Random(seed)).rows for tile in row if tile]
    assert len(tiles) == 2000
    assert set(tiles) == {2, 4}
    assert tiles.count(4) / len(tiles) == pytest.approx(0.1, abs=0.03)


def test_the_same_seed_and_moves_give_the_same_game():
    def played(seed: int) -> list[Game2048Observation]:
        environment = Game2048Environment()
        seen = [environment.reset(seed=seed)]
        for _ in range(20):
            seen.append(moved(environment, seen[-1].legal_actions[0]))
        return seen

    assert played(1) == played(1) != played(2)


@pytest.mark.parametrize("target", [0, 4, 100, 2**18, -2048])
def test_a_target_that_is_no_tile_is_refused(target):
    with pytest.raises(ConfigurationError, match="power of two"):
        Game2048Environment(target)


def test_a_variable_says_what_wins(monkeypatch):
    monkeypatch.setenv("GAME2048_TARGET", "64")
    assert app.make()._target == 64


def test_a_step_before_the_first_reset_says_so():
    with pytest.raises(NotResetError, match=r"reset\(\)"):
        moved(Game2048Environment(), "up")


def test_the_null_policy_scores_what_it_says():
    class Direct:
        """An environment with the face of a blocking client."""

        def reset(self, **arguments: int) -> StepResult[Game2048Observation]:
            return StepResult(environment.reset(**arguments))

        def step(self, action: Game2048Action) -> StepResult[Game2048Observation]:
            seen = loop.run(environment.step(action))
            return StepResult(seen, seen.reward, seen.done)

    environment = Game2048Environment()
    with asyncio.Runner() as loop:
        assert mean(null(Direct(), seed=seed) for seed in range(60)) == pytest.approx(NULL_EXPECTED, rel=0.2)


@pytest.mark.slow
def test_the_oracle_scores_what_it_says_in_a_sandbox():
    try:
        with Game2048Env.with_provider(SandboxProvider()) as env:
            for seed in (1, 4):
                assert oracle(env, seed=seed) == ORACLE_SCORES[seed]
    except IsolationError as error:
        pytest.skip(f"no sandbox here: {error}")
