"""The tasks of a service: which one is each replica at the moment, where it is reached, and how others have ended.

A swarm replaces a task that has ended by another one, with another port and possibly on another node. So a replica
is a slot, and its address is that of whichever task fills it now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from openenv.errors import ImageNotFoundError, OutOfSpaceError, PortTakenError, ProviderStartError

__all__ = ["ENDED", "ReplicaLoss", "Task", "by_slot", "refusal", "tasks_of"]

RUNNING = "running"
ENDED = frozenset({"complete", "failed", "shutdown", "rejected", "orphaned", "remove"})

# A part of what the swarm says (in lower case), the error it stands for, and what helps.
_MEANINGS: tuple[tuple[str, type[ProviderStartError], str], ...] = (
    (
        "no such image",
        ImageNotFoundError,
        "A node lacks the image and cannot get it; push it where all nodes can: `openenv build --push REGISTRY`.",
    ),
    (
        "insufficient resources",
        OutOfSpaceError,
        "No node has as much left as is reserved. Reserve less, or stop something else.",
    ),
    ("port already in use", PortTakenError, "Leave port out to get a free one."),
    ("no space left", OutOfSpaceError, "Free some on that node: `docker system df`, `docker image prune`."),
    ("no suitable node", ProviderStartError, "Correct constraints, or label a node: `docker node update`."),
)


@dataclass(frozen=True)
class ReplicaLoss:
    """A server that ran and has ended by itself; the swarm starts another one in its place.

    Attributes:
        replica: Which of the replicas, from 0.
        reason: How it ended, in the swarm's words.
        noticed: Unix time in seconds.
    """

    replica: int
    reason: str
    noticed: float


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        id: What the swarm calls it.
        slot: Which replica it is, from 1.
        state: Such as `running`.
        wanted: The state that the swarm wants it to be in.
        said: What the swarm says of it, if anything is wrong.
        node: The id of its node; empty while it has none.
        port: The port of the node that leads to it; None if there is none (yet).
        created: When it was made, as sortable text.
    """

    id: str
    slot: int
    state: str
    wanted: str
    said: str
    node: str
    port: int | None
    created: str

    @property
    def runs(self) -> bool:
        """Whether it is there to stay, as far as is known."""
        return self.state == RUNNING and self.wanted == RUNNING

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state in ENDED


def tasks_of(answer: Iterable[Mapping[str, Any]], service: str) -> list[Task]:
    """Return the tasks of a service, the oldest first, out of what the API tells of all tasks."""
    found = [_task(one) for one in answer if one.get("ServiceID") == service]
    return sorted(found, key=lambda task: task.created)


def by_slot(tasks: Iterable[Task]) -> dict[int, Task]:
    """Return what fills each slot: the task that runs, else the last that was made."""
    slots: dict[int, Task] = {}
    for task in tasks:
        if task.slot not in slots or not slots[task.slot].runs or task.runs:
            slots[task.slot] = task
    return slots


def refusal(said: str) -> tuple[type[ProviderStartError], str]:
    """Return the error that the swarm's words stand for, and what helps."""
    lower = said.lower()
    for words, kind, advice in _MEANINGS:
        if words in lower:
            return kind, advice
    return ProviderStartError, "`docker service ps` shows all tasks."


def _task(one: Mapping[str, Any]) -> Task:
    status = one.get("Status") or {}
    ports = (status.get("PortStatus") or {}).get("Ports") or ()
    code = (status.get("ContainerStatus") or {}).get("ExitCode")
    said = str(status.get("Err") or "")
    if not said and code:
        said = f"exit code {code}"
    return Task(
        id=str(one["ID"]),
        slot=int(one.get("Slot") or 0),
        state=str(status.get("State") or "new"),
        wanted=str(one.get("DesiredState") or ""),
        said=said,
        node=str(one.get("NodeID") or ""),
        port=next((int(port["PublishedPort"]) for port in ports if port.get("PublishedPort")), None),
        created=str(one.get("CreatedAt") or ""),
    )
