"""The application by which clients play OpenSpiel's games with one another: a seat for each player.

`openenv serve openspiel_env.server.seats:app` plays tic-tac-toe, or what they choose by `reset(game_name=...)`,
which is tried first; see `server.trials`.
"""

import asyncio
from typing import Any

from openenv.environment.multi_agent import seats
from openenv.models import StepResult
from openenv.server import create_app

from ..models import OpenSpielObservation
from . import trials
from .openspiel_game import OpenSpielGame


class TriedGame(OpenSpielGame):
    """The same, of games that were tried."""

    tries = True


class OpenSpielSeat(seats(TriedGame)):  # type: ignore[misc]
    """A seat at a game of OpenSpiel."""

    async def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        match: str | None = None,
        agent: str | None = None,
        **options: Any,
    ) -> StepResult[OpenSpielObservation]:
        """Do what `SeatEnvironment.reset` does; a game that was not tried is, meanwhile the others play on."""
        while True:
            try:
                return await super().reset(seed, episode_id, match, agent, **options)
            except trials.UntriedError as untried:
                await asyncio.to_thread(trials.tried, untried.name, untried.params, "self")


app = create_app(OpenSpielSeat, env_name="openspiel_env")
