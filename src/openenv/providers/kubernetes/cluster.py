"""A connection to a cluster, and how blocking callers use it."""

from __future__ import annotations

import os
import threading
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from openenv.providers.kubernetes.access import load_access
from openenv.providers.kubernetes.api import Api
from openenv.providers.kubernetes.backstage import Backstage

__all__ = ["Cluster"]

T = TypeVar("T")


class Cluster:
    """The API of one cluster, and the event loop in which everything about it goes on.

    Args:
        kubeconfig: As for `load_access`.
        context: As for `load_access`.
        in_cluster: As for `load_access`.

    Raises:
        EngineUnavailableError: Nothing says how to reach one.
    """

    def __init__(
        self,
        kubeconfig: str | os.PathLike[str] | None = None,
        context: str | None = None,
        in_cluster: bool | None = None,
    ) -> None:
        self.api = Api(load_access(kubeconfig, context, in_cluster))
        self._backstage = Backstage()

    @classmethod
    def at(cls, where: Mapping[str, str]) -> Self:
        """Return the cluster that `KubernetesProvider.where` told of."""
        return cls(where.get("kubeconfig"), where.get("context"), True if where.get("in_cluster") else None)

    def call(self, work: Coroutine[Any, Any, T], *, interrupted: threading.Event | None = None) -> T:
        """Do the work and return its result, as `Backstage.call`."""
        return self._backstage.call(work, interrupted=interrupted)

    def close(self) -> None:
        """Close the connections and end what goes on."""
        self.call(self.api.close())
        self._backstage.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
