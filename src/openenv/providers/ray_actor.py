"""The end of the Ray provider that runs on a node: an actor that holds one server.

The actor is a shell around `ProcessProvider`: the server is a child process that is gone when the actor is, however
the actor ends. So whatever Ray ends - the actor, its node, the driver's job - ends the server as well. Ray imports
this module on each node, so `openenv` has to be installed there; nothing here imports Ray before it is used.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openenv.errors import ProviderStartError
from openenv.providers.local import LOOPBACK
from openenv.providers.process import ProcessProvider

__all__ = ["EnvironmentActor", "Order", "Status"]

LINES_TOLD = 200


@dataclass(frozen=True)
class Order:
    """What an actor is to run.

    Attributes:
        targets: What to serve, in order of preference: the first that is not a folder missing on the node.
        driver_node: Id of the node of the program, which reaches a server on the same node by loopback; None if
            it is on none.
        lifetime_s: Seconds until the actor ends itself; None for never.
        process: Arguments of `ProcessProvider`.
    """

    targets: tuple[str, ...]
    driver_node: str | None
    lifetime_s: float | None
    process: dict[str, Any]


@dataclass(frozen=True)
class Status:
    """How a server is.

    Attributes:
        problem: Why it has ended; None while it runs.
        log: The last lines it wrote.
    """

    problem: str | None
    log: str


class EnvironmentActor:
    """Runs one server on the node that Ray has chosen."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._provider: ProcessProvider | None = None
        if order.lifetime_s is not None:
            clock = threading.Timer(order.lifetime_s, self._expire)
            clock.daemon = True
            clock.start()

    def start(self) -> str:
        """Start the server and return its base URL as the program reaches it.

        Raises:
            ConfigurationError: The target cannot be served.
            ProviderStartError: No process could be made.
        """
        host = self._host()
        self._provider = ProcessProvider(self._target(), **self._order.process)
        self._provider.address = (host, 0)
        return self._provider.start()

    def status(self) -> Status:
        """Return how the server is."""
        if self._provider is None:
            return Status(None, "")
        problem = None
        try:
            self._provider.check_alive()
        except ProviderStartError as error:
            problem = error.message.partition("\n")[0]
        return Status(problem, self._provider.read_log(LINES_TOLD))

    def stop(self) -> str:
        """End the server, wait until it is gone, and return the last lines it wrote."""
        if self._provider is None:
            return ""
        self._provider.stop()
        return self._provider.read_log(LINES_TOLD)

    def _host(self) -> str:
        import ray

        if ray.get_runtime_context().get_node_id() == self._order.driver_node:
            return LOOPBACK
        return str(ray.util.get_node_ip_address())

    def _target(self) -> str:
        here = [target for target in self._order.targets if not os.path.isabs(target) or Path(target).is_dir()]
        return (here or self._order.targets)[0]

    def _expire(self) -> None:
        # Not by a call to Ray, which may be what is out of order. The server notices the actor's end.
        os._exit(0)
