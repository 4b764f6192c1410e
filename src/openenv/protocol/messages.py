"""Every frame and body of wire version 1, as pydantic models.

Frames that carry an action or an observation are generic; unparametrised they carry plain dictionaries.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeVar

from openenv.models import Model, Reward, Settled
from openenv.outcomes import Cause, Status
from openenv.protocol.codes import HealthStatus

ActionT = TypeVar("ActionT", default=dict[str, Any])
ObservationT = TypeVar("ObservationT", default=dict[str, Any])
StateT = TypeVar("StateT", default=dict[str, Any])

# --- bodies shared by WebSocket and HTTP ---------------------------------------------------------


class ResetRequest(Model):
    """The body of a reset. Keys beside these two go to the environment's `reset` as keyword arguments."""

    model_config = ConfigDict(extra="allow")

    seed: int | None = Field(default=None, ge=0, description="Seed of the episode.")
    episode_id: str | None = Field(default=None, max_length=255, description="Id the episode shall have.")


class StepRequest(Model, Generic[ActionT]):
    """The body of `POST /step`. Further keys go to the environment's `step` as keyword arguments."""

    model_config = ConfigDict(extra="allow")

    action: ActionT
    timeout_s: float | None = Field(default=None, gt=0, description="Seconds the step may take.")
    request_id: str | None = Field(default=None, max_length=255, description="Echoed nowhere; for logs.")


class OutcomeData(Model):
    """How a step came out, as its environment told it; see `openenv.outcomes`.

    Attributes:
        status: `ok`, `terminated`, `truncated`, `policy_fault` or `infra_fault`.
        cause: One of the fixed list of causes.
        retryable: Doing the same again may come out differently.
        reward_valid: The reward is to be trained on.
    """

    status: Status
    cause: Cause = Cause.NONE
    retryable: bool = False
    reward_valid: bool = True


class ResultData(Model, Generic[ObservationT]):
    """What a reset or step answers. What says nothing beyond `done` and `reward` is left out.

    Attributes:
        observation: The environment's observation, without `reward` and `done`.
        reward: The reward; null when nothing graded the step.
        done: The episode is over, for whatever reason.
        terminated: It ended by the rules of the task; left out where `done` without `truncated` says so.
        truncated: It was cut off by a limit of the task.
        outcome: How it came out, where the environment says more than the fields above.
        info: Extras beside the observation; `warnings` lists what the server wants noticed.
        metadata: The observation's metadata, if it has any.
    """

    model_config = ConfigDict(extra="ignore")

    observation: ObservationT
    reward: Reward = None
    done: bool = False
    terminated: bool = False
    truncated: bool = False
    outcome: OutcomeData | None = None
    info: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class ResetResponse(ResultData[ObservationT], Generic[ObservationT]):
    """The answer to `POST /reset`."""


class StepResponse(ResultData[ObservationT], Generic[ObservationT]):
    """The answer to `POST /step`."""


class ErrorData(Model):
    """What an error says; some codes have further fields. The body of an HTTP error has the same, and `detail`.

    Attributes:
        message: What happened and what to do next.
        code: One of `WSErrorCode`.
        errors: For VALIDATION_ERROR: the fields at fault, as `{"loc", "msg", "type"}`.
        error_id: The id under which the server's log has the details.
        exception: Class name of the environment's exception.
        retry_after: Seconds after which to try again.
    """

    model_config = ConfigDict(extra="allow")

    message: str = "Unknown error"
    code: str = "UNKNOWN"
    errors: list[dict[str, Any]] | None = None
    error_id: str | None = None
    exception: str | None = None
    retry_after: float | None = None


# --- WebSocket frames, to the server ------------------------------------------------------------


class BaseMessage(Model):
    """What all frames share: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


class WSResetMessage(BaseMessage):
    """Start a new episode."""

    type: Literal["reset"] = "reset"
    data: ResetRequest = Field(default_factory=ResetRequest)


class WSStepMessage(BaseMessage, Generic[ActionT]):
    """Take a step; `data` is the action."""

    type: Literal["step"] = "step"
    data: ActionT


class WSStateMessage(BaseMessage):
    """Ask for the state."""

    type: Literal["state"] = "state"


class WSCloseMessage(BaseMessage):
    """End the session."""

    type: Literal["close"] = "close"


class WSMCPMessage(BaseMessage):
    """A JSON-RPC request of the Model Context Protocol."""

    type: Literal["mcp"] = "mcp"
    data: dict[str, Any]


WSIncomingMessage = Annotated[
    WSResetMessage | WSStepMessage | WSStateMessage | WSCloseMessage | WSMCPMessage,
    Field(discriminator="type"),
]

# --- WebSocket frames, to the client -------------------------------------------------------------


class WSObservationResponse(Model, Generic[ObservationT]):
    """The answer to a reset or a step."""

    type: Literal["observation"] = "observation"
    data: ResultData[ObservationT]


class WSStateResponse(Model, Generic[StateT]):
    """The answer to a state request."""

    type: Literal["state"] = "state"
    data: StateT


class WSErrorResponse(Model):
    """The answer to any request that was refused or failed."""

    type: Literal["error"] = "error"
    data: ErrorData = Field(default_factory=ErrorData)


class WSMCPResponse(Model):
    """A JSON-RPC answer."""

    type: Literal["mcp"] = "mcp"
    data: dict[str, Any]


# --- what a server says about itself ------------------------------------------------------------


class HealthResponse(BaseModel):
    """The answer to `GET /health`."""

    status: HealthStatus = HealthStatus.HEALTHY


class SchemaResponse(Settled, BaseModel):
    """The answer to `GET /schema`: JSON Schemas of the environment's types."""

    action: dict[str, Any]
    observation: dict[str, Any]
    state: dict[str, Any]
    reset_observation: dict[str, Any]


class ServerCapacityStatus(Settled, BaseModel):
    """The answer to `GET /capacity`."""

    active_sessions: int = Field(ge=0)
    max_sessions: int = Field(ge=1)
    waiting: int = Field(default=0, ge=0, description="Clients in the queue for a free session.")

    @property
    def available_slots(self) -> int:
        """How many more sessions can be opened now."""
        return max(0, self.max_sessions - self.active_sessions)

    @property
    def is_at_capacity(self) -> bool:
        """Whether opening a session would be refused now."""
        return self.available_slots == 0


class SessionInfo(BaseModel):
    """One session as `POST /sessions` and `GET /sessions/{id}` show it."""

    session_id: str
    phase: str
    episode_id: str | None = None
    step_count: int = 0
    created_at: float = Field(description="Unix time, seconds.")
    last_activity_at: float = Field(description="Unix time, seconds.")
    environment_type: str = ""


class SessionListing(BaseModel):
    """One session as `GET /sessions` shows it: to be told apart and looked at, not to be used."""

    session: str = Field(description="A name of it that gives no right to it: a digest of its id.")
    phase: str
    held: str = Field(description="`attached` to a connection, `detached` from one that was lost, or by `http`.")
    runs: str = Field(
        description="Where its environment runs: `inline`, `thread` or `process`; empty until it does."
    )
    environment_type: str = ""
    episode_id: str | None = None
    step_count: int = 0
    busy: bool = Field(description="A request is running or waiting.")
    age_s: float = Field(description="Seconds since it was opened.")
    idle_s: float = Field(description="Seconds since its last request or answer.")
    lease_left_s: float | None = Field(
        default=None, description="Seconds until it ends unless it is resumed; null while nothing was lost."
    )


class ConcurrencyConfig(BaseModel):
    """How many sessions a server holds.

    Attributes:
        max_concurrent_envs: Sessions at once.
        session_timeout: Seconds a session may stay without a request before it is closed; None for ever.
    """

    model_config = ConfigDict(extra="forbid")

    max_concurrent_envs: int = Field(default=1, ge=1)
    session_timeout: float | None = Field(default=None, gt=0)
