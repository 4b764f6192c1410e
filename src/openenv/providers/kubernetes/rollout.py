"""One start: everything that is created for it, its addresses, and its end.

Everything hangs on the anchor. It is created first, all the rest names it as its owner, so whatever comes up after
the anchor was deleted is deleted too, and to end everything is to delete one thing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from openenv.errors import NameTakenError, OutOfSpaceError, ProviderError, ProviderStartError
from openenv.providers.kubernetes import manifests
from openenv.providers.kubernetes.api import Api, ForbiddenError, Object
from openenv.providers.kubernetes.forward import Forward
from openenv.providers.kubernetes.logs import merged_log
from openenv.providers.kubernetes.manifests import PodOptions
from openenv.providers.kubernetes.pods import Pod, Trouble
from openenv.providers.kubernetes.watch import PodWatch
from openenv.providers.ownership import Ownership

__all__ = ["Plan", "Rollout", "TroubleError", "delete_all"]

LOOK_S = 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0
# Beyond the servers' own grace: for the kubelet and the garbage collector of a busy cluster.
DELETE_S = 120.0
DELETE_EACH_S = 2.0
LOG_S = 5.0
LINES_KEPT = 200
SERVICE_TYPES = {"cluster-ip": "ClusterIP", "node-port": "NodePort"}


class TroubleError(Exception):
    """A start that failed, before it is told with the log.

    Attributes:
        trouble: What is wrong.
    """

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble


@dataclass(frozen=True)
class Plan:
    """What is to be started.

    Attributes:
        namespace: Where.
        ownership: Whose it is.
        options: What the pods are like.
        replicas: How many.
        access: How they are reached: `cluster-ip`, `node-port`, `pod-ip` or `port-forward`.
        lifetime_s: Seconds until the cluster ends it all.
        create_timeout_s: Seconds until all pods must run.
        network_policy: Whether to create one.
        local_port: For a single replica and `port-forward`: the port of this machine.
    """

    namespace: str
    ownership: Ownership
    options: PodOptions
    replicas: int
    access: str
    lifetime_s: float | None
    create_timeout_s: float
    network_policy: bool
    local_port: int


class Rollout:
    """Creates what a plan says and ends it. Its coroutines belong to the cluster's event loop.

    Args:
        api: The cluster.
        plan: What is to be started.
        tell: Called with a sentence when something happens that nobody has asked for.
    """

    def __init__(self, api: Api, plan: Plan, tell: Callable[[str], None]) -> None:
        self._api = api
        self._plan = plan
        self._name = plan.ownership.name
        self._creating: asyncio.Task[list[Object]] | None = None
        self._is_refused = False
        self._watching: asyncio.Task[None] | None = None
        self._forwards: list[Forward] = []
        self.watch = PodWatch(api, plan.namespace, manifests.selector(self._name), tell)

    async def begin(self) -> list[str]:
        """Create everything, wait until all pods run, and return the base URLs.

        Raises:
            TroubleError: The pods do not run.
            ProviderStartError: The cluster refuses.
        """
        await self._api.version()
        # Its end is waited for even if this is cancelled: what is being created could not be deleted.
        self._creating = asyncio.create_task(self._create())
        services = await asyncio.shield(self._creating)
        await self.watch.look()  # here, a permission that is missing ends the start
        self._watching = asyncio.create_task(self.watch.run())
        await self._until_running()
        return await self._addresses(services)

    async def end(self) -> str:
        """Delete everything, wait until it is gone, and return the last lines of the log.

        Raises:
            ProviderError: It is not gone, or cannot be asked for.
        """
        for forward in self._forwards:
            await forward.close()
        if self._creating is None:
            return ""
        await asyncio.wait([self._creating])
        if self._is_refused:  # what has this name, if anything has, is not ours
            return ""
        log = ""
        with contextlib.suppress(ProviderError, TimeoutError):
            log = await asyncio.wait_for(self.log(LINES_KEPT), LOG_S)
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        plan = self._plan
        budget = plan.options.stop_grace_s + DELETE_S + DELETE_EACH_S * plan.replicas
        await delete_all(self._api, plan.namespace, self._name, budget)
        return log

    def trouble(self) -> Trouble | None:
        """Return what is wrong with a pod, first what cannot get better; None if all is well."""
        found = [trouble for pod in self.watch.pods.values() if (trouble := pod.trouble())]
        return min(found, key=lambda trouble: not trouble.final, default=None)

    def current(self, urls: list[str]) -> list[str]:
        """Return the base URLs as they are now; only those of `pod-ip` change."""
        if self._plan.access != "pod-ip":
            return list(urls)
        port, pods = self._plan.options.container_port, self.watch.pods
        now = {index: _url(pod.ip, port) for index, pod in pods.items() if pod.ip}
        return [now.get(index, url) for index, url in enumerate(urls)]

    async def log(self, lines: int, pod: str = "") -> str:
        """Return the last lines of a pod, or of all of them in the order of time."""
        names = [pod] if pod else [f"{self._name}-{index}" for index in sorted(self.watch.pods)]
        return await merged_log(self._api, self._plan.namespace, names, lines)

    # --- creating --------------------------------------------------------------------------------

    async def _create(self) -> list[Object]:
        plan, create = self._plan, self._api.create
        try:
            job = await create("jobs", plan.namespace, manifests.anchor(plan.ownership, plan.lifetime_s))
        except (NameTakenError, ForbiddenError):
            # Nothing else says for certain that there is no anchor of ours: the answer to a first request may have
            # been lost, and a second one is refused for a quota that the first has used up.
            self._is_refused = True
            raise
        of = (plan.ownership, job, plan.options)
        if plan.network_policy:  # before there is anything it applies to
            await create("networkpolicies", plan.namespace, manifests.network_policy(*of))
        kind = SERVICE_TYPES.get(plan.access)
        indexes = range(plan.replicas) if kind else ()
        services = (
            create("services", plan.namespace, manifests.service(*of, index, kind or "")) for index in indexes
        )
        servers = create("statefulsets", plan.namespace, manifests.stateful_set(*of, plan.replicas))
        # All are waited for, also when one fails: none may be created after everything has been deleted.
        results = await asyncio.gather(servers, *services, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results[1:] if isinstance(result, dict)]

    async def _until_running(self) -> None:
        plan = self._plan
        clock = asyncio.get_running_loop()
        end = clock.time() + plan.create_timeout_s
        timed = False
        while True:
            trouble = self.trouble()
            running = sum(pod.running for pod in self.watch.pods.values())
            if running == plan.replicas and (timed := timed or await self._is_timed()):
                return
            if len(self.watch.pods) < plan.replicas or running == plan.replicas:
                trouble = await self._refused() or trouble
            if trouble is not None and trouble.final:
                raise TroubleError(trouble)
            if (left := end - clock.time()) <= 0:
                raise TroubleError(trouble or self._late(running))
            await self.watch.changed(min(left, LOOK_S))

    async def _is_timed(self) -> bool:
        """Return whether the anchor's time counts, which it does from the moment its pod is there."""
        job = await self._api.get("jobs", self._plan.namespace, self._name)
        return bool(((job or {}).get("status") or {}).get("startTime"))

    async def _refused(self) -> Trouble | None:
        """Return why the cluster creates no pods: a quota, or a policy of the namespace."""
        for kind in ("StatefulSet", "Job"):
            about = f"involvedObject.kind={kind},involvedObject.name={self._name},reason=FailedCreate"
            events = (await self._api.list("events", self._plan.namespace, fieldSelector=about))["items"]
            for event in events:
                message = event.get("message") or ""
                if "exceeded quota" in message or "failed quota" in message:
                    return Trouble(OutOfSpaceError, f"A quota of the namespace is used up: {message}", final=True)
                if "forbidden" in message:
                    return Trouble(ProviderStartError, f"The cluster admits no such pods: {message}", final=True)
                return Trouble(ProviderStartError, f"The cluster creates no pods: {message}", final=False)
        return None

    def _late(self, running: int) -> Trouble:
        plan = self._plan
        message = (
            f"{running} of {plan.replicas} pods run after the create budget of {plan.create_timeout_s:g} s. If "
            "nodes or images take longer, set create_timeout_s of the provider."
        )
        return Trouble(ProviderStartError, message, final=True)

    # --- addresses -------------------------------------------------------------------------------

    async def _addresses(self, services: list[Object]) -> list[str]:
        plan, port = self._plan, self._plan.options.container_port
        pods = [self.watch.pods[index] for index in range(plan.replicas)]
        match plan.access:
            case "port-forward":
                return [await self._forward(pod) for pod in pods]
            case "pod-ip":
                return [_url(pod.ip, port) for pod in pods]
            case "cluster-ip":
                return [_url(service["spec"]["clusterIP"], port) for service in services]
            case _:
                ports = [service["spec"]["ports"][0]["nodePort"] for service in services]
                return [_url(pod.node_ip, number) for pod, number in zip(pods, ports, strict=True)]

    async def _forward(self, pod: Pod) -> str:
        plan = self._plan
        forward = Forward(self._api.access, plan.namespace, pod.name, plan.options.container_port)
        self._forwards.append(forward)
        return await forward.listen(plan.local_port)


async def delete_all(api: Api, namespace: str, name: str, timeout_s: float) -> None:
    """Delete an anchor and wait until it is gone, which it is after all that it owns.

    Raises:
        ProviderError: It is still there when the time is over, or the cluster refuses.
    """
    clock = asyncio.get_running_loop()
    end = clock.time() + timeout_s
    pause = FIRST_PAUSE_S
    await api.delete("jobs", namespace, name)
    while await api.get("jobs", namespace, name) is not None:
        if clock.time() >= end:
            raise ProviderError(
                f"Pods of {name} in the namespace {namespace!r} are still there after {timeout_s:g} s; "
                f"their node may be down. See `kubectl get pods -l openenv.name={name}` and call stop() again."
            )
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE_S)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
