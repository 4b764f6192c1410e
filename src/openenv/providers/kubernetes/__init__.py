"""Environment servers as pods of a Kubernetes cluster, one address for each.

It speaks to the cluster's API with `httpx` and `websockets`, which every installation has; see
design/007-kubernetes.md for why no client library of Kubernetes is used.
"""

from openenv.providers.kubernetes.provider import KubernetesProvider

__all__ = ["KubernetesProvider"]
