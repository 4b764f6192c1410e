"""The time budgets of a server's sessions, named apart so that an error can say which one ran out."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

Seconds = float | None

HANDSHAKE_S = 10.0
"""Seconds a connection has to say what it is for: for the head of a request, then for the `hello` of version 2."""


class Budgets(BaseModel):
    """Seconds for each thing a session does; None for no limit.

    Attributes:
        create: Constructing the environment.
        reset: One reset.
        step: One step. A request may ask for less by `timeout_s`, never for more.
        state: Reading the state.
        snapshot: What a snapshot, a restore or a fork asks of the environment.
        snapshot_lease: Kept without being used, for a snapshot.
        idle: Without a request, while a client is attached. A session that is busy is not idle.
        lifetime: From being opened to being ended, whatever it does.
        lease: Kept for a client whose connection is lost.
        unattached: Without a request, for a session over plain HTTP, whose user nobody sees leave.
        queue: Waiting for a free session before CAPACITY_REACHED.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    create: Seconds = Field(default=300.0, gt=0)
    reset: Seconds = Field(default=None, gt=0)
    step: Seconds = Field(default=None, gt=0)
    state: Seconds = Field(default=60.0, gt=0)
    snapshot: Seconds = Field(default=60.0, gt=0)
    snapshot_lease: float = Field(default=3600.0, gt=0)
    idle: Seconds = Field(default=None, gt=0)
    lifetime: Seconds = Field(default=None, gt=0)
    lease: float = Field(default=60.0, gt=0)
    unattached: float = Field(default=900.0, gt=0)
    queue: float = Field(default=0.0, ge=0)

    @property
    def set_state(self) -> Seconds:
        """That of a snapshot, as for all that has to do with one."""
        return self.snapshot

    @property
    def inquire(self) -> Seconds:
        """That of the state: whatever else is read of an environment."""
        return self.state

    @property
    def reseed(self) -> Seconds:
        """Likewise."""
        return self.snapshot

    def of(self, verb: str) -> Seconds:
        """Return the budget of `create`, `reset`, `step` or `state`."""
        seconds: Seconds = getattr(self, verb)
        return seconds
