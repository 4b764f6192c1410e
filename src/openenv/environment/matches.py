"""Matches: games under way, or waiting for players, on one event loop.

Everything here is a plain call on that loop, between two of which nothing changes; only `Match.turn` waits. A match
that nobody sits at any more is forgotten, by whatever way the last one left.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from openenv.environment.adapter import Signature
from openenv.errors import ConfigurationError, InvalidRequestError
from openenv.models import StepResult
from openenv.outcomes import Cause, Outcome

logger = logging.getLogger("openenv.environment")

REMIND_S = 10.0
"""Seconds after which a client is told once more what it waits for, so that it does not give the server up."""

MakeGame = Callable[[], Any]
Tell = Callable[[str], None]


class Match:
    """One game and who sits at it.

    Args:
        make: Makes a game.
        name: Its name, if it has one.
        seed: What its first player says.
        options: Likewise.
        gone: Called once, when no more can happen in it.

    Attributes:
        agents: All of them.
        to_move: Whose move is waited for.
        is_over: The game has ended, or was ended.

    Raises:
        InvalidRequestError: The options make no game.
    """

    def __init__(
        self,
        make: MakeGame,
        name: str | None,
        seed: int | None,
        options: Mapping[str, Any],
        gone: Callable[[Match], None],
    ) -> None:
        self.name = name
        self.is_over = False
        self.to_move: tuple[str, ...] = ()
        self._make, self._gone = make, gone
        self._seed, self._options = seed, dict(options)
        self._game = self._set_up(seed, options)
        self.agents = _agents_of(self._game)
        self._seated: dict[str, Tell] = {}
        self._begun = False
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._moves: dict[str, Any] = {}
        self._earned: dict[str, float] = {}
        self._fault: Outcome | None = None
        self._why = ""

    # --- taking a seat ---------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether all seats are taken."""
        return len(self._seated) == len(self.agents)

    @property
    def is_joined(self) -> bool:
        """Whether anybody sits at it."""
        return bool(self._seated)

    def refusal(self, agent: str | None, seed: int | None, options: Mapping[str, Any]) -> str | None:
        """Return why one cannot take a seat; None if one can."""
        if self.is_full:
            return f"is full: {', '.join(self.agents)} play it"
        if agent is not None and agent not in self.agents:
            return f"has no agent {agent!r:.100}; it has {', '.join(self.agents)}"
        if agent in self._seated:
            return f"has a player {agent} already"
        if None not in (seed, self._seed) and seed != self._seed:
            return f"has the seed {self._seed}, which another player said; leave it out, or say the same"
        for name, value in options.items():
            if name in self._options and self._options[name] != value:
                return f"has another {name}, which another player said; leave it out, or say the same"
        return None

    def sit(self, agent: str | None, seed: int | None, options: Mapping[str, Any], tell: Tell) -> str:
        """Take a seat that is free; return whose it is. The last one begins the game.

        Args:
            agent: Whose seat; by default the first that is free.
            seed: What this player says of it.
            options: Likewise.
            tell: Told what the player waits for.

        Raises:
            InvalidRequestError: What is said makes no game.
        """
        self._agree(seed, options)
        taken = agent or next(each for each in self.agents if each not in self._seated)
        self._seated[taken] = tell
        if not self.is_full:
            self._tell_who_wait()
            return taken
        self._begun = True
        try:
            with self._ended_by_failure():
                self._hand_over()
        except BaseException:
            self.leave(taken)
            raise
        return taken

    def _agree(self, seed: int | None, options: Mapping[str, Any]) -> None:
        """Set the game up anew if a player says what no other has said."""
        agreed = self._seed if seed is None else seed, {**self._options, **options}
        if agreed == (self._seed, self._options):
            return
        game = self._set_up(*agreed)
        if _agents_of(game) != self.agents:
            game.close()
            raise InvalidRequestError("These options make a game of other agents, and some have taken their seats")
        self._game.close()
        self._game, (self._seed, self._options) = game, agreed

    def _set_up(self, seed: int | None, options: Mapping[str, Any]) -> Any:
        game = self._make()
        taken = Signature.of(type(game).reset)
        unknown = sorted(name for name in options if not taken.accepts(name))
        if unknown:
            raise InvalidRequestError(
                f"{type(game).__name__}.reset() does not take {', '.join(unknown)}",
                errors=[{"loc": [n], "msg": "not an option of this game", "type": "unexpected"} for n in unknown],
            )
        game.reset(seed=seed, **options)
        return game

    # --- moving ----------------------------------------------------------------------------------

    def move(self, agent: str, action: Any) -> None:
        """Make a move of an agent whose turn it is.

        Raises:
            InvalidRequestError: It is refused; nothing has changed.
        """
        assert agent in self.to_move, "whose turn it is not, waits"
        game = self._game
        with self._ended_by_failure():
            if game.agent_selection is not None:
                game.step(action)
            else:
                game.check(agent, action)
                self._moves[agent] = action
                if len(self._moves) < len(self.agents):
                    self.to_move = tuple(each for each in self.to_move if each != agent)
                    self._tell_who_wait()
                    return
                moves, self._moves = self._moves, {}
                game.step_all({each: moves[each] for each in self.agents})  # in no order of arrival
            for each, reward in game.rewards.items():
                self._earned[each] = self._earned.get(each, 0.0) + reward
            self._hand_over()

    def _hand_over(self) -> None:
        """Wake those whose turn it is; all, at the end."""
        game = self._game
        if game.terminated or game.truncated:
            self._end()
            return
        mover = game.agent_selection
        if mover is not None and mover not in self.agents:
            raise ConfigurationError(f"agent_selection is {mover!r:.100}, none of {', '.join(self.agents)}")
        self.to_move = self.agents if mover is None else (mover,)
        for agent in self.to_move:
            self._wake(agent)
        self._tell_who_wait()

    async def turn(self, agent: str) -> None:
        """Wait until all seats are taken and it is an agent's turn, or the game is over."""
        while not (self.is_over or agent in self.to_move):
            waiting = self._waiting[agent] = asyncio.get_running_loop().create_future()
            try:
                while not waiting.done():
                    self._seated[agent](self._what_is_missing())
                    await asyncio.wait((waiting,), timeout=REMIND_S)
            finally:
                self._waiting.pop(agent, None)

    def result(self, agent: str, first: bool = False) -> StepResult[Any]:
        """Return what an agent sees, and what it got since it was told last.

        Args:
            agent: Who.
            first: It answers a reset, which has no reward: what came before the agent's first move is told with
                that, if there is one.
        """
        game = self._game
        info = {"match": self.name, "agent": agent}
        with self._ended_by_failure():
            observation = game.observe(agent)
        if self._fault is not None:
            return StepResult(observation, None, outcome=self._fault, info={**info, "ended": self._why})
        reward = None if first and not self.is_over else self._earned.pop(agent, None)
        truncated = self.is_over and game.truncated
        return StepResult.make(observation, reward, self.is_over, truncated, info, observation.metadata)

    # --- the end ---------------------------------------------------------------------------------

    def leave(self, agent: str) -> None:
        """Leave one's seat, which ends the game for the others if it has begun. May be called again."""
        if self._seated.pop(agent, None) is None:
            return
        if self._begun and not self.is_over:
            self._fail(Cause.PEER_LEFT, f"{agent} has left the match")
        elif not self._begun:
            self._tell_who_wait()
        if not self._seated:
            self.drop()

    def drop(self) -> None:
        """Close the game that nobody sits at."""
        self._gone(self)
        try:
            self._game.close()
        except Exception:
            logger.exception("%s.close() failed", type(self._game).__name__)

    @contextlib.contextmanager
    def _ended_by_failure(self) -> Iterator[None]:
        """End the match if the game raises, unless it refuses a move."""
        try:
            yield
        except InvalidRequestError:
            raise
        except BaseException:
            if not self.is_over:
                self._fail(Cause.ENVIRONMENT_ERROR, "the game has failed")
            raise

    def _fail(self, cause: Cause, why: str) -> None:
        self._fault, self._why = Outcome.infra_fault(cause), why
        self._end()

    def _end(self) -> None:
        self.is_over, self.to_move = True, ()
        self._gone(self)
        for agent in list(self._waiting):
            self._wake(agent)

    # --- those who wait --------------------------------------------------------------------------

    def _wake(self, agent: str) -> None:
        waiting = self._waiting.get(agent)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _tell_who_wait(self) -> None:
        missing = self._what_is_missing()
        for agent, waiting in self._waiting.items():
            if not waiting.done() and agent in self._seated:
                self._seated[agent](missing)

    def _what_is_missing(self) -> str:
        if self._begun:
            return f"waiting for {', '.join(self.to_move)}"
        count = len(self.agents) - len(self._seated)
        return f"waiting for {count} more player{'s' if count > 1 else ''}"


def _agents_of(game: Any) -> tuple[str, ...]:
    agents = tuple(game.agents)
    if not agents or len(set(agents)) < len(agents):
        raise ConfigurationError(f"{type(game).__name__} needs agents, each with its own name: {agents!r:.200}")
    return agents


class Table:
    """The matches of one event loop that can be joined, or have a name that is taken.

    Args:
        make: Makes a game.
    """

    def __init__(self, make: MakeGame) -> None:
        self._make = make
        self._named: dict[str, Match] = {}
        self._nameless: dict[Match, None] = {}

    def __len__(self) -> int:
        return len(self._named) + len(self._nameless)

    def join(
        self, name: str | None, agent: str | None, seed: int | None, options: Mapping[str, Any], tell: Tell
    ) -> tuple[Match, str]:
        """Take a seat at a match; return both. See `SeatEnvironment.reset` for the arguments.

        Raises:
            InvalidRequestError: There is no such seat, or it is not free.
        """
        match = self._found(name, agent, seed, options)
        if match is None:
            match = Match(self._make, name, seed, options, self._forget)
        refusal = match.refusal(agent, seed, options)
        if refusal is not None:
            if not match.is_joined:
                match.drop()
            raise InvalidRequestError(f"The match {name!r:.100} {refusal}" if name else f"A match {refusal}")
        taken = match.sit(agent, seed, options, tell)
        if match.is_over:
            return match, taken
        if name is not None:
            self._named[name] = match
        elif match.is_full:
            self._nameless.pop(match, None)
        else:
            self._nameless[match] = None
        return match, taken

    def _found(
        self, name: str | None, agent: str | None, seed: int | None, options: Mapping[str, Any]
    ) -> Match | None:
        if name is not None:
            return self._named.get(name)
        return next((each for each in self._nameless if each.refusal(agent, seed, options) is None), None)

    def _forget(self, match: Match) -> None:
        self._nameless.pop(match, None)
        if match.name is not None and self._named.get(match.name) is match:
            del self._named[match.name]
