"""Episodes of several agents: each has a client, a session and an ordinary loop of reset and step.

Nothing new goes over the wire. The environment of such a session is a seat at a game that is shared: its `reset`
returns when all seats are taken and it is this agent's turn, its `step` when it is this agent's turn again or the
episode is over. Who waits is a future on the server's event loop, so waiting costs nothing.
"""

from __future__ import annotations

import asyncio
import inspect
import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic
from weakref import WeakKeyDictionary

from pydantic import Field

from openenv.environment.base import ActionT, Environment, ObservationT
from openenv.environment.matches import Match, Table
from openenv.errors import ConfigurationError, InvalidRequestError, NotResetError
from openenv.models import State, StepResult
from openenv.protocol.generics import type_arguments

__all__ = ["MultiAgentGame", "SeatEnvironment", "SeatState", "seats"]


class MultiAgentGame(ABC, Generic[ActionT, ObservationT]):
    """A game of several agents, who move one after the other or all at once. `seats` makes it an environment.

    ```python
    class Nim(MultiAgentGame[Take, Heap]):
        agents = ("first", "second")

        def reset(self, seed: int | None = None) -> None:
            self.left, self.agent_selection = 7, "first"
            self.rewards, self.terminated = {}, False

        def step(self, action: Take) -> None:
            if action.count > self.left:
                raise InvalidRequestError(f"There are {self.left} left")
            mover = self.agent_selection
            other = "second" if mover == "first" else "first"
            self.left, self.agent_selection = self.left - action.count, other
            if self.left == 0:
                self.rewards, self.terminated = {mover: 1.0, other: -1.0}, True

        def observe(self, agent: str) -> Heap:
            return Heap(left=self.left)
    ```

    One instance is one episode; it may be reset again before anybody has moved. All methods are called on the
    server's event loop, so they return at once. The names are those of PettingZoo's agent environment cycle.

    Attributes:
        agents: Their names, in the order in which seats are given away. The same for a whole episode.
        agent_selection: Whose turn it is; None if all move at once.
        rewards: What the last move has brought each agent; one who is not in it was not graded. What an agent gets
            while others move adds up until it is told.
        terminated: The game has ended by its rules, for all.
        truncated: A limit has cut it off, for all.
    """

    agents: Sequence[str]
    agent_selection: str | None = None
    rewards: Mapping[str, float] = types.MappingProxyType({})
    terminated: bool = False
    truncated: bool = False

    @abstractmethod
    def reset(self, seed: int | None = None, **options: Any) -> None:
        """Set the game up. Options that are declared by name are what a client may give its `reset`.

        Raises:
            InvalidRequestError: The options make no game.
        """

    def step(self, action: ActionT) -> None:
        """Make a move for the agent whose turn it is.

        Raises:
            InvalidRequestError: The move is refused; nothing has changed, and it is the same agent's turn.
        """
        raise ConfigurationError(f"{type(self).__name__} lets agents move in turn and does not define step()")

    def step_all(self, actions: Mapping[str, ActionT]) -> None:
        """Make the moves of all agents at once, where `agent_selection` is None."""
        raise ConfigurationError(f"{type(self).__name__} lets all move at once and does not define step_all()")

    def check(self, agent: str, action: ActionT) -> None:
        """Refuse a move that is not legal, where all move at once: before it waits for those of the others.

        Raises:
            InvalidRequestError: The move is refused.
        """

    @abstractmethod
    def observe(self, agent: str) -> ObservationT:
        """Return what an agent sees now. Its `reward` and `done` are not looked at."""

    def close(self) -> None:
        """Release what the game holds. Called once, when nobody sits at it any more."""


class SeatState(State):
    """Where an agent sits, and who may move."""

    match: str | None = Field(default=None, description="The name of the match; None if it has none.")
    agent: str | None = Field(default=None, description="Which agent this client is; None before the first reset.")
    agents: list[str] = Field(default_factory=list, description="All agents of the match.")
    to_move: list[str] = Field(default_factory=list, description="Whose move is waited for; nobody's at the end.")


class SeatEnvironment(Environment[ActionT, ObservationT, SeatState], Generic[ActionT, ObservationT]):
    """A seat at a game that several sessions play; made by `seats`, or subclassed with `game` set.

    Sessions of the same class meet if they are on the same event loop: in one server process. So a server refuses
    to run it in several processes, or in a process for each session.

    Attributes:
        game: Makes a game: a class, or a function without arguments.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True
    INSTANCES_MEET = True

    game: ClassVar[Callable[[], MultiAgentGame[Any, Any]]]
    _tables: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Table]]
    _match: Match | None = None
    _agent: str = ""
    _episode_id: str | None = None
    _steps = 0

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._tables = WeakKeyDictionary()

    async def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        match: str | None = None,
        agent: str | None = None,
        **options: Any,
    ) -> StepResult[ObservationT]:
        """Leave the match one sits at, take a seat, and wait until all are taken and it is one's turn.

        Args:
            seed: Of the game. One player is enough to say it, and all who do say the same.
            episode_id: The id that the episode has for this client.
            match: The name of a match, which is opened if there is none. By default the one that has waited longest
                for players, of those without a name, or a new one.
            agent: Which agent to be; by default the first whose seat is free.
            **options: Of the game; likewise said by one, or by all the same.

        Returns:
            What the agent sees. Its `info` has the names of the `match` and the `agent`.

        Raises:
            InvalidRequestError: The match is full, the seat is taken, there is no such agent or option, or another
                player has said another seed or option.
        """
        self._leave()
        self._match, self._episode_id, self._steps = None, episode_id, 0
        for name, value in (("match", match), ("agent", agent)):
            if value is not None and not (isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME):
                raise InvalidRequestError(f"{name} is a name of 1 to {_LONGEST_NAME} characters, not {value!r:.50}")
        self._match, self._agent = self._table().join(match, agent, seed, options, self._waits)
        return await self._turn(first=True)

    async def step(self, action: ActionT) -> StepResult[ObservationT]:
        """Move, and wait until it is one's turn again or the episode is over.

        Returns:
            What the agent sees, with what it got since its last move.

        Raises:
            InvalidRequestError: The move is refused; it is still one's turn.
        """
        if self._match is None:
            raise NotResetError("There is no match yet: call reset() before step()")
        if not self._match.is_over:
            self._match.move(self._agent, action)
            self._steps += 1
        return await self._turn()

    @property
    def state(self) -> SeatState:
        """Where the agent sits, and who may move."""
        match = self._match
        if match is None:
            return SeatState()
        return SeatState(
            episode_id=self._episode_id,
            step_count=self._steps,
            match=match.name,
            agent=self._agent,
            agents=list(match.agents),
            to_move=list(match.to_move),
        )

    async def close(self) -> None:
        """Leave the match. Async, so that it is called on the event loop that the match is on."""
        self._leave()

    async def _turn(self, first: bool = False) -> StepResult[ObservationT]:
        assert self._match is not None
        try:
            await self._match.turn(self._agent)
            return self._match.result(self._agent, first)
        except BaseException:  # cancelled, or the game has failed: nobody is to wait for this agent
            self._leave()
            raise

    def _leave(self) -> None:
        if self._match is not None:
            self._match.leave(self._agent)

    def _waits(self, message: str) -> None:
        self.progress(message=message)

    def _table(self) -> Table:
        loop = asyncio.get_running_loop()
        table = self._tables.get(loop)
        if table is None:
            table = self._tables[loop] = Table(type(self).game)
        return table


_LONGEST_NAME = 200

_MOVES = ("step", "step_all")


def seats(game: Callable[[], MultiAgentGame[Any, Any]], action: Any = None, observation: Any = None) -> Any:
    """Return the environment class whose sessions play a game together, to be given to `create_app`.

    Two classes that were made of one game have nothing to do with one another.

    Args:
        game: A subclass of `MultiAgentGame`, or a function without arguments that makes one.
        action: The action class or union; taken from the type arguments of the class if not given.
        observation: The observation class; likewise.

    Raises:
        ConfigurationError: The class is abstract, has no way to move, or its types are not known.
    """
    name = getattr(game, "__name__", "Game")
    given = type_arguments(game, MultiAgentGame) if isinstance(game, type) else ()
    if inspect.isabstract(game):
        missing = ", ".join(sorted(getattr(game, "__abstractmethods__", ())))
        raise ConfigurationError(f"{name} does not define {missing}")
    if isinstance(game, type) and all(getattr(game, one) is getattr(MultiAgentGame, one) for one in _MOVES):
        raise ConfigurationError(f"{name} defines neither step, for moves in turn, nor step_all, for moves at once")
    known = (*given, None, None)
    action, observation = action or known[0], observation or known[1]
    if action is None or observation is None:
        raise ConfigurationError(
            f"Which actions and observations {name} has is not known: subclass MultiAgentGame[ActionType, "
            "ObservationType], or give both to seats()"
        )
    own = {
        "game": staticmethod(game),
        "__doc__": game.__doc__,
        "__module__": game.__module__,
    }
    base = SeatEnvironment[action, observation]
    return types.new_class(f"{name}Seat", (base,), exec_body=lambda namespace: namespace.update(own))
