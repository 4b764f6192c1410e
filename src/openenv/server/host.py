"""One environment instance together with the encoder of its answers.

A `Host` is where an environment is: in the server's process or in a worker of its own. Operations go in, answers
come out as bytes that pass through the server unchanged.
"""

from __future__ import annotations

import inspect
import logging
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec

from openenv.environment.adapter import Adapter
from openenv.errors import (
    EnvironmentDiedError,
    EnvironmentFactoryError,
    ExecutionError,
    InvalidRequestError,
    RequestError,
)
from openenv.models import State
from openenv.protocol import encoding
from openenv.protocol.codes import ServerMode
from openenv.protocol.formats import JSON, Format
from openenv.values import text_of

logger = logging.getLogger("openenv.server")


@dataclass(slots=True)
class ResetOp:
    """Start an episode."""

    seed: int | None = None
    episode_id: str | None = None
    options: dict[str, Any] | None = None
    notice: str | None = None
    verb: str = field(default="reset", init=False)

    def bind(self, adapter: Adapter) -> Callable[[], Any]:
        """Return the call it stands for."""
        return adapter.bind_reset(self.seed, self.episode_id, self.options)


@dataclass(slots=True)
class StepOp:
    """Take a step with a validated action."""

    action: Any
    timeout_s: float | None = None
    options: dict[str, Any] | None = None
    verb: str = field(default="step", init=False)

    def bind(self, adapter: Adapter) -> Callable[[], Any]:
        """Return the call it stands for."""
        return adapter.bind_step(self.action, self.timeout_s, self.options)


@dataclass(slots=True)
class StateOp:
    """Read the state; `known` is what the server has counted itself.

    Attributes:
        forked: The episode is a fork of another, whose id the environment still tells: `known` has the right one.
    """

    known: dict[str, Any]
    forked: bool = False
    verb: str = field(default="state", init=False)

    def bind(self, adapter: Adapter) -> Callable[[], Any]:
        """Return the call it stands for."""
        return adapter.state


class StateCall(ABC):
    """What is asked of an environment beside its three verbs; see `server.state_calls`.

    Attributes:
        verb: The method that is called.
    """

    __slots__ = ()
    verb: ClassVar[str]

    @abstractmethod
    def bind(self, adapter: Adapter) -> Callable[[], Any]:
        """Return the call it stands for."""

    @abstractmethod
    def finish(self, returned: Any) -> Answer:
        """Return the answer that what the method returned stands for."""


Operation = ResetOp | StepOp | StateOp | StateCall

_ANY_STEP = StepOp(None)


class Reply(msgspec.Struct):
    """The answer to one request: encoded data of the given kind, or the error it stands for."""

    kind: str
    data: bytes
    error: RequestError | None = None

    @staticmethod
    def failed(error: RequestError, format_: Format = JSON) -> Reply:
        """Return the answer that reports an error."""
        return Reply("error", format_.pack_error(error), error)

    def frame(self) -> bytes:
        """Return it as a version 1 WebSocket frame."""
        return encoding.frame(self.kind, self.data)


class Answer(Reply):
    """What an operation came to; `error` is set if it was executed, but its answer has no form on the wire.

    Attributes:
        done: Whether the episode is over.
        episode_id: The environment's own id of the episode, where its state has told one.
        tools_changed: Its tools are others than before.
    """

    done: bool = False
    episode_id: str | None = None
    tools_changed: bool = False


class Reporter:
    """Logs an environment's exceptions and says what the other side learns of them.

    Args:
        label: What log lines call the session.
        expose: Tell the other side their class and message, not only the id of the log entry.
    """

    def __init__(self, label: str = "", expose: bool = True) -> None:
        self.label = label
        self.expose = expose

    def __call__(self, verb: str, error: BaseException) -> RequestError:
        """Return the error that reports what a method raised.

        What it says by the exceptions made for that, of a request or of its own end, goes on as it is.
        """
        if isinstance(error, InvalidRequestError | EnvironmentDiedError):
            return error
        return self._failed(verb, error)

    def _failed(self, verb: str, error: BaseException) -> ExecutionError:
        error_id = uuid.uuid4().hex[:12]
        self.log(f"session {self.label}: {verb} failed [{error_id}]", error)
        if not self.expose:
            return ExecutionError(f"The environment failed in {verb}", error_id=error_id)
        name = type(error).__name__
        return ExecutionError(f"{name}: {text_of(error)}", exception=name, error_id=error_id)

    def log(self, what: str, error: BaseException) -> None:
        """Write the details down."""
        logger.error("%s", what, exc_info=error)

    def factory(self, error: BaseException) -> EnvironmentFactoryError:
        """Return the error that reports what a constructor raised."""
        failure = self._failed("the constructor", error)
        return EnvironmentFactoryError(
            f"The environment could not be constructed: {failure.message}",
            exception=failure.exception,
            error_id=failure.error_id,
        )


class Host:
    """One environment and the encoding of its answers.

    Args:
        environment: The instance.
        report: Turns its exceptions into errors.
        strict: Refuse arguments the environment does not declare.
        mode: Whom it serves: a `simulation`, or agents in `production`.
    """

    def __init__(
        self, environment: Any, report: Reporter, *, strict: bool = False, mode: str = ServerMode.SIMULATION
    ) -> None:
        self.adapter = Adapter(environment, strict=strict)
        self.adapter.be(mode)
        self.format: Format = JSON
        self._report = report
        self._step = self.adapter.plain_step
        self._has_tools = hasattr(environment, "list_tools")

    def call(
        self, operation: Operation, call: Callable[[], Any]
    ) -> Answer | RequestError | Coroutine[Any, Any, Any]:
        """Call the environment; return the answer, or the coroutine that leads to it. Never raises."""
        try:
            returned = call()
        except BaseException as error:  # an environment's sys.exit() must not end the server
            return self._report(operation.verb, error)
        return returned if inspect.iscoroutine(returned) else self.finish(operation, returned)

    def step_now(self, action: Any) -> Answer | RequestError:
        """Take a step of an environment that does not block, and has no arguments but the action. Never raises."""
        try:
            returned = self._step(action)
            answer = self._plain(returned)
        except BaseException as error:
            return self._report("step", error)
        return answer or self.finish(_ANY_STEP, returned)

    def finish(self, operation: Operation, returned: Any) -> Answer | RequestError:
        """Return the answer that what the environment returned stands for. Never raises."""
        try:
            if isinstance(operation, (ResetOp, StepOp)):
                return self._result(operation, returned)
            if isinstance(operation, StateOp):
                if operation.forked:
                    returned = _renamed(returned, operation.known.get("episode_id"))
                data = self.format.pack_state(_completed(returned, operation.known))
                return Answer("state", data, episode_id=_episode_id(returned))
            return operation.finish(returned)
        except RequestError as refused:
            return refused
        except BaseException as error:  # a value with hostile methods
            return self._report(operation.verb, error)

    def _result(self, operation: ResetOp | StepOp, returned: Any) -> Answer:
        notice = operation.notice if isinstance(operation, ResetOp) else None
        if notice is None and (answer := self._plain(returned)) is not None:
            return answer
        result = self.adapter.result(returned)
        if notice:
            result.info = {**result.info, "warnings": [notice, *result.info.get("warnings", ())]}
        changed = self._has_tools and self.adapter.take_tools_changed()
        try:
            data = self.format.pack_result(result)
        except RequestError as error:
            return Answer("observation", b"", error, result.done, tools_changed=changed)
        return Answer("observation", data, None, result.done, tools_changed=changed)

    def _plain(self, returned: Any) -> Answer | None:
        """Return the answer to a reset or step with nothing unusual about it; None for any other."""
        adapter = self.adapter
        data = encoding.plain_observation(returned) if self.format is JSON and not adapter.warnings else None
        if data is None:
            return None
        adapter.seen(returned)
        changed = self._has_tools and adapter.take_tools_changed()
        return Answer("observation", data, None, returned.done, None, changed)


def _episode_id(state: Any) -> str | None:
    """Return the id that a state tells, if it tells one."""
    found = state.get("episode_id") if isinstance(state, dict) else getattr(state, "episode_id", None)
    return found if isinstance(found, str) and found else None


def _renamed(state: Any, episode_id: Any) -> Any:
    """Return the state of a forked episode under the id that this has."""
    if isinstance(state, dict):
        return {**state, "episode_id": episode_id} if "episode_id" in state else state
    if isinstance(state, State):
        return state.model_copy(update={"episode_id": episode_id})
    return state


def _completed(state: Any, known: dict[str, Any]) -> Any:
    """Fill in what the environment's state leaves open."""
    if state is None:
        state = State()
    if not isinstance(state, State) or not known:
        return state
    given = state.model_fields_set
    return state.model_copy(update={n: v for n, v in known.items() if n not in given or getattr(state, n) is None})
