"""`KubernetesProvider`: replicas of an environment's server as hardened pods, one address for each.

Its shape follows from one demand: whatever happens to this program, nothing may be left. So the cluster itself owns
the end, by an anchor that deletes itself with all it owns (`manifests.anchor`), and this provider only ever
deletes that anchor.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from openenv.errors import ConfigurationError, ProviderError
from openenv.providers.kubernetes.access import in_a_cluster
from openenv.providers.kubernetes.api import Api, ForbiddenError, Object
from openenv.providers.kubernetes.cluster import Cluster
from openenv.providers.kubernetes.manifests import PodOptions
from openenv.providers.kubernetes.rollout import Plan, Rollout, TroubleError, delete_all
from openenv.providers.kubernetes.watch import ReplicaLoss
from openenv.providers.ownership import OwnedResource, Ownership
from openenv.providers.redaction import redact
from openenv.providers.source import Source
from openenv.providers.spellings import ContainerProvider

__all__ = ["KubernetesProvider"]

_logger = logging.getLogger(__name__)

Access = Literal["auto", "cluster-ip", "node-port", "pod-ip", "port-forward"]
ACCESS = ("auto", "cluster-ip", "node-port", "pod-ip", "port-forward")
DEFAULT_LIMITS = {"cpu": "1", "memory": "1Gi"}
REMOVE_S = 120.0


class KubernetesProvider(ContainerProvider):
    """Runs replicas of an environment's server in a Kubernetes cluster, and gives an address for each.

    ```python
    provider = KubernetesProvider(
        namespace="rl-training",
        image="ghcr.io/myorg/coding-env:latest",
        resource_limits={"cpu": "2", "memory": "4Gi"},
        replicas=64,
    )
    async with CodingEnv.with_provider(provider) as envs:
        observations = await asyncio.gather(*[env.reset() for env in envs])
    ```

    The pods run as an unprivileged user without capabilities, with a read-only root, no token of the cluster
    and no way out by the network; each of these can be loosened by name. A server that ends is replaced by the
    cluster under the same address; it is logged and listed in `losses`. docs/providers/kubernetes.md tells what
    rights in the cluster this needs and what the replicas cost.

    Args:
        namespace: Where to make everything; None takes that of the kubeconfig's context, or of the pod.
        image: The image of the server; None takes the one the client class stands for.
        resource_limits: What a pod may use, such as `{"cpu": "2", "memory": "4Gi"}`; a limit on memory covers
            `/tmp`, too. None takes 1 CPU and 1Gi.
        replicas: How many servers.
        env_vars: Environment variables of the servers. They can be read by whoever may read pods; for secrets
            see `env_from`.
        env_from: Names of Secrets of the namespace whose entries become environment variables.
        command: What to run instead of the image's own command.
        labels: More labels on everything.
        annotations: Annotations of the pods.
        service_account: Whose token the pods get; None gives them none.
        node_selector: Labels a node must have.
        tolerations: As in a pod's specification.
        resource_requests: What a node must have left for a pod; what is not named is as the limit.
        image_pull_policy: `Always`, `IfNotPresent` or `Never`; None leaves it to the cluster.
        image_pull_secrets: Names of Secrets that let the nodes pull the image.
        priority_class: Name of the pods' PriorityClass.
        runtime_class: Name of the pods' RuntimeClass, such as one of gVisor's.
        run_as_user: User and group id of the server; None takes the image's, which must then be a number
            other than 0.
        read_only_root: Whether nothing but `/tmp` can be written to.
        tmp_size: Size of `/tmp`, which is in memory.
        security_context: What else the container's security context has, over the hardened one.
        egress: `deny` keeps the server from opening connections, by a NetworkPolicy and by the server itself
            (`OPENENV_EGRESS`); `allow` does not.
        network_policy: Whether to make a NetworkPolicy; without one the right to is not needed.
        access: How the servers are reached. `cluster-ip`: by a Service each, from within the cluster.
            `node-port`: by a port of the nodes, open to whoever reaches them. `pod-ip`: directly, from within
            the cluster; the address of a pod that was replaced is another, see `urls`. `port-forward`: by the
            cluster's API, from ports of this machine's loopback. `auto`: `cluster-ip` in a cluster and else
            `port-forward`.
        kubeconfig: How to reach the cluster; None takes KUBECONFIG, else `~/.kube/config`.
        context: The kubeconfig's context; None takes the current one.
        in_cluster: Whether to use the cluster that this program runs in; None does if there is one and no
            kubeconfig is named.
        container_port: The port the servers listen on.
        create_timeout_s: Seconds until all pods run, with nodes and images being fetched.
        ready_timeout_s: Seconds from then until all servers are healthy.
        stop_grace_s: Seconds between SIGTERM and SIGKILL.
        lifetime_s: Seconds until the cluster ends everything, whether or not this program still lives.

    Raises:
        ConfigurationError: An option has a value it cannot have.
    """

    kind = "kubernetes"
    outlives_program = True

    def __init__(
        self,
        *,
        namespace: str | None = None,
        image: str | None = None,
        resource_limits: Mapping[str, str] | None = None,
        replicas: int = 1,
        env_vars: Mapping[str, str] | None = None,
        env_from: Sequence[str] = (),
        command: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        service_account: str | None = None,
        node_selector: Mapping[str, str] | None = None,
        tolerations: Sequence[Mapping[str, Any]] = (),
        resource_requests: Mapping[str, str] | None = None,
        image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None,
        image_pull_secrets: Sequence[str] = (),
        priority_class: str | None = None,
        runtime_class: str | None = None,
        run_as_user: int | None = 1000,
        read_only_root: bool = True,
        tmp_size: str = "256Mi",
        security_context: Mapping[str, Any] | None = None,
        egress: Literal["deny", "allow"] = "deny",
        network_policy: bool = True,
        access: Access = "auto",
        kubeconfig: str | os.PathLike[str] | None = None,
        context: str | None = None,
        in_cluster: bool | None = None,
        container_port: int = 8000,
        create_timeout_s: float = 300.0,
        ready_timeout_s: float = 60.0,
        stop_grace_s: float = 5.0,
        lifetime_s: float | None = 86400.0,
    ) -> None:
        if replicas < 1:
            raise ConfigurationError(f"replicas={replicas} must be at least 1.")
        if access not in ACCESS:
            raise ConfigurationError(f"access={access!r} must be one of {', '.join(ACCESS)}.")
        if egress not in ("deny", "allow"):
            raise ConfigurationError(f"egress={egress!r} must be 'deny' or 'allow'.")
        self.namespace = namespace
        self.image = image
        self.replicas = replicas
        self._given_env = self.env_vars = dict(env_vars or {})
        self.access: Access = access
        self.network_policy = network_policy
        self.kubeconfig = kubeconfig
        self.context = context
        self.in_cluster = in_cluster
        self.create_timeout_s = create_timeout_s
        self.ready_timeout_s = ready_timeout_s
        self.lifetime_s = lifetime_s
        # The image and the variables are those of each start.
        self._options: dict[str, Any] = {
            "env_from": tuple(env_from),
            "command": tuple(command),
            "container_port": container_port,
            "resource_limits": dict(DEFAULT_LIMITS if resource_limits is None else resource_limits),
            "resource_requests": dict(resource_requests or {}),
            "labels": dict(labels or {}),
            "annotations": dict(annotations or {}),
            "service_account": service_account,
            "node_selector": dict(node_selector or {}),
            "tolerations": tuple(tolerations),
            "image_pull_policy": image_pull_policy,
            "image_pull_secrets": tuple(image_pull_secrets),
            "priority_class": priority_class,
            "runtime_class": runtime_class,
            "run_as_user": run_as_user,
            "read_only_root": read_only_root,
            "tmp_size": tmp_size,
            "security_context": dict(security_context or {}),
            "egress": egress,
            "stop_grace_s": stop_grace_s,
        }
        self._cluster: Cluster | None = None
        self._rollout: Rollout | None = None
        self._suspect = ""
        self._last_log = ""

    # --- the contract ----------------------------------------------------------------------------

    def launch(self, source: Source, *_: Any, port: int = 0) -> list[str]:
        """Create everything and wait until all pods run.

        Args:
            source: What the client class knows; for a provider without an image.
            port: With one replica and `port-forward`, the port of this machine; 0 takes a free one.

        Raises:
            EngineUnavailableError: No cluster answers, or it does not let us do something.
            ImageNotFoundError: The nodes cannot get the image.
            OutOfSpaceError: No node has a place, or a quota is used up.
            ProviderStartError: The cluster refuses, a server ends again and again, or the pods do not run within
                `create_timeout_s`.
        """
        image = self.image or source.image
        if image is None:
            raise ConfigurationError("KubernetesProvider does not know what to run: give it an image=...")
        self.env_vars = self._given_env
        return self._roll_out(image, self.replicas, port)

    def start_container(
        self, image: str, port: int | None = None, env_vars: dict[str, str] | None = None, **kwargs: Any
    ) -> str:
        """Start one server of an image, whatever `replicas` says, and return its base URL.

        Args:
            image: Name of the image.
            port: As for `start`.
            env_vars: Environment variables on top of those of the class, for this start.
            **kwargs: Nothing; the options are those of the class.
        """
        if kwargs:
            raise ConfigurationError(f"Give {', '.join(sorted(kwargs))} to KubernetesProvider(...) itself.")
        self.env_vars = {**self._given_env, **(env_vars or {})}
        return self._roll_out(image, 1, port or 0)[0]

    def stop_container(self) -> None:
        """Delete everything, and wait until the pods are gone."""
        if self._cluster is None:
            return
        if self._rollout is not None:
            self._last_log = self._cluster.call(self._rollout.end()) or self._last_log
        self._cluster.close()
        self._cluster = None

    def check_alive(self) -> None:
        """Raise if a pod is in a state that cannot get better."""
        trouble = self._rollout.trouble() if self._rollout else None
        if trouble is not None and trouble.final:
            self._suspect = trouble.pod
            raise self.failure(trouble.error, trouble.message)

    def read_log(self, lines: int) -> str:
        """Return the last lines of all servers, in the order of time."""
        if self._cluster is None or self._rollout is None:
            return "\n".join(self._last_log.splitlines()[-lines:]) if lines > 0 else ""
        try:
            return self._cluster.call(self._rollout.log(lines, self._suspect))
        except ProviderError as error:
            return f"(the log cannot be read: {error})"

    @property
    def urls(self) -> list[str]:
        """The base URLs of all servers, first replica first; with `pod-ip` as they are now."""
        if self._rollout is not None and self._cluster is not None and self._urls:
            return self._rollout.current(self._urls)
        return list(self._urls)

    @property
    def losses(self) -> list[ReplicaLoss]:
        """The servers that have ended by themselves since the start, oldest first."""
        return list(self._rollout.watch.losses) if self._rollout else []

    # --- what the cluster keeps ------------------------------------------------------------------

    def where(self) -> dict[str, str]:
        """Return kubeconfig, context and namespace as far as they were named, or that it is the own cluster."""
        found = {
            "kubeconfig": os.path.abspath(self.kubeconfig) if self.kubeconfig is not None else "",
            "context": self.context or "",
            "namespace": self.namespace or "",
            "in_cluster": "yes" if self.in_cluster else "",
        }
        return {key: value for key, value in found.items() if value}

    @classmethod
    def owned(cls, where: Mapping[str, str]) -> list[OwnedResource]:
        """Return the anchors of all starts: in the namespace named, else in all, or the one we may look into."""
        with Cluster.at(where) as cluster:
            jobs, sets = cluster.call(_ours(cluster.api, where.get("namespace")))
        ready = {(each["metadata"]["namespace"], each["metadata"]["name"]): _ready(each) for each in sets}
        return [resource for job in jobs if (resource := _resource(job, ready, where))]

    @classmethod
    def remove(cls, resource: OwnedResource) -> None:
        """Delete an anchor, and wait until all it owns is gone."""
        namespace, _, name = resource.id.partition("/")
        with Cluster.at(resource.where) as cluster:
            cluster.call(delete_all(cluster.api, namespace, name, REMOVE_S))

    # --- one start -------------------------------------------------------------------------------

    def _roll_out(self, image: str, replicas: int, port: int) -> list[str]:
        self._rollout, self._suspect, self._last_log = None, "", ""
        access = self._access(replicas, port)
        self._cluster = Cluster(self.kubeconfig, self.context, self.in_cluster)
        plan = Plan(
            namespace=self.namespace or self._cluster.api.access.namespace,
            ownership=self.ownership,
            options=PodOptions(image=image, env_vars=self.env_vars, **self._options),
            replicas=replicas,
            access=access,
            lifetime_s=self.lifetime_s,
            create_timeout_s=self.create_timeout_s,
            network_policy=self.network_policy,
            local_port=port,
        )
        self._rollout = Rollout(self._cluster.api, plan, self._tell)
        try:
            return self._cluster.call(self._rollout.begin(), interrupted=self._stopping)
        except TroubleError as error:
            self._suspect = error.trouble.pod
            raise self.failure(error.trouble.error, error.trouble.message) from None
        except ProviderError as error:
            shown = redact(str(error), self.env_vars)
            if shown == str(error):
                raise
            raise type(error)(shown) from None  # the cluster has repeated what it found invalid

    def _access(self, replicas: int, port: int) -> str:
        access = self.access
        if access == "auto":
            inside = in_a_cluster() if self.in_cluster is None and self.kubeconfig is None else self.in_cluster
            access = "cluster-ip" if inside else "port-forward"
        if port and (replicas > 1 or access != "port-forward"):
            raise ConfigurationError(
                f"A port of this machine can be chosen for one replica with access='port-forward'; here are "
                f"{replicas} with {access!r}. Leave the port out."
            )
        return access

    def _tell(self, sentence: str) -> None:
        _logger.warning("%s: %s", self.ownership.name, redact(sentence, self.env_vars))


async def _ours(api: Api, namespace: str | None) -> tuple[list[Object], list[Object]]:
    """Return the anchors and the sets of servers."""
    selector = f"openenv.provider={KubernetesProvider.kind}"
    try:
        jobs = await api.list("jobs", namespace, labelSelector=selector)
    except ForbiddenError:
        if namespace is not None:
            raise
        return await _ours(api, api.access.namespace)
    sets = await api.list("statefulsets", namespace, labelSelector=selector)
    return jobs["items"], sets["items"]


def _ready(stateful_set: Object) -> str:
    status = stateful_set.get("status") or {}
    return f"{status.get('readyReplicas', 0)} of {stateful_set['spec']['replicas']} ready"


def _resource(job: Object, ready: Mapping[tuple[str, str], str], where: Mapping[str, str]) -> OwnedResource | None:
    metadata = job["metadata"]
    ownership = Ownership.from_labels(metadata["labels"])
    if ownership is None:
        return None
    key = (metadata["namespace"], metadata["name"])
    return OwnedResource(
        ownership=ownership,
        id="/".join(key),
        kind="pods",
        state="ending" if metadata.get("deletionTimestamp") else ready.get(key, "starting"),
        created=datetime.fromisoformat(metadata["creationTimestamp"]).timestamp(),
        where=dict(where),
    )
