"""What is created in the cluster: an anchor that owns everything, the servers, and an address for each.

The anchor is a Job whose only pod no scheduler takes. It costs nothing, its time counts from its creation, and when
that is over the cluster deletes it with all it owns. (A Job without any pod would do as well if its time counted in
every version of Kubernetes; design/007 tells.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from openenv.providers.ownership import Ownership

__all__ = ["PodOptions", "anchor", "network_policy", "selector", "service", "stateful_set"]

PART = "openenv.part"
NOBODY = "openenv-none"
CONTAINER = "server"
PORT_NAME = "http"
NEVER_PULLED = "openenv/none"

Object = dict[str, Any]


@dataclass(frozen=True)
class PodOptions:
    """What the pods of the servers are like; the fields are the options of `KubernetesProvider`."""

    image: str
    env_vars: Mapping[str, str] = field(default_factory=dict)
    env_from: Sequence[str] = ()
    command: Sequence[str] = ()
    container_port: int = 8000
    resource_limits: Mapping[str, str] = field(default_factory=dict)
    resource_requests: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    service_account: str | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()
    image_pull_policy: str | None = None
    image_pull_secrets: Sequence[str] = ()
    priority_class: str | None = None
    runtime_class: str | None = None
    run_as_user: int | None = 1000
    read_only_root: bool = True
    tmp_size: str = "256Mi"
    security_context: Mapping[str, Any] = field(default_factory=dict)
    egress: str = "deny"
    stop_grace_s: float = 5.0


def selector(name: str) -> str:
    """Return what selects the servers of one start."""
    return f"openenv.name={name},{PART}=server"


def anchor(ownership: Ownership, lifetime_s: float | None) -> Object:
    """Return the Job that owns everything and ends it at the end of the lifetime."""
    pod = {
        "metadata": {"labels": {**ownership.labels(), PART: "anchor"}},
        "spec": {
            "schedulerName": NOBODY,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65534,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "none",
                    "image": NEVER_PULLED,
                    "imagePullPolicy": "Never",
                    "resources": {"limits": {"cpu": "1m", "memory": "1Mi"}},
                    "securityContext": _HARDENED,
                }
            ],
        },
    }
    spec: Object = {"parallelism": 1, "backoffLimit": 0, "ttlSecondsAfterFinished": 0, "template": pod}
    if lifetime_s is not None:
        spec["activeDeadlineSeconds"] = max(1, math.ceil(lifetime_s))
    metadata = {"name": ownership.name, "labels": {**ownership.labels(), PART: "anchor"}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def stateful_set(ownership: Ownership, owner: Object, options: PodOptions, replicas: int) -> Object:
    """Return the servers: pods with names that stay, all started at once."""
    chosen = {"openenv.name": ownership.name, PART: "server"}
    spec = {
        "serviceName": ownership.name,
        "replicas": replicas,
        "podManagementPolicy": "Parallel",
        "revisionHistoryLimit": 1,
        "selector": {"matchLabels": chosen},
        "template": {
            "metadata": {
                "labels": {**options.labels, **ownership.labels(), **chosen},
                "annotations": dict(options.annotations),
            },
            "spec": _pod(options),
        },
    }
    return {**_head("apps/v1", "StatefulSet", ownership, owner, options), "spec": spec}


def service(ownership: Ownership, owner: Object, options: PodOptions, index: int, kind: str) -> Object:
    """Return the address of one server; it stays when the pod is replaced.

    Args:
        ownership: Whose it is.
        owner: The anchor.
        options: Of the pods.
        index: Which server, from 0.
        kind: `ClusterIP` or `NodePort`.
    """
    pod = f"{ownership.name}-{index}"
    head = _head("v1", "Service", ownership, owner, options)
    head["metadata"]["name"] = pod
    port = {"name": PORT_NAME, "port": options.container_port, "targetPort": options.container_port}
    chosen = {"statefulset.kubernetes.io/pod-name": pod}
    return {**head, "spec": {"type": kind, "selector": chosen, "ports": [port]}}


def network_policy(ownership: Ownership, owner: Object, options: PodOptions) -> Object:
    """Return the rule that only the server's port is reached, and nothing from within unless egress is allowed."""
    closed = ["Ingress"] if options.egress == "allow" else ["Ingress", "Egress"]
    spec = {
        "podSelector": {"matchLabels": {"openenv.name": ownership.name, PART: "server"}},
        "policyTypes": closed,
        "ingress": [{"ports": [{"protocol": "TCP", "port": options.container_port}]}],
    }
    return {**_head("networking.k8s.io/v1", "NetworkPolicy", ownership, owner, options), "spec": spec}


_HARDENED: Object = {
    "allowPrivilegeEscalation": False,
    "privileged": False,
    "capabilities": {"drop": ["ALL"]},
}


def _head(version: str, kind: str, ownership: Ownership, owner: Object, options: PodOptions) -> Object:
    """Return the beginning of an object that the anchor owns."""
    reference = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        # The anchor is gone only after all the rest is.
        "blockOwnerDeletion": True,
    }
    metadata = {
        "name": ownership.name,
        "labels": {**options.labels, **ownership.labels()},
        "ownerReferences": [reference],
    }
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _pod(options: PodOptions) -> Object:
    user = (
        {} if options.run_as_user is None else {"runAsUser": options.run_as_user, "runAsGroup": options.run_as_user}
    )
    pod: Object = {
        "automountServiceAccountToken": False,
        # A variable for each service of the namespace would tell the environment who else is there.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": math.ceil(options.stop_grace_s),
        "securityContext": {"runAsNonRoot": True, **user, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(options)],
        # In memory: what is written counts as the container's memory, and the limit holds at once.
        "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": options.tmp_size}}],
    }
    if options.service_account is not None:
        pod |= {"serviceAccountName": options.service_account, "automountServiceAccountToken": True}
    if options.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in options.image_pull_secrets]
    given = {
        "nodeSelector": dict(options.node_selector),
        "tolerations": [dict(toleration) for toleration in options.tolerations],
        "priorityClassName": options.priority_class,
        "runtimeClassName": options.runtime_class,
    }
    return {**pod, **{key: value for key, value in given.items() if value}}


def _container(options: PodOptions) -> Object:
    container: Object = {
        "name": CONTAINER,
        "image": options.image,
        "ports": [{"name": PORT_NAME, "containerPort": options.container_port}],
        "env": [{"name": name, "value": value} for name, value in _environment(options).items()],
        "resources": {"limits": dict(options.resource_limits), "requests": dict(options.resource_requests)},
        "securityContext": {
            **_HARDENED,
            "readOnlyRootFilesystem": options.read_only_root,
            **options.security_context,
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - that of the container
        # No liveness probe: a server that is busy with a long step is not to be killed for it.
        "readinessProbe": {
            "httpGet": {"path": "/health", "port": options.container_port},
            "periodSeconds": 2,
            "timeoutSeconds": 5,
        },
    }
    if options.command:
        container["command"] = list(options.command)
    if options.env_from:
        container["envFrom"] = [{"secretRef": {"name": name}} for name in options.env_from]
    if options.image_pull_policy is not None:
        container["imagePullPolicy"] = options.image_pull_policy
    return container


def _environment(options: PodOptions) -> dict[str, str]:
    own = {"HOME": "/tmp"} if options.read_only_root else {}  # noqa: S108 - that of the container
    if options.egress == "deny":
        own["OPENENV_EGRESS"] = "deny"
    return {**own, **options.env_vars}
