"""Episodes of one environment, played by whoever trains or evaluates.

Every call gives a `Future`, so a caller that blocks (`.result()`), one inside a running event loop
(`asyncio.wrap_future`) and one that begins many calls before it looks at the first use the same object. All of it
runs on the event loop that the blocking clients of a process share.

A fault never comes out as an exception: it is a `Turn` whose outcome says what happened, and the episode's reward
is None from then on. Reward 0 is something only an environment can give.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from openenv import values
from openenv.client import EnvClient, EnvPool, GenericEnvClient
from openenv.client.portal import Portal
from openenv.errors import (
    ConfigurationError,
    EpisodeEndedError,
    InvalidRequestError,
    OpenEnvError,
    ProviderError,
    RequestError,
    SerializationError,
    ToolCallError,
)
from openenv.mcp.types import Tool
from openenv.models import StepResult
from openenv.outcomes import ORDINARY, Cause, Outcome, Status

if TYPE_CHECKING:
    from openenv.client.pool import Lease
    from openenv.providers import Provider

__all__ = ["Episode", "Episodes", "Turn"]

T = TypeVar("T")
Client = EnvClient[Any, Any, Any]

_log = logging.getLogger("openenv.rollouts")

END_S = 10.0
"""Seconds that the end of a session is waited for at most; the server ends it in any case."""


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


class Episodes:
    """Where episodes come from: servers, or providers of servers, and the sessions on them.

    ```python
    episodes = Episodes("http://localhost:8000", EchoEnv)
    played = [episodes.begin(seed=seed) for seed in range(64)]         # 64 resets at the same time
    turns = [episode.step(EchoAction(message="hi")) for episode, reset in played if reset.result()]
    ```

    A session is used by one episode after another, each of which begins with a reset. One in which something
    broke is thrown away. It can be pickled; the copy has the addresses, and sessions of its own.

    Args:
        where: Address of a server, a provider, or a list of either.
        client_class: Of the clients; by default one that knows no types, with dictionaries in and out.
        timeout_s: Seconds until an answer, or word of progress, before the call counts as a fault.
        wait_s: Seconds to wait for a free session.
        attempts: How often an episode is begun, if something broke that may come out differently.
        **client_options: More options of the client class, such as `headers`.

    Raises:
        ConfigurationError: `where` is empty, or an option is wrong.
    """

    def __init__(
        self,
        where: str | Provider | Sequence[str | Provider],
        client_class: type[Client] | None = None,
        *,
        timeout_s: float = 60.0,
        wait_s: float = 30.0,
        attempts: int = 2,
        **client_options: Any,
    ) -> None:
        places: list[Any] = list(where) if isinstance(where, (list, tuple)) else [where]
        if not places or attempts < 1:
            raise ConfigurationError(
                "Episodes need the address of a server or a provider, and at least one attempt"
            )
        self.client_class: type[Client] = client_class or GenericEnvClient
        self.attempts = attempts
        self._client_class = client_class
        self._places = places
        self._options = {"timeout_s": timeout_s, "wait_s": wait_s, "attempts": attempts, **client_options}
        self._pool: EnvPool[Client] = EnvPool(
            self.client_class,
            [place for place in places if isinstance(place, str)],
            providers=[place for place in places if not isinstance(place, str)],
            wait_s=wait_s,
            reuse=False,
            message_timeout_s=timeout_s,
            **client_options,
        )
        self._idle: list[_Session] = []
        self._open: set[_Session] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._counts: Counter[str] = Counter()
        self._portal: Portal | None = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.urls, self._client_class, self._options)

    @property
    def urls(self) -> list[str]:
        """Addresses of the servers; providers are started for it."""
        self._submit(self._pool._lender.start).result()
        return [server.url for server in self._pool.metrics.servers]

    @property
    def counts(self) -> dict[str, int]:
        """How many episodes have begun (`episodes`), and how many broke, by cause, such as `environment_died`."""
        return dict(self._counts)

    def begin(self, **arguments: Any) -> tuple[Episode, Future[Turn]]:
        """Return a new episode and what will come of its reset; see `Episode.reset`."""
        episode = Episode(self)
        return episode, episode.reset(**arguments)

    def tools(self, **arguments: Any) -> list[Tool]:
        """Return the tools of an episode that begins with these arguments; it is ended at once.

        Raises:
            OpenEnvError: It could not begin.
        """
        episode, reset = self.begin(**arguments)
        try:
            turn = reset.result()
            if turn.outcome.status is Status.INFRA_FAULT:
                raise OpenEnvError(turn.error)
            return episode.tools().result()
        finally:
            episode.end().result()

    def close(self) -> None:
        """End all sessions, and the servers that were started. It can be used again afterwards."""
        with self._lock:
            portal, self._portal = self._portal, None
        if portal is not None and portal.is_ours:
            try:
                portal.submit(self._close()).result()
            finally:
                portal.release()

    def __enter__(self) -> Episodes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- on the loop -----------------------------------------------------------------------------

    def _submit(self, function: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        with self._lock:
            if self._portal is None or not self._portal.is_ours:
                self._portal = Portal.acquire()
            return self._portal.submit(function())

    async def _close(self) -> None:
        self._idle.clear()
        for session in list(self._open):
            self._end_soon(session)
        while self._endings:
            await asyncio.gather(*self._endings, return_exceptions=True)
        await self._pool._lender.close()

    async def _session(self, *, fresh: bool) -> _Session:
        while self._idle and not fresh:
            session = self._idle.pop()
            if session.connected:
                return session
            self._end_soon(session)
        session = _Session(self._pool.lease())
        await session.open()
        self._open.add(session)
        return session

    def _back(self, session: _Session, *, broken: bool) -> None:
        if session in self._open:
            if broken:
                self._end_soon(session)
            else:
                self._idle.append(session)

    def _end_soon(self, session: _Session) -> None:
        self._open.discard(session)
        task = asyncio.get_running_loop().create_task(session.end())
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    def _count(self, what: str) -> None:
        self._counts[what] += 1


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
        self._session: _Session | None = None
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

    def reset(self, **arguments: Any) -> Future[Turn]:
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
        """Return the JSON Schema of the environment's actions; an empty one, and a fault, if it cannot be told."""
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
        return self._episodes._submit(lambda: self._in_turn(function))

    async def _in_turn(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        before, mine = self._last, asyncio.get_running_loop().create_future()
        self._last = mine
        try:
            if before is not None and not before.done():  # else a session that is given back is there for the next
                await asyncio.wait((before,))
            return await function()
        finally:
            mine.set_result(None)

    async def _reset(self, arguments: dict[str, Any]) -> Turn:
        self._episodes._count("episodes")
        self._return, self.steps, self._error = None, 0, ""
        for attempt in range(1, self._episodes.attempts + 1):
            try:
                return await self._reset_once(arguments, fresh=attempt > 1)
            except (OpenEnvError, OSError) as error:
                outcome = _outcome(error)
                passing = outcome.retryable and outcome.cause is not Cause.BUDGET
                if attempt == self._episodes.attempts or not passing:
                    return self._broke(outcome, _message(error))
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
        try:
            values.dumps(dict(arguments), what="arguments")
        except SerializationError as error:  # NaN, say, which a model can write and no message can hold
            return Turn(outcome=InvalidRequestError(error.message).outcome, error=error.message)
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
        except EpisodeEndedError:
            self.done = True
            return self._over()
        except (OpenEnvError, OSError) as error:
            return self._broke(_outcome(error), _message(error))
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
        answer = await self._asked(lambda client: client.schema())
        return answer.action if answer is not None else {}

    async def _asked(self, ask: Callable[[Client], Any]) -> Any:
        """Return the answer to what is no step; None, and a fault, if there is none."""
        if self._session is None:
            return None
        try:
            return await ask(self._session.client)
        except (OpenEnvError, OSError) as error:
            self._broke(_outcome(error), _message(error))
            return None

    async def _end(self) -> None:
        self._give_back(broken=False)
        self.done = True
        self._error = self._error or "The episode has ended"

    def _over(self) -> Turn:
        told = self._error or "The episode is over"
        return Turn(done=True, outcome=self.outcome, error=told)

    def _broke(self, outcome: Outcome, message: str) -> Turn:
        if outcome.status is not Status.INFRA_FAULT:  # a reset that was refused is nothing that a policy did
            outcome = Outcome.infra_fault(outcome.cause, retryable=outcome.retryable)
        self._episodes._count(outcome.cause.value)
        _log.warning("An episode broke (%s) and is left out: %s", outcome.cause.value, message)
        self.outcome, self.done, self._error = outcome, True, message
        self._give_back(broken=True)
        return Turn(done=True, outcome=outcome, error=message)

    def _give_back(self, *, broken: bool) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._episodes._back(session, broken=broken)


class _Session:
    """A session that is leased for as long as its episodes come out well."""

    def __init__(self, lease: Lease[Client]) -> None:
        self._lease = lease
        self.client: Client

    async def open(self) -> None:
        self.client = await self._lease.__aenter__()

    @property
    def connected(self) -> bool:
        link = self.client._core.link
        return link is not None and link.connected

    async def end(self) -> None:
        with suppress(OpenEnvError, OSError, TimeoutError):
            async with asyncio.timeout(END_S):
                await self._lease.__aexit__(None, None, None)


def _again(urls: list[str], client_class: type[Client] | None, options: dict[str, Any]) -> Episodes:
    return Episodes(urls, client_class, **options)


def _outcome(error: Exception) -> Outcome:
    if isinstance(error, RequestError):
        return error.outcome
    if isinstance(error, ProviderError):
        return Outcome.infra_fault(Cause.CREATE_FAILED)
    return Outcome.infra_fault(Cause.SESSION_LOST)


def _message(error: Exception) -> str:
    return getattr(error, "message", "") or f"{type(error).__name__}: {error}"
