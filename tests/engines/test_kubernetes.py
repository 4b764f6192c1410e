"""The contract of providers against a real Kubernetes node, in two ways in which its pods are reached."""

from collections.abc import Sequence
from typing import ClassVar

import pytest
from tests.engines.cluster import DYING, SLEEPING, Place

from openenv.providers import KubernetesProvider, Provider
from openenv.testing import ProviderContract


class KubernetesContract(ProviderContract):
    """What the cases below have in common."""

    options: ClassVar[dict] = {}
    place: Place
    # This kubelet takes ten seconds to end a pod, more on a busy machine.
    patience_s = 180.0

    @pytest.fixture(autouse=True)
    def _place(self, pods: Place) -> None:
        self.place = pods

    def make_provider(self, **more) -> KubernetesProvider:
        """Return a provider of a small server."""
        return self.place.provider(**{**self.options, **more})

    def make_dying_provider(self) -> Provider:
        """Return one whose server says why it ends."""
        return self.make_provider(command=DYING)

    def make_unready_provider(self) -> Provider:
        """Return one whose server never listens."""
        return self.make_provider(command=SLEEPING, ready_timeout_s=1.0)

    def leftovers(self, provider: Provider) -> Sequence[object]:
        """Return what the cluster still has."""
        return self.place.leftovers(provider)


class TestForwardedPorts(KubernetesContract):
    """The default outside a cluster: a port of the loopback, through the cluster's API."""


class TestReplicas(KubernetesContract):
    """Three pods with a Service each, as from within the cluster."""

    loopback = False
    options: ClassVar[dict] = {"replicas": 3, "access": "cluster-ip"}
