"""One rollout, and what came of each of its calls.

A fault never comes out as an exception: it is a `Turn` whose outcome says what happened, and the episode's reward
is None from then on. Reward 0 is something only an environment can give.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from openenv import values
from openenv.client import EnvClient
from openenv.errors import EpisodeEndedError, InvalidRequestError, OpenEnvError, SerializationError, ToolCallError
from openenv.mcp.types import Tool
from openenv.models import StepResult
from openenv.outcomes import ORDINARY, Cause, Outcome, Status
from openenv.rollouts.faults import as_fault, is_passing, message_of, outcome_of
from openenv.rollouts.texts import text_of

if TYPE_CHECKING:
    from openenv.rollouts.episodes import Episodes, Session

__all__ = ["Episode", "Turn"]

T = TypeVar("T")
Client = EnvClient[Any, Any, Any]

_log = logging.getLogger("openenv.rollouts")


@dataclass(frozen=True)
class Turn:
    """What came of one call.

    Attributes:
        observation: What the environment answered; None if it did not.
        value: What the tool returned, for the call of a tool that did.
        reward: What the environment gave for it; None if nothing graded it, or something broke.
        done: Whether the episode is over.
        outcome: How it came out.
        error: What went wrong, in words that a model may be told; else empty.
    """

    observation: Any = None
    value: Any = None
    reward: float | None = None
    done: bool = False
    outcome: Outcome = ORDINARY[False, False, True]
    error: str = ""

    @property
    def said(self) -> str:
        """What a model may be told of it: what went wrong, else what the tool returned, else what is seen."""
        return self.error or text_of(self.observation if self.value is None else self.value)


class Episode:
    """One rollout. Calls are made one after another, in the order they were asked for.

    Args:
        episodes: Where its session comes from.

    Attributes:
        outcome: How the last call came out; that of a fault stays.
        steps: How many steps were taken.
        done: Whether it is over, by itself or by a fault.
    """

    def __init__(self, episodes: Episodes) -> None:
        self._episodes = episodes
        self._process = os.getpid()
        self._session: Session | None = None
        self._last: asyncio.Future[Any] | None = None
        self._return: float | None = None
        self.outcome = Outcome(Status.OK, reward_valid=False)
        self.steps = 0
        self.done = True
        self._error = "No episode has begun: reset first"

    @property
    def reward(self) -> float | None:
        """The sum of the rewards so far; None if nothing graded them, or if they are not to be learned from."""
        if self.outcome.status is Status.INFRA_FAULT or (self.outcome.is_fault and not self.outcome.reward_valid):
            return None
        return self._return

    @property
    def fault(self) -> str:
        """What broke, if something did; else empty."""
        return self._error if self.outcome.status is Status.INFRA_FAULT else ""

    def reset(self, /, **arguments: Any) -> Future[Turn]:
        """Begin, or begin again.

        Args:
            **arguments: Of the environment's `reset`: `seed`, `episode_id`, and options of its own.
        """
        return self._submit(lambda: self._reset(arguments))

    def step(self, action: Any) -> Future[Turn]:
        """Take a step."""
        return self._submit(lambda: self._take(lambda client: client.step(action)))

    def call_tool(self, name: str, arguments: Mapping[str, Any]) -> Future[Turn]:
        """Call a tool, which is a step; `value` is what it returned.

        A call that fails by itself (no such tool, wrong arguments, the tool raised) is told in `error`, and the
        episode goes on.
        """
        return self._submit(lambda: self._call(name, arguments))

    def tools(self) -> Future[list[Tool]]:
        """Return the tools there are in this episode; none, if that cannot be told."""
        return self._submit(self._tools)

    def action_schema(self) -> Future[Mapping[str, Any]]:
        """Return the JSON Schema of the environment's actions; empty, and a fault, if that cannot be told."""
        return self._submit(self._action_schema)

    def fail(self, cause: Cause, message: str) -> Future[Turn]:
        """Make this episode a fault: what happened to it is not what its transcript says."""

        async def failed() -> Turn:
            return self._broke(Outcome.infra_fault(cause), message)

        return self._submit(failed)

    def end(self) -> Future[None]:
        """Give the session back. `reset` gets another one."""
        return self._submit(self._end)

    # --- on the loop -----------------------------------------------------------------------------

    def _submit(self, function: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        if self._process != os.getpid():
            self._left_to_parent()
        return self._episodes._submit(lambda: self._in_turn(function))

    def _left_to_parent(self) -> None:
        self._process, self._session, self._last = os.getpid(), None, None
        if not self.done:
            self.outcome, self.done = Outcome.infra_fault(Cause.SESSION_LOST), True
            self._error = "The process was forked during this episode, and it is the parent's: reset begins another"

    async def _in_turn(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        before, mine = self._last, asyncio.get_running_loop().create_future()
        self._last = mine
        if before is not None and not before.done():  # else a session that is given back is there for the next
            try:
                await asyncio.wait((before,))
            except asyncio.CancelledError:  # before its turn: who is next still waits for the one before
                before.add_done_callback(lambda _: mine.set_result(None))
                raise
        try:
            return await function()
        except asyncio.CancelledError:  # nobody knows how far it got, and the session is still busy with it
            self._broke(Outcome.infra_fault(Cause.CANCELLED), "A call was cancelled while it was under way")
            raise
        finally:
            mine.set_result(None)

    async def _reset(self, arguments: dict[str, Any]) -> Turn:
        self._episodes._count("episodes")
        self._return, self.steps, self._error = None, 0, ""
        for attempt in range(1, self._episodes.attempts + 1):
            try:
                return await self._reset_once(arguments, fresh=attempt > 1)
            except (OpenEnvError, OSError) as error:
                outcome = outcome_of(error)
                if attempt == self._episodes.attempts or not is_passing(outcome):
                    return self._broke(outcome, message_of(error))
                _log.warning("An episode could not begin and is tried again: %s", error)
                self._give_back(broken=True)
        raise AssertionError("there is at least one attempt")

    async def _reset_once(self, arguments: dict[str, Any], *, fresh: bool) -> Turn:
        if self._session is None:
            self._session = await self._episodes._session(fresh=fresh)
        result = await self._session.client.reset(**arguments)
        self.outcome, self.done = result.outcome, result.done
        if result.outcome.status is Status.INFRA_FAULT:
            return self._broke(result.outcome, "The environment says that something broke as it was reset")
        return Turn(result.observation, None, None, result.done, result.outcome)

    async def _call(self, name: str, arguments: Mapping[str, Any]) -> Turn:
        if self.done:
            return self._over()
        try:  # what a model can write and no message can hold: half an emoji, say, or hundreds of brackets
            values.loads(values.dumps({"data": {"tool_name": name, "arguments": dict(arguments)}}, what="call"))
        except ValueError as error:
            return _unsent(message_of(error))
        return await self._take(lambda client: client.call_tool(name, **arguments), called=True)

    async def _take(self, step: Callable[[Client], Any], *, called: bool = False) -> Turn:
        if self.done or self._session is None:
            return self._over()
        client = self._session.client
        try:
            answer = await step(client)
        except ToolCallError as error:
            if error.result is None:
                return self._broke(error.outcome, error.message)
            return self._taken(error.result, error=error.message)
        except InvalidRequestError as error:
            if error.outcome.status is not Status.POLICY_FAULT:
                return self._broke(error.outcome, error.message)
            return Turn(outcome=error.outcome, error=error.message)
        except SerializationError as error:
            if error.received:  # it is the answer that has no form
                return self._broke(error.outcome, error.message)
            return _unsent(error.message)
        except EpisodeEndedError:
            self.done = True
            return self._over()
        except (OpenEnvError, OSError) as error:
            return self._broke(outcome_of(error), message_of(error))
        result = client.last_result if called else answer
        if result is None:
            return self._broke(Outcome.infra_fault(Cause.PROTOCOL), "The server did not say what the call came to")
        return self._taken(result, value=answer if called else None)

    def _taken(self, result: StepResult[Any], *, value: Any = None, error: str = "") -> Turn:
        self.steps += 1
        self.outcome, self.done = result.outcome, result.done
        if result.outcome.status is Status.INFRA_FAULT:
            return self._broke(result.outcome, error or "The environment says that something broke")
        reward = result.reward if result.outcome.reward_valid else None
        if reward is not None:
            self._return = (self._return or 0.0) + float(reward)
        return Turn(result.observation, value, reward, result.done, result.outcome, error)

    async def _tools(self) -> list[Tool]:
        return list(await self._asked(lambda client: client.list_tools()) or ())

    async def _action_schema(self) -> Mapping[str, Any]:
        if not self._episodes._actions:  # they are the same in all episodes
            answer = await self._asked(lambda client: client.schema())
            self._episodes._actions = answer.action if answer is not None else {}
        return self._episodes._actions

    async def _asked(self, ask: Callable[[Client], Any]) -> Any:
        """Return the answer to what is no step; None if there is none, which is a fault in an episode."""
        if self._session is None:
            return None
        try:
            return await ask(self._session.client)
        except (OpenEnvError, OSError) as error:
            self._broke(outcome_of(error), message_of(error))
            return None

    async def _end(self) -> None:
        self._give_back(broken=False)
        self.done = True
        self._error = self._error or "The episode has ended"

    def _over(self) -> Turn:
        told = self._error or "The episode is over"
        return Turn(done=True, outcome=self.outcome, error=told)

    def _broke(self, outcome: Outcome, message: str) -> Turn:
        outcome = as_fault(outcome)
        self._episodes._count(outcome.cause.value)
        _log.warning("An episode broke (%s) and is left out: %s", outcome.cause.value, message)
        self.outcome, self.done, self._error = outcome, True, message
        self._give_back(broken=True)
        return Turn(done=True, outcome=outcome, error=message)

    def _give_back(self, *, broken: bool) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._episodes._back(session, broken=broken)


def _unsent(message: str) -> Turn:
    """Return what came of an action that no message can hold: the policy's fault, and nothing has happened."""
    return Turn(outcome=InvalidRequestError(message).outcome, error=message)
