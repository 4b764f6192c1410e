"""All sessions of one server: who may open one, and that none outlives its use.

A session is attached (a WebSocket holds it, and ends it) or not (plain HTTP). Nobody notices when the user of
an unattached one goes away, so those end after a while without a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

from openenv.environment.adapter import Shape, describe_class
from openenv.environment.base import Environment
from openenv.errors import (
    ConcurrencyConfigurationError,
    ConfigurationError,
    EnvironmentFactoryError,
    RequestError,
    SessionCapacityError,
    SessionLost,
    SessionNotFoundError,
)
from openenv.models import EnvironmentMetadata
from openenv.protocol.messages import ConcurrencyConfig, ServerCapacityStatus
from openenv.server.runner import Factory, Runner
from openenv.server.sessions import Session
from openenv.server.threads import ThreadPool
from openenv.values import text_of

logger = logging.getLogger("openenv.server")

CONCURRENT_SESSIONS = 128
"""Sessions a server holds by default when its environment declares itself safe for more than one."""

UNATTACHED_IDLE_S = 900.0
"""Seconds without a request after which a session that no socket holds is ended."""

CLOSE_GRACE_S = 5.0
"""Seconds after which the slot of an ended session is free although its last step still runs."""


def as_factory(env: Any) -> tuple[Factory, bool]:
    """Return how to make an environment, and whether it is one shared instance that is not to be closed.

    Raises:
        ConfigurationError: It is neither a class, nor a factory, nor an instance.
    """
    if isinstance(env, Environment) or (not callable(env) and hasattr(env, "reset") and hasattr(env, "step")):
        return (lambda: env), True
    if inspect.isclass(env):
        Shape.of(env)  # a class that can not be an environment is refused now, not at the first session
        if inspect.isabstract(env):
            missing = ", ".join(sorted(getattr(env, "__abstractmethods__", ())))
            raise ConfigurationError(f"{env.__name__} does not define {missing}")
        return env, False
    if callable(env):
        return env, False
    raise ConfigurationError(
        f"An environment is given as a class, a function that makes one, or an instance, not {type(env).__name__}"
    )


def concurrency(env: Any, shared: bool, config: ConcurrencyConfig | None, limit: int | None) -> ConcurrencyConfig:
    """Return how many sessions to hold.

    Raises:
        ConcurrencyConfigurationError: More than the environment can serve.
    """
    safe = getattr(env, "SUPPORTS_CONCURRENT_SESSIONS", not inspect.isclass(env)) and not shared
    if config is None:
        config = ConcurrencyConfig(max_concurrent_envs=limit or (CONCURRENT_SESSIONS if safe else 1))
    if config.max_concurrent_envs > 1 and not safe:
        name = getattr(env, "__name__", type(env).__name__)
        why = (
            "one instance is shared; give the class instead"
            if shared
            else "set SUPPORTS_CONCURRENT_SESSIONS = True on it if its instances share nothing"
        )
        raise ConcurrencyConfigurationError(
            f"{name} can not serve {config.max_concurrent_envs} sessions at once: {why}"
        )
    return config


class SessionManager:
    """Opens, finds and ends sessions.

    Args:
        factory: Makes the environment of a session.
        config: How many sessions, and how long they may idle.
        shared: The factory always returns the same instance, closed only at shutdown.
        strict: Refuse arguments that an environment does not declare.
        expose_errors: Tell clients the class and message of an environment's exceptions.
        name: What `describe` calls the environment, if not by its own name.
    """

    def __init__(
        self,
        factory: Factory,
        config: ConcurrencyConfig,
        *,
        name: str | None = None,
        shared: bool = False,
        strict: bool = False,
        expose_errors: bool = True,
    ) -> None:
        self.config = config
        self._factory = factory
        self._name = name
        self._metadata: EnvironmentMetadata | None = None
        self._shared = shared
        self._strict = strict
        self._expose_errors = expose_errors
        self._sessions: dict[str, Session] = {}
        self._unattached: dict[str, float] = {}
        self._slots: set[str] = set()
        self._pool: ThreadPool | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._default: Session | None = None
        self._all_gone: asyncio.Event | None = None

    def open(self, *, attached: bool = True, on_end: Callable[[RequestError], None] | None = None) -> Session:
        """Open a session; its environment is constructed in the background.

        Args:
            attached: A connection will end it.
            on_end: Called if the session ends before its user ends it.

        Raises:
            SessionCapacityError: Every slot is taken.
        """
        limit = self.config.max_concurrent_envs
        active = len(self._slots)
        if active >= limit:
            raise SessionCapacityError(
                f"Server at capacity: {active}/{limit} sessions active. "
                "Close one, wait, or raise max_concurrent_envs",
                active_sessions=active,
                max_sessions=limit,
                retry_after=1.0,
            )
        session = Session(self._runner(), self._gone, expose_errors=self._expose_errors)
        session.on_end = lambda reason: self._ended(session, reason, on_end)
        self._sessions[session.id] = session
        self._slots.add(session.id)
        idle = self.config.session_timeout or (None if attached else UNATTACHED_IDLE_S)
        if idle is not None:
            self._unattached[session.id] = idle
            self._sweep_later()
        session.open()
        return session

    def get(self, session_id: str) -> Session:
        """Return an open session.

        Raises:
            SessionNotFoundError: There is none of this id.
        """
        try:
            return self._sessions[session_id]
        except KeyError:
            raise SessionNotFoundError(
                f"No session {session_id!r}: it was closed, has expired, or is of another server"
            ) from None

    def default(self) -> Session:
        """Return the one session that requests without a session id share; open it if there is none.

        Raises:
            SessionCapacityError: It would have to be opened and every slot is taken.
        """
        if self._default is None:
            self._default = self.open(attached=False)
        return self._default

    def capacity(self) -> ServerCapacityStatus:
        """Return how many sessions there are and may be."""
        return ServerCapacityStatus(active_sessions=len(self._slots), max_sessions=self.config.max_concurrent_envs)

    def sessions(self) -> list[Session]:
        """Return all open sessions."""
        return list(self._sessions.values())

    async def describe(self) -> EnvironmentMetadata:
        """Return what the environment says about itself; asks an instance where the class overrides it."""
        if self._metadata is None:
            overridden = getattr(self._factory, "get_metadata", None) is not Environment.get_metadata
            if overridden:
                metadata = await self._ask_instance()
            else:
                metadata = describe_class(self._factory)
            self._metadata = metadata.model_copy(update={"name": self._name}) if self._name else metadata
        return self._metadata

    async def _ask_instance(self) -> EnvironmentMetadata:
        for session in self.sessions():
            if session.adapter is not None:
                return session.adapter.metadata()
        runner = self._runner()
        future: asyncio.Future[EnvironmentMetadata] = asyncio.get_running_loop().create_future()

        def made(adapter: Any, error: BaseException | None) -> None:
            if future.done():
                pass
            elif error is not None:
                future.set_exception(self._factory_error(error))
            else:
                future.set_result(adapter.metadata())
            runner.close(lambda _value, _error: None)

        runner.start(made)
        return await future

    def _factory_error(self, error: BaseException) -> EnvironmentFactoryError:
        error_id = uuid.uuid4().hex[:12]
        logger.error("metadata: the constructor failed [%s]", error_id, exc_info=error)
        why = f": {type(error).__name__}: {text_of(error)}" if self._expose_errors else ""
        return EnvironmentFactoryError(f"The environment could not be constructed{why}", error_id=error_id)

    def _runner(self) -> Runner:
        if self._pool is None:
            self._pool = ThreadPool(asyncio.get_running_loop())
        return Runner(self._factory, self._pool, strict=self._strict, keep=self._shared)

    async def close(self, grace_s: float = CLOSE_GRACE_S) -> None:
        """End all sessions and wait until their environments are closed, for the grace time at most."""
        for session in self.sessions():
            session.end(SessionLost("The server is shutting down"))
        if self._slots:
            self._all_gone = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._all_gone.wait()
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._pool is not None:
            self._pool.close()

    def _ended(self, session: Session, reason: RequestError, tell: Callable[[RequestError], None] | None) -> None:
        """Forget an ended session; its slot stays taken until its environment is closed or the grace is over."""
        self._sessions.pop(session.id, None)
        self._unattached.pop(session.id, None)
        if session is self._default:
            self._default = None
        if self.config.max_concurrent_envs > 1:  # with one, a second must not run beside it
            asyncio.get_running_loop().call_later(CLOSE_GRACE_S, self._gone, session)
        if tell is not None:
            tell(reason)

    def _gone(self, session: Session) -> None:
        self._slots.discard(session.id)
        if self._all_gone is not None and not self._slots:
            self._all_gone.set()

    def _sweep_later(self) -> None:
        if self._sweeper is None:
            pause = min(max(min(self._unattached.values()) / 4, 0.05), 30.0)
            self._sweeper = asyncio.get_running_loop().call_later(pause, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        now = time.monotonic()
        for session_id, idle in list(self._unattached.items()):
            session = self._sessions.get(session_id)
            if session is not None and not session.busy and now - session.last_activity > idle:
                session.end(SessionLost(f"The session had no request for {idle:g} s (idle budget)"))
        if self._unattached:
            self._sweep_later()
