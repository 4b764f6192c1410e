"""Clients that play OpenSpiel's games with one another."""

import asyncio
from random import Random
from typing import Any

import pytest

pytest.importorskip("pyspiel", reason="open_spiel is not installed")

from openenv.environment.multi_agent import seats
from openenv.errors import ConfigurationError, InvalidRequestError
from openenv.models import StepResult
from openenv.server import create_app
from openenv.testing import EnvironmentContract, LocalServer
from openspiel_env import OpenSpielAction, OpenSpielObservation
from openspiel_env.server.openspiel_game import OpenSpielGame
from openspiel_env.server.seats import app

GAMES = ("tic_tac_toe", "connect_four", "kuhn_poker", "leduc_poker", "backgammon", "matrix_rps", "hearts")


class TestContractOfAGameForOne(EnvironmentContract):
    environment = seats(
        type("Catch", (OpenSpielGame,), {"__init__": lambda self: OpenSpielGame.__init__(self, "catch")})
    )
    actions = (OpenSpielAction(action_id=0), OpenSpielAction(action_id=1), OpenSpielAction(action_id=2))
    bad_actions = ({}, {"action_id": 3}, {"action_id": -1}, {"action_id": 10**30}, {"action_id": "x"})


async def _match(players: int, seed: int = 1, **reset: Any) -> list[list[StepResult[OpenSpielObservation]]]:
    async def play(env: Any, number: int) -> list[StepResult[OpenSpielObservation]]:
        rng = Random(number)
        results = [await env.reset(agent=f"player_{number}", seed=seed, **reset)]
        while not results[-1].done:
            move = rng.choice(results[-1].observation.legal_actions)
            results.append(await env.step(OpenSpielAction(action_id=move)))
        return results

    async with LocalServer(seats(OpenSpielGame)) as server:
        clients = [await server.client().connect() for _ in range(players)]
        played = await asyncio.gather(*(play(env, number) for number, env in enumerate(clients)))
        for env in clients:
            await env.close()
        return played


def match(players: int, **reset: Any) -> list[list[StepResult[OpenSpielObservation]]]:
    """Play a game with random moves, by as many clients; return what each saw."""
    return asyncio.run(_match(players, **reset))


@pytest.mark.parametrize("name", GAMES)
def test_a_game_is_played_by_clients_to_its_end(name):
    players = 4 if name == "hearts" else 2
    played = match(players, game_name=name)
    for number, results in enumerate(played):
        last = results[-1]
        earned = sum(result.reward for result in results if result.reward is not None)
        assert earned == last.observation.returns[number]
        assert (last.observation.game_phase, last.observation.legal_actions) == ("terminal", [])
        assert all(result.observation.current_player_id == number for result in results[:-1])


def test_the_same_seed_and_moves_give_the_same_game():
    first, again = [match(2, seed=5, game_name="leduc_poker") for _ in range(2)]
    assert first == again


def test_nobody_sees_the_card_of_the_other():
    for seed in range(5):
        for number, results in enumerate(match(2, seed=seed, game_name="kuhn_poker")):
            for result in results:
                assert result.observation.info_state[number] == 1.0  # whose view it is
                assert result.observation.info_state[2:5].count(1.0) == 1


def test_what_is_no_game_or_no_move_is_refused():
    async def main() -> None:
        async with LocalServer(seats(OpenSpielGame)) as server, server.client() as env:
            for reset in ({"game_name": "no_such"}, {"game_params": 5}, {"game_name": "mfg_garnet"}, {"rows": 3}):
                with pytest.raises(InvalidRequestError):
                    await env.reset(**reset)
            await env.reset(game_name="catch")
            for move in (3, -1, 10**30):
                with pytest.raises(InvalidRequestError, match="no legal move"):
                    await env.step(OpenSpielAction(action_id=move))

    asyncio.run(main())


def test_the_application_serves_seats():
    assert app.state.openenv.manager is not None
    with pytest.raises(ConfigurationError, match="play with one another"):
        create_app(seats(OpenSpielGame), isolation="process")
