"""Every exception of the project, one class for each boundary that can fail.

```
OpenEnvError
├── ConfigurationError (ValueError)           the program is wired wrongly; fix the code
│   └── ConcurrencyConfigurationError
├── RequestError (RuntimeError)               a request was refused or failed
│   ├── InvalidRequestError                   INVALID_JSON, UNKNOWN_TYPE, VALIDATION_ERROR
│   ├── MessageTooLargeError                  MESSAGE_TOO_LARGE
│   ├── NotResetError                         NOT_RESET
│   ├── EpisodeEndedError                     EPISODE_ENDED
│   ├── ExecutionError                        EXECUTION_ERROR
│   │   └── EnvironmentDiedError              ENVIRONMENT_DIED
│   ├── BudgetExceededError (TimeoutError)    BUDGET_EXCEEDED
│   ├── RequestCancelledError                 CANCELLED
│   ├── SequenceError                         SEQUENCE_ERROR
│   ├── UnsupportedVersionError               UNSUPPORTED_VERSION
│   ├── InvalidReplyError                     INVALID_REPLY
│   ├── ToolCallError                         TOOL_CALL_FAILED
│   ├── ToolsOnlyError                        TOOLS_ONLY
│   ├── SnapshotUnsupportedError              SNAPSHOT_UNSUPPORTED
│   ├── SnapshotNotFoundError                 SNAPSHOT_NOT_FOUND
│   ├── SnapshotLimitError                    SNAPSHOT_LIMIT
│   ├── SerializationError (ValueError)       SERIALIZATION_ERROR
│   └── SessionError                          SESSION_ERROR
│       ├── SessionCapacityError              CAPACITY_REACHED
│       ├── SessionNotFoundError              SESSION_NOT_FOUND
│       ├── SessionLost (ConnectionError)     SESSION_LOST
│       └── SessionCreationError              SESSION_ERROR
│           └── EnvironmentFactoryError       FACTORY_ERROR
├── ConnectionFailedError (ConnectionError)   no server could be reached
├── EndpointError (RuntimeError)              a model's endpoint gave no answer that can be used
├── WorkspaceLostError (RuntimeError)         where an agent's programs run has ended
└── ProviderError (RuntimeError)              an environment could not be started or stopped
    ├── ProviderStartError
    │   ├── EngineUnavailableError (ConnectionError)  no engine, or it is down, or it refuses us
    │   ├── ImageNotFoundError
    │   ├── IsolationError                    what should hold the server in cannot be had here
    │   ├── NameTakenError
    │   ├── OutOfSpaceError
    │   └── PortTakenError
    ├── ProviderNotReadyError (TimeoutError)
    ├── ImageBuildError
    ├── LeaseTimeoutError (TimeoutError)      no warm environment came free in time
    ├── ReplicaLostError                      a server that ran has ended by itself
    └── SnapshotError                         a state could not be kept, found or brought back
```

A `RequestError` is the same class on both sides of the wire: the server raises it, its `code` travels,
and the client raises the class that the code stands for. Classes that also derive from a built-in keep
`except RuntimeError`, `except ConnectionError` and `except TimeoutError` of existing programs working.
"""

from __future__ import annotations

from typing import Any, ClassVar

from openenv.outcomes import Cause, Outcome, Status


class OpenEnvError(Exception):
    """Base of everything this project raises.

    Attributes:
        code: A stable upper-case name for programs to test.
        message: What happened and what to do next, for people.
    """

    code: str = "OPENENV_ERROR"

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message


class ConfigurationError(OpenEnvError, ValueError):
    """The program is wired wrongly: a wrong argument, an unusable class, a missing extra."""

    code = "CONFIGURATION_ERROR"


class ConcurrencyConfigurationError(ConfigurationError):
    """More sessions were asked for than the environment class can serve."""

    code = "CONCURRENCY_CONFIGURATION"


class RequestError(OpenEnvError, RuntimeError):
    """A request to an environment was refused or failed.

    Attributes:
        errors: For validation failures, a list of `{"loc", "msg", "type"}`; else None.
        error_id: The id under which the server logged the details, if it did.
        exception: The class name of the environment's own exception, if there was one.
        retry_after: Seconds after which trying again makes sense, if known.
        received: It was read from an error frame; False if it was raised on this side.
    """

    code = "REQUEST_ERROR"
    received = False
    cause: ClassVar[Cause] = Cause.PROTOCOL
    retryable: ClassVar[bool] = True
    blames_policy: ClassVar[bool] = False
    wire_fields: ClassVar[tuple[str, ...]] = ("errors", "error_id", "exception", "retry_after")
    by_code: ClassVar[dict[str, type[RequestError]]] = {}

    def __init__(
        self,
        message: str = "",
        *,
        code: str | None = None,
        errors: list[dict[str, Any]] | None = None,
        error_id: str | None = None,
        exception: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.errors = errors
        self.error_id = error_id
        self.exception = exception
        self.retry_after = retry_after

    def __str__(self) -> str:
        suffix = f", error id {self.error_id}" if self.error_id else ""
        return f"{self.message} (code: {self.code}{suffix})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.to_wire(), self.received)

    @property
    def outcome(self) -> Outcome:
        """What the failed request means to a trainer: whose fault it is, and that there is no reward."""
        status = Status.POLICY_FAULT if self.blames_policy else Status.INFRA_FAULT
        return Outcome(status, self.cause, self.retryable, reward_valid=False)

    def to_wire(self) -> dict[str, Any]:
        """Return the `data` of an error frame: `message`, `code` and whatever else is known."""
        wire: dict[str, Any] = {"message": self.message, "code": self.code}
        for name in self.wire_fields:
            value = getattr(self, name)
            if value is not None:
                wire[name] = value
        return wire

    @staticmethod
    def from_wire(data: Any) -> RequestError:
        """Return the exception that the `data` of an error frame stands for.

        Unknown codes become a plain `RequestError`; a reply that is not understood never raises here.
        """
        if not isinstance(data, dict):
            return RequestError(f"The server answered with an error that is not an object: {data!r:.200}")
        return _rebuild(RequestError.by_code.get(str(data.get("code")), RequestError), data, received=True)


def _rebuild(cls: type[RequestError], data: dict[str, Any], received: bool) -> RequestError:
    known = {name: data.get(name) for name in cls.wire_fields}
    error = cls(str(data.get("message", "")), code=str(data.get("code", cls.code)), **known)
    error.received = received
    return error


def _carries(*codes: str) -> Any:
    """Register a class as what these wire codes stand for; the first is its default."""

    def register(cls: type[RequestError]) -> type[RequestError]:
        cls.code = codes[0]
        for code in codes:
            RequestError.by_code[code] = cls
        return cls

    return register


@_carries("VALIDATION_ERROR", "INVALID_JSON", "UNKNOWN_TYPE")
class InvalidRequestError(RequestError):
    """The message was not understood or its fields are wrong; nothing was executed."""

    cause = Cause.INVALID_ACTION
    retryable = False
    blames_policy = True

    @property
    def outcome(self) -> Outcome:
        """The policy's fault if the fields are wrong; what is no message at all, the client program has made."""
        if self.code in ("INVALID_JSON", "UNKNOWN_TYPE"):
            return Outcome.infra_fault(Cause.PROTOCOL, retryable=False)
        return super().outcome


@_carries("MESSAGE_TOO_LARGE")
class MessageTooLargeError(RequestError):
    """A message is over the size limit that both ends agreed on."""

    cause = Cause.SERIALIZATION
    retryable = False


@_carries("NOT_RESET")
class NotResetError(RequestError):
    """A step was asked for before the first reset of the session."""

    cause = Cause.OUT_OF_TURN


@_carries("EPISODE_ENDED")
class EpisodeEndedError(RequestError):
    """A step was asked for after the episode had ended; reset first."""

    cause = Cause.OUT_OF_TURN


@_carries("EXECUTION_ERROR")
class ExecutionError(RequestError):
    """The environment's own code raised; `exception` and the message say what."""

    cause = Cause.ENVIRONMENT_ERROR


@_carries("ENVIRONMENT_DIED")
class EnvironmentDiedError(ExecutionError):
    """The environment's process ended; the message has its exit code and the last lines it wrote."""

    cause = Cause.ENVIRONMENT_DIED


@_carries("BUDGET_EXCEEDED")
class BudgetExceededError(RequestError, TimeoutError):
    """A named time budget ran out; the message names it and how to change it.

    Attributes:
        budget: Which one: `create`, `reset`, `step` or `state` of the server, `connect` or `message` of the client.
        seconds: How long it was.
    """

    cause = Cause.BUDGET
    wire_fields = (*RequestError.wire_fields, "budget", "seconds")

    def __init__(self, message: str = "", *, budget: str = "", seconds: float | None = None, **known: Any) -> None:
        super().__init__(message, **known)
        self.budget = budget
        self.seconds = seconds


@_carries("CANCELLED")
class RequestCancelledError(RequestError):
    """The caller cancelled the request while it was under way."""

    cause = Cause.CANCELLED


@_carries("SEQUENCE_ERROR")
class SequenceError(RequestError):
    """A state-changing request came out of its order; nothing was executed."""

    cause = Cause.OUT_OF_TURN
    retryable = False


@_carries("UNSUPPORTED_VERSION")
class UnsupportedVersionError(RequestError):
    """The other side does not speak this version of the protocol."""

    retryable = False


@_carries("SERIALIZATION_ERROR")
class SerializationError(RequestError, ValueError):
    """A value has no JSON form: NaN, infinity, or an object of a foreign class."""

    cause = Cause.SERIALIZATION
    retryable = False


@_carries("INVALID_REPLY")
class InvalidReplyError(RequestError):
    """The server's answer is not what this client's types say; the two are of different versions."""


class ToolCallError(RequestError):
    """A tool says that its call has failed. The call was a step all the same, with its reward.

    Attributes:
        tool_name: Which tool.
        error_type: Why, as in `ToolErrorType`: `tool_not_found`, `invalid_args`, `execution_error` or another.
        result: The result of the step.
    """

    code = "TOOL_CALL_FAILED"
    wire_fields = (*RequestError.wire_fields, "tool_name", "error_type")

    def __init__(
        self, message: str = "", *, tool_name: str = "", error_type: str = "", result: Any = None, **known: Any
    ) -> None:
        super().__init__(message, **known)
        self.tool_name = tool_name
        self.error_type = error_type
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return (*super().__reduce__(), {"result": self.result})

    @property
    def outcome(self) -> Outcome:
        """The outcome of the step."""
        return super().outcome if self.result is None else self.result.outcome


class ToolsOnlyError(RequestError):
    """In production mode there are only tools: `reset`, `step` and `state` belong to training."""

    code = "TOOLS_ONLY"
    retryable = False


@_carries("SNAPSHOT_UNSUPPORTED")
class SnapshotUnsupportedError(RequestError):
    """The state of this episode can not be kept or forked; the message says why, and what to do about it."""

    retryable = False


@_carries("SNAPSHOT_NOT_FOUND")
class SnapshotNotFoundError(RequestError):
    """There is no snapshot of this id: it was dropped, has expired, ended with its session, or is elsewhere."""

    cause = Cause.SESSION_LOST
    retryable = False


@_carries("SNAPSHOT_LIMIT")
class SnapshotLimitError(RequestError):
    """The server keeps as many snapshots as it may, or as many bytes of them."""

    cause = Cause.CAPACITY


@_carries("SESSION_ERROR")
class SessionError(RequestError):
    """A session could not be made, found or kept."""

    cause = Cause.SESSION_LOST


@_carries("CAPACITY_REACHED")
class SessionCapacityError(SessionError):
    """Every session slot of the server is taken.

    Attributes:
        active_sessions: How many there are.
        max_sessions: How many there may be.
    """

    cause = Cause.CAPACITY
    wire_fields = (*SessionError.wire_fields, "active_sessions", "max_sessions")

    def __init__(
        self,
        message: str = "",
        *,
        active_sessions: int | None = None,
        max_sessions: int | None = None,
        **known: Any,
    ) -> None:
        super().__init__(message, **known)
        self.active_sessions = active_sessions
        self.max_sessions = max_sessions


@_carries("SESSION_NOT_FOUND")
class SessionNotFoundError(SessionError):
    """No session has this id; it may have been closed or may have expired."""


@_carries("SESSION_LOST")
class SessionLost(SessionError, ConnectionError):
    """The session is gone and its episode with it; `reset()` starts a new one."""


class SessionCreationError(SessionError):
    """A session could not be made."""

    cause = Cause.CREATE_FAILED


@_carries("FACTORY_ERROR")
class EnvironmentFactoryError(SessionCreationError):
    """The environment's constructor or factory raised."""


class ConnectionFailedError(OpenEnvError, ConnectionError):
    """No server could be reached at the address."""

    code = "CONNECTION_FAILED"


class EndpointError(OpenEnvError, RuntimeError):
    """A model's endpoint gave no answer that can be used.

    Attributes:
        code: `ENDPOINT_DOWN`, `ENDPOINT_SLOW`, `ENDPOINT_BUSY` (a rate limit), `ENDPOINT_FAILED` (its own error),
            `ENDPOINT_NONSENSE` (no completion), `ENDPOINT_REFUSED` (a key, a name or a request it does not take) or
            `CONTEXT_FULL` (the conversation is longer than the model can read).
        status: HTTP status, if there was one.
        retry_after: Seconds after which trying again makes sense, if the endpoint says so.
    """

    code = "ENDPOINT_REFUSED"

    def __init__(
        self,
        message: str = "",
        *,
        code: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.status = status
        self.retry_after = retry_after

    @property
    def retryable(self) -> bool:
        """Whether the same request may be answered later."""
        return self.code not in ("ENDPOINT_REFUSED", "CONTEXT_FULL")


class WorkspaceLostError(OpenEnvError, RuntimeError):
    """The place where an agent's programs run has ended by itself, or could not do what was asked."""

    code = "WORKSPACE_LOST"


class ProviderError(OpenEnvError, RuntimeError):
    """A provider could not do what was asked.

    Attributes:
        log_tail: The last lines the server wrote, secrets removed; empty if it wrote none.
    """

    code = "PROVIDER_ERROR"

    def __init__(self, message: str = "", *, log_tail: str = "") -> None:
        super().__init__(f"{message}\n--- last lines of its log ---\n{log_tail}" if log_tail else message)
        self.log_tail = log_tail


class ProviderStartError(ProviderError):
    """The server could not be started, or ended before it was ready."""

    code = "PROVIDER_START_FAILED"


class EngineUnavailableError(ProviderStartError, ConnectionError):
    """There is no engine, it does not answer, or it does not let us in."""

    code = "ENGINE_UNAVAILABLE"


class ImageBuildError(ProviderError):
    """An image could not be built, named or pushed."""

    code = "IMAGE_BUILD_FAILED"


class ImageNotFoundError(ProviderStartError):
    """The engine has no such image, and cannot get it."""

    code = "IMAGE_NOT_FOUND"


class IsolationError(ProviderStartError):
    """What should hold the server in is not to be had on this machine."""

    code = "ISOLATION_UNAVAILABLE"


class NameTakenError(ProviderStartError):
    """Something else has the name already."""

    code = "NAME_TAKEN"


class OutOfSpaceError(ProviderStartError):
    """The engine has no room left: disk, memory, or what a quota allows."""

    code = "OUT_OF_SPACE"


class PortTakenError(ProviderStartError):
    """Something else listens on the port."""

    code = "PORT_TAKEN"


class ProviderNotReadyError(ProviderError, TimeoutError):
    """The server runs but did not become ready within its budget."""

    code = "PROVIDER_NOT_READY"


class LeaseTimeoutError(ProviderError, TimeoutError):
    """A pool had no warm environment within the lease budget."""

    code = "LEASE_TIMEOUT"


class ReplicaLostError(ProviderError):
    """A server that ran has ended by itself."""

    code = "REPLICA_LOST"


class SnapshotError(ProviderError):
    """A state could not be kept, found or brought back."""

    code = "SNAPSHOT_FAILED"
