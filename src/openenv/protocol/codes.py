"""Stable names on the wire: error codes, server modes, health."""

from __future__ import annotations

from enum import StrEnum


class WSErrorCode(StrEnum):
    """What the `code` of an error says. The session goes on unless noted."""

    INVALID_JSON = "INVALID_JSON"
    """The frame is not JSON text."""
    UNKNOWN_TYPE = "UNKNOWN_TYPE"
    """The frame's `type` is missing or not one of the protocol's."""
    VALIDATION_ERROR = "VALIDATION_ERROR"
    """A field is missing, unknown or of the wrong type; `errors` lists them. Nothing was executed."""
    EXECUTION_ERROR = "EXECUTION_ERROR"
    """The environment raised; `exception` is the class of what it raised."""
    ENVIRONMENT_DIED = "ENVIRONMENT_DIED"
    """The environment's process ended; `reset` makes a new one."""
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    """A budget ran out; `budget` says which. After that of a reset or step, `reset` makes a new environment."""
    CANCELLED = "CANCELLED"
    """The request was cancelled by its sender (version 2)."""
    SEQUENCE_ERROR = "SEQUENCE_ERROR"
    """A state-changing request out of its order (version 2). Nothing was executed."""
    UNSUPPORTED_VERSION = "UNSUPPORTED_VERSION"
    """A protocol version that is not spoken here."""
    SESSION_LOST = "SESSION_LOST"
    """The session is over, and why."""
    NOT_RESET = "NOT_RESET"
    """A step before the first reset."""
    EPISODE_ENDED = "EPISODE_ENDED"
    """A step after `done`."""
    SERIALIZATION_ERROR = "SERIALIZATION_ERROR"
    """The environment's answer has no JSON form. The step itself was executed."""
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    """A message over the size limit. A frame over it closes the socket with code 1009."""
    CAPACITY_REACHED = "CAPACITY_REACHED"
    """No free session; the socket is closed."""
    FACTORY_ERROR = "FACTORY_ERROR"
    """The environment could not be constructed; the socket is closed."""
    SESSION_ERROR = "SESSION_ERROR"
    """The session cannot be used; the socket is closed."""
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    """No session has this id."""
    SNAPSHOT_UNSUPPORTED = "SNAPSHOT_UNSUPPORTED"
    """The episode's state can not be kept or forked (version 2). Nothing was executed."""
    SNAPSHOT_NOT_FOUND = "SNAPSHOT_NOT_FOUND"
    """No snapshot has this id (version 2). Nothing was executed."""
    SNAPSHOT_LIMIT = "SNAPSHOT_LIMIT"
    """No room for another snapshot (version 2). Nothing was executed."""


class ServerMode(StrEnum):
    """Who a server is for."""

    SIMULATION = "simulation"
    """Training: `reset`, `step` and `state` are served."""
    PRODUCTION = "production"
    """An agent at work: only tools are served."""


class HealthStatus(StrEnum):
    """What `/health` answers."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DEGRADED = "degraded"
