"""What the state of a pod means for us: it runs, it still may, or it never will.

A cluster tries for ever. What it says while it tries is read here, so that a start fails with the reason and at
once, where trying cannot help.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openenv.errors import ImageNotFoundError, OutOfSpaceError, ProviderError, ProviderStartError

__all__ = ["Pod", "Trouble"]

NO_IMAGE = frozenset({"ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "ImageInspectError"})
NEVER_RUNS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"})
ENDS_AGAIN = "CrashLoopBackOff"
# The second restart already comes after a pause.
RESTARTS = 2


@dataclass(frozen=True)
class Trouble:
    """Why a pod does not run.

    Attributes:
        error: The class of the error to raise.
        message: What is wrong.
        final: Whether waiting cannot help.
        pod: Whose log tells more; empty if there is none.
    """

    error: type[ProviderError]
    message: str
    final: bool
    pod: str = ""


class Pod:
    """One pod as the cluster describes it.

    Args:
        body: The object of the API.

    Attributes:
        name: Its name, which its successor will have too.
        index: Which replica it is, from 0.
        uid: Which of several pods of this name it is.
        ip: Its address in the cluster; empty if it has none yet.
        node_ip: The address of its node; empty if it has none yet.
        leaving: Whether it is being deleted.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        metadata, status = body["metadata"], body.get("status") or {}
        self.name: str = metadata["name"]
        self.uid: str = metadata["uid"]
        self.index = int(self.name.rpartition("-")[2])
        self.leaving = bool(metadata.get("deletionTimestamp"))
        self.ip: str = status.get("podIP") or ""
        self.node_ip: str = status.get("hostIP") or ""
        self._phase: str = status.get("phase") or ""
        self._status: Mapping[str, Any] = status
        containers: list[Mapping[str, Any]] = status.get("containerStatuses") or [{}]
        container = containers[0]
        self._image: str = body["spec"]["containers"][0]["image"]
        self._state: Mapping[str, Any] = container.get("state") or {}
        self._last: Mapping[str, Any] = (container.get("lastState") or {}).get("terminated") or {}
        self.restarts = int(container.get("restartCount") or 0)

    @property
    def running(self) -> bool:
        """Whether its server runs; it need not be ready."""
        return self._phase == "Running" and "running" in self._state and not self.leaving

    @property
    def life(self) -> tuple[str, int]:
        """What changes when its server is started anew."""
        return self.uid, self.restarts

    @property
    def how_it_ended(self) -> str:
        """How its server ended last, or why the cluster ended the pod."""
        ended = self._state.get("terminated") or self._last
        reason = self._status.get("reason") or ended.get("reason") or ""
        message = self._status.get("message") or ""
        code = ended.get("exitCode")
        parts = [reason, "" if code is None else f"exit code {code}", message]
        return ", ".join(filter(None, parts)) or "it was deleted"

    def trouble(self) -> Trouble | None:
        """Return why it does not run; None if it does, or nothing is wrong so far."""
        waiting = self._state.get("waiting") or {}
        reason, message = waiting.get("reason") or "", waiting.get("message") or ""
        if reason in NO_IMAGE or (reason == "ErrImagePull" and _is_refused(message)):
            return Trouble(ImageNotFoundError, self._about_image(reason, message), final=True)
        if reason == "ErrImagePull":
            return Trouble(ImageNotFoundError, self._about_image(reason, message), final=False)
        ended = self._state.get("terminated") or {}
        if reason in NEVER_RUNS or ended.get("reason") in NEVER_RUNS:
            said = message or ended.get("message") or ""
            told = f"{self.name} cannot run its server: {said} ({reason or ended['reason']})"
            return Trouble(ProviderStartError, told, final=True, pod=self.name)
        # One that runs has come out of it; restarts are counted for as long as the pod is there.
        if reason == ENDS_AGAIN or (self.restarts >= RESTARTS and "running" not in self._state):
            told = f"The server of {self.name} ends again and again; last: {self.how_it_ended}."
            return Trouble(ProviderStartError, told, final=True, pod=self.name)
        if self._phase == "Failed":
            return Trouble(ProviderStartError, f"{self.name} has failed: {self.how_it_ended}.", final=False)
        return self._unscheduled()

    def _unscheduled(self) -> Trouble | None:
        for condition in self._status.get("conditions") or []:
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                message = condition.get("message") or "no node takes it"
                full = "Insufficient" in message or "Too many pods" in message
                told = f"No node has a place for {self.name}: {message}"
                return Trouble(OutOfSpaceError if full else ProviderStartError, told, final=False)
        return None

    def _about_image(self, reason: str, message: str) -> str:
        return (
            f"The nodes have no image {self._image!r} and cannot get it: {message or reason}. Push it to a "
            "registry they can pull from (image_pull_secrets lets them in), or load it on every node."
        )


def _is_refused(message: str) -> bool:
    """Whether a registry has answered that there is no such image, or not for us."""
    return bool(re.search(r"not found|denied|unauthorized|manifest unknown|does not exist", message, re.IGNORECASE))
