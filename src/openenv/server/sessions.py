"""A session: one environment, one episode at a time, one order of requests.

The session is a reactor. `submit` is a plain call and `reply` is called exactly once on the event loop, at once
where the environment does not block. Requests run one at a time in order of arrival. What is legal when is the
table `_REFUSED`; how a session ends is `end`, for every reason there is.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from openenv.environment.adapter import Adapter
from openenv.errors import (
    EnvironmentFactoryError,
    EpisodeEndedError,
    ExecutionError,
    NotResetError,
    RequestError,
    SessionLost,
)
from openenv.models import State
from openenv.protocol import codec
from openenv.protocol.messages import SessionInfo
from openenv.server.runner import Runner
from openenv.values import text_of

logger = logging.getLogger("openenv.server")


class Phase(Enum):
    """Where a session stands."""

    CREATING = "creating"
    READY = "ready"
    RUNNING = "running"
    ENDED = "ended"
    CLOSED = "closed"


@dataclass(slots=True)
class Reply:
    """The answer to one request: JSON of the given kind, or the error it stands for."""

    kind: str
    data: bytes
    error: RequestError | None = None

    @staticmethod
    def failed(error: RequestError) -> Reply:
        """Return the answer that reports an error."""
        return Reply("error", codec.encode_error(error), error)

    def frame(self) -> bytes:
        """Return it as a WebSocket frame."""
        return codec.frame(self.kind, self.data)


OnReply = Callable[[Reply], None]


@dataclass(slots=True)
class Request:
    """One thing asked of a session.

    Attributes:
        verb: `reset`, `step`, `state` or `mcp`.
        bind: Makes the call of the environment; run just before the call, so it sees what came before.
        finish: Turns what the environment returned into a reply.
        reply: Called once with the answer.
    """

    verb: str
    bind: Callable[[Adapter], Callable[[], Any]]
    finish: Callable[[Any], Reply]
    reply: OnReply


@dataclass(slots=True)
class Episode:
    """One episode, as the server counts it."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    seed: int | None = None
    started: float = field(default_factory=time.monotonic)
    steps: int = 0


_NOT_RESET = "This session has no episode yet: call reset() before step()"
_EPISODE_ENDED = "The episode has ended: call reset() to start the next one"

# What is refused in which phase. Everything that is not here is legal.
_REFUSED: dict[tuple[str, Phase], Callable[[], RequestError]] = {
    ("step", Phase.READY): lambda: NotResetError(_NOT_RESET),
    ("step", Phase.ENDED): lambda: EpisodeEndedError(_EPISODE_ENDED),
}


class Session:
    """One environment with everything that belongs to it.

    Args:
        runner: Makes and calls the environment.
        on_gone: Called once, when the environment is closed and nothing is left.
        expose_errors: Tell the other side the class and message of the environment's own exceptions.
        session_id: Its id; made up if not given.
    """

    def __init__(
        self,
        runner: Runner,
        on_gone: Callable[[Session], None],
        *,
        expose_errors: bool = True,
        session_id: str | None = None,
    ) -> None:
        self.id = session_id or str(uuid.uuid4())
        self.phase = Phase.CREATING
        self.episode: Episode | None = None
        self.created_at = time.time()
        self.last_activity = time.monotonic()
        self.on_end: Callable[[RequestError], None] | None = None
        self._runner = runner
        self._on_gone = on_gone
        self._expose_errors = expose_errors
        self._queue: deque[Request] = deque()
        self._current: Request | None = None
        self._busy = False
        self._pumping = False
        self._ended: RequestError | None = None

    # --- what can be asked -----------------------------------------------------------------------

    def open(self) -> None:
        """Start constructing the environment. Requests wait until it is there."""
        self._busy = True
        self._runner.start(self._opened)

    def reset(
        self,
        reply: OnReply,
        *,
        seed: int | None = None,
        episode_id: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        """Start a new episode."""
        episode = Episode(seed=seed)
        if episode_id is not None:
            episode.id = episode_id
        self.submit(
            Request(
                "reset",
                lambda adapter: adapter.bind_reset(seed, episode_id, options),
                lambda returned: self._finish_reset(episode, returned),
                reply,
            )
        )

    def step(
        self,
        reply: OnReply,
        action: Any,
        *,
        timeout_s: float | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        """Take a step with a validated action."""
        self.submit(
            Request(
                "step",
                lambda adapter: adapter.bind_step(action, timeout_s, options),
                self._finish_step,
                reply,
            )
        )

    def state(self, reply: OnReply) -> None:
        """Read the state."""
        self.submit(Request("state", lambda adapter: adapter.state, self._finish_state, reply))

    def end(self, reason: RequestError | None = None) -> None:
        """End the session, for whatever reason: the one way out.

        Everything unanswered is answered with the reason, a running coroutine is cancelled, and the
        environment is closed as soon as it is not running.
        """
        if self.phase is Phase.CLOSED:
            return
        self.phase = Phase.CLOSED
        self._ended = reason or SessionLost("The session was closed")
        unanswered = [self._current] if self._current is not None else []
        unanswered += self._queue
        self._queue.clear()
        self._current = None
        for request in unanswered:
            request.reply(Reply.failed(self._ended))
        if self.on_end is not None:
            self.on_end(self._ended)
        if self._busy:
            self._runner.cancel()
        else:
            self._close_environment()

    @property
    def busy(self) -> bool:
        """Whether a request is running or waiting."""
        return self._busy or bool(self._queue)

    def info(self) -> SessionInfo:
        """Return how the session stands."""
        adapter = self._runner.adapter
        return SessionInfo(
            session_id=self.id,
            phase=self.phase.value,
            episode_id=self.episode.id if self.episode else None,
            step_count=self.episode.steps if self.episode else 0,
            created_at=self.created_at,
            last_activity_at=time.time() - (time.monotonic() - self.last_activity),
            environment_type=adapter.shape.cls.__name__ if adapter else "",
        )

    # --- one request at a time -------------------------------------------------------------------

    def submit(self, request: Request) -> None:
        """Run the request after those before it."""
        if self._ended is not None:
            request.reply(Reply.failed(self._ended))
            return
        self.last_activity = time.monotonic()
        self._queue.append(request)
        self._pump()

    def _pump(self) -> None:
        if self._pumping:  # called from within, by a request that finished at once: the loop below goes on
            return
        self._pumping = True
        try:
            while self._queue and not self._busy:
                self._run(self._queue.popleft())
        finally:
            self._pumping = False

    def _run(self, request: Request) -> None:
        adapter = self._runner.adapter
        assert adapter is not None, "requests wait until the environment is there"
        refusal = _REFUSED.get((request.verb, self.phase))
        if refusal is not None and not adapter.allows_step_without_reset:
            request.reply(Reply.failed(refusal()))
            return
        try:
            call = request.bind(adapter)
        except RequestError as error:
            request.reply(Reply.failed(error))
            return
        self._busy = True
        self._current = request
        self._runner.call(request.verb, call, self._returned)

    def _returned(self, value: Any, error: BaseException | None) -> None:
        self._busy = False
        self.last_activity = time.monotonic()
        request, self._current = self._current, None
        if request is None:  # the session ended meanwhile and has answered
            self._close_environment()
            return
        if error is None:
            try:
                reply = request.finish(value)
            except RequestError as refused:
                reply = Reply.failed(refused)
            except (Exception, SystemExit) as raised:  # from the value's own methods
                reply = Reply.failed(self._failure(request.verb, raised))
        else:
            if request.verb == "reset":
                self._no_episode()
            reply = Reply.failed(self._failure(request.verb, error))
        request.reply(reply)
        self._pump()

    def _failure(self, verb: str, error: BaseException) -> RequestError:
        """Log what the environment raised and return what the other side learns of it."""
        error_id = uuid.uuid4().hex[:12]
        logger.error("session %s: %s failed [%s]", self.id, verb, error_id, exc_info=error)
        if not self._expose_errors:
            return ExecutionError(f"The environment failed in {verb}", error_id=error_id)
        name = type(error).__name__
        return ExecutionError(f"{name}: {text_of(error)}", exception=name, error_id=error_id)

    # --- answers ---------------------------------------------------------------------------------

    def _finish_reset(self, episode: Episode, returned: Any) -> Reply:
        self._no_episode()
        result = self._adapter.result(returned)
        self.episode = episode
        self.phase = Phase.ENDED if result.done else Phase.RUNNING
        return Reply("observation", codec.encode_result(result))

    def _no_episode(self) -> None:
        """Forget the episode: nothing may be stepped that was not reset."""
        self.phase = Phase.READY
        self.episode = None

    def _finish_step(self, returned: Any) -> Reply:
        result = self._adapter.result(returned)
        if self.episode is not None:
            self.episode.steps += 1
        if result.done and self.phase is Phase.RUNNING:
            self.phase = Phase.ENDED
        return Reply("observation", codec.encode_result(result))

    def _finish_state(self, state: Any) -> Reply:
        """Answer with the environment's state; what it leaves open is filled in from the server's own count."""
        episode = self.episode
        if state is None:
            state = State()
        if isinstance(state, State) and episode is not None:
            known = {
                "episode_id": episode.id,
                "step_count": episode.steps,
                "elapsed_time": round(time.monotonic() - episode.started, 6),
            }
            given = state.model_fields_set
            state = state.model_copy(
                update={n: v for n, v in known.items() if n not in given or getattr(state, n) is None}
            )
        return Reply("state", codec.encode_state(state))

    @property
    def adapter(self) -> Adapter | None:
        """The environment, once it is constructed and until it is closed."""
        return self._runner.adapter

    @property
    def _adapter(self) -> Adapter:
        assert self._runner.adapter is not None
        return self._runner.adapter

    # --- beginning and end -----------------------------------------------------------------------

    def _opened(self, _adapter: Any, error: BaseException | None) -> None:
        self._busy = False
        if self.phase is Phase.CLOSED:
            self._close_environment()
        elif error is not None:
            self.end(self._factory_error(error))
        else:
            self.phase = Phase.READY
            self._pump()

    def _factory_error(self, error: BaseException) -> RequestError:
        failure = self._failure("the constructor", error)
        return EnvironmentFactoryError(
            f"The environment could not be constructed: {failure.message}",
            exception=failure.exception,
            error_id=failure.error_id,
        )

    def _close_environment(self) -> None:
        self._busy = True
        self._runner.close(self._closed)

    def _closed(self, _value: Any, error: BaseException | None) -> None:
        self._busy = False
        if error is not None:
            logger.error("session %s: closing its environment failed", self.id, exc_info=error)
        self._on_gone(self)
