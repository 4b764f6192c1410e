"""What becomes of the pods of one start, as the cluster tells of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from openenv.errors import OpenEnvError
from openenv.providers.kubernetes.api import Api
from openenv.providers.kubernetes.pods import Pod

__all__ = ["PodWatch", "ReplicaLoss"]

AGAIN_S = 1.0


@dataclass(frozen=True)
class ReplicaLoss:
    """A server that ran and has ended by itself; the cluster starts another one in its place.

    Attributes:
        replica: Which of the replicas, from 0.
        reason: How it ended, in the cluster's words.
        noticed: Unix time in seconds.
    """

    replica: int
    reason: str
    noticed: float


class PodWatch:
    """Keeps the state of all pods of one start, and tells of those that are lost.

    Args:
        api: The cluster.
        namespace: Where the pods are.
        selector: What selects them.
        tell: Called with a sentence when a server is lost or there again, and when the cluster is.

    Attributes:
        pods: The pods by their index; may be read by any thread.
        losses: All servers that were lost so far.
    """

    def __init__(self, api: Api, namespace: str, selector: str, tell: Callable[[str], None]) -> None:
        self._api = api
        self._namespace = namespace
        self._selector = selector
        self._tell = tell
        self._lives: dict[int, tuple[str, int]] = {}
        self._changed = asyncio.Event()
        self.pods: dict[int, Pod] = {}
        self.losses: list[ReplicaLoss] = []

    async def run(self) -> None:
        """Watch until it is cancelled, whatever comes of the cluster or does not come."""
        lost = False
        while True:
            try:
                since = await self.look()
                if lost:
                    self._tell("The Kubernetes cluster answers again.")
                lost = False
                await self._follow(since)
            except Exception as error:  # nobody waits for this task, so it would end unseen
                if not lost:
                    said = error if isinstance(error, OpenEnvError) else repr(error)
                    self._tell(f"The pods cannot be watched for the moment: {said}")
                lost = True
            await asyncio.sleep(AGAIN_S)

    async def changed(self, timeout_s: float) -> None:
        """Wait until something has changed since the last call, or the time is over."""
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except TimeoutError:
            pass
        self._changed.clear()

    async def look(self) -> str:
        """Read the state of all pods and return the version of that.

        Raises:
            EngineUnavailableError: The cluster does not answer, or does not let us look.
        """
        listed = await self._api.list("pods", self._namespace, labelSelector=self._selector)
        pods = [Pod(body) for body in listed["items"]]
        for index in self.pods.keys() - {pod.index for pod in pods}:
            self._gone(self.pods[index])
        for pod in pods:
            self._seen(pod)
        version: str = listed["metadata"]["resourceVersion"]
        return version

    async def _follow(self, since: str) -> None:
        events = self._api.watch("pods", self._namespace, since=since, selector=self._selector)
        async for event, body in events:
            pod = Pod(body)
            if event == "DELETED":
                self._gone(pod)
            else:
                self._seen(pod)

    def _seen(self, pod: Pod) -> None:
        self.pods = {**self.pods, pod.index: pod}
        life = self._lives.get(pod.index)
        if life is not None and (pod.life != life or not pod.running):
            self._lost(pod)
        if pod.running and pod.index not in self._lives:
            self._lives[pod.index] = pod.life
            if any(loss.replica == pod.index for loss in self.losses):
                self._tell(f"Replica {pod.index} runs again, as {pod.name}.")
        self._changed.set()

    def _gone(self, pod: Pod) -> None:
        current = self.pods.get(pod.index)
        if current is not None and current.uid == pod.uid:
            self.pods = {index: each for index, each in self.pods.items() if index != pod.index}
            if pod.index in self._lives:
                self._lost(pod)
        self._changed.set()

    def _lost(self, pod: Pod) -> None:
        del self._lives[pod.index]
        loss = ReplicaLoss(pod.index, pod.how_it_ended, time.time())
        self.losses = [*self.losses, loss]
        self._tell(
            f"Replica {loss.replica} has ended ({loss.reason}). The cluster starts another in its place; the "
            "sessions that it held are lost."
        )
