"""What grid_world_env promises: the contract, the way to the goal, and where the grid ends."""

import pytest

from grid_world_env import GridWorldAction, GridWorldEnv, GridWorldObservation
from grid_world_env.policies import MAX_RETURN, MIN_RETURN, distance, null, oracle, shortest
from grid_world_env.server import app
from grid_world_env.server.grid_world_environment import GridWorldEnvironment
from openenv.errors import ConfigurationError, IsolationError, NotResetError
from openenv.models import StepResult
from openenv.providers import SandboxProvider
from openenv.testing import EnvironmentContract, EnvironmentMemoryContract


class TestContract(EnvironmentContract):
    environment = GridWorldEnvironment
    actions = tuple(GridWorldAction(move=move) for move in ("up", "right", "down", "left"))
    bad_actions = ({}, {"move": "north"}, {"move": 1}, {"move": None}, {"move": ["up"]}, {"move": "up", "far": 2})

    def choose_action(self, step: int, result: StepResult[GridWorldObservation]) -> GridWorldAction:
        return GridWorldAction(move=shortest(result.observation))


@pytest.mark.slow
class TestMemory(EnvironmentMemoryContract):
    environment = GridWorldEnvironment
    actions = (GridWorldAction(move="up"),)
    steps = 30


def at(row: int, column: int, goal: tuple[int, int] = (0, 0), size: int = 5) -> GridWorldEnvironment:
    """Return an environment in whose grid agent and goal are where a test needs them."""
    environment = GridWorldEnvironment(size)
    environment.reset()
    environment._agent, environment._goal = (row, column), goal
    return environment


@pytest.mark.parametrize(("move", "place"), [("up", (1, 2)), ("down", (3, 2)), ("left", (2, 1)), ("right", (2, 3))])
def test_a_move_leads_to_the_next_field_and_costs_a_tenth(move, place):
    result = at(2, 2).step(GridWorldAction(move=move))
    assert (result.observation.row, result.observation.column) == place
    assert (result.reward, result.done) == (-0.1, False)


@pytest.mark.parametrize("move", ["down", "right"])
def test_where_the_grid_ends_one_stays_and_it_counts(move):
    environment = at(4, 4)
    result = environment.step(GridWorldAction(move=move))
    assert (result.observation.row, result.observation.column, result.reward) == (4, 4, -0.1)
    assert result.observation.legal_moves == ["up", "left"]
    assert environment.state.step_count == 1


def test_the_goal_ends_the_episode_with_a_reward():
    result = at(0, 1).step(GridWorldAction(move="left"))
    assert (result.reward, result.terminated, result.truncated) == (MAX_RETURN, True, False)
    assert result.observation.legal_moves == []
    assert result.observation.text.startswith("A . . . .")


def test_after_four_times_the_size_it_is_cut_off():
    environment = at(4, 4, size=6)
    results = [environment.step(GridWorldAction(move="right")) for _ in range(24)]
    assert [result.done for result in results] == [False] * 23 + [True]
    assert (results[-1].terminated, results[-1].truncated) == (False, True)


def test_the_goal_reached_by_the_last_step_is_reached():
    environment = at(0, 1)
    for _ in range(19):
        environment.step(GridWorldAction(move="up"))
    result = environment.step(GridWorldAction(move="left"))
    assert (result.terminated, result.truncated) == (True, False)


def test_seeds_choose_agent_and_goal_and_never_the_same_field():
    starts = [GridWorldEnvironment().reset(seed=seed) for seed in range(200)]
    assert starts[7] == GridWorldEnvironment().reset(seed=7)
    assert all(distance(seen) > 0 for seen in starts)
    assert len({seen.text for seen in starts}) > 100


@pytest.mark.parametrize("size", [1, 0, -3, 51])
def test_a_grid_that_cannot_be_is_refused(size):
    with pytest.raises(ConfigurationError, match="rows"):
        GridWorldEnvironment(size)


def test_a_variable_says_how_large_it_is(monkeypatch):
    monkeypatch.setenv("GRID_WORLD_SIZE", "3")
    assert app.make().reset().text.count("\n") == 2


def test_a_step_before_the_first_reset_says_so():
    with pytest.raises(NotResetError, match=r"reset\(\)"):
        GridWorldEnvironment().step(GridWorldAction(move="up"))


@pytest.mark.slow
def test_the_oracle_takes_the_shortest_way_and_the_null_policy_never_arrives_in_a_sandbox():
    try:
        with GridWorldEnv.with_provider(SandboxProvider()) as env:
            for seed in range(5):
                steps = distance(env.reset(seed=seed).observation)
                assert oracle(env, seed=seed) == pytest.approx(MAX_RETURN - 0.1 * (steps - 1))
                assert null(env, seed=seed) == pytest.approx(MIN_RETURN)
    except IsolationError as error:
        pytest.skip(f"no sandbox here: {error}")
