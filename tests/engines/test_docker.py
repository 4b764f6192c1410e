"""The contract of providers against a real Docker engine, in each way a container is reached."""

from collections.abc import Sequence
from typing import ClassVar

import pytest
from tests.engines.dock import containers

from openenv.providers import LocalDockerProvider, Provider
from openenv.testing import ProviderContract

SLEEPING = ["python3", "-I", "-S", "-c", "import signal; signal.pause()"]
DYING = ["python3", "-I", "-S", "-c", "print('the weights are missing', flush=True); raise SystemExit(3)"]


class DockerContract(ProviderContract):
    """What the cases below have in common."""

    options: ClassVar[dict] = {}

    @pytest.fixture(autouse=True)
    def _engine(self, docker_engine, toy_image) -> None:
        self.engine = docker_engine
        self.image = toy_image

    def make_provider(self, **more) -> LocalDockerProvider:
        """Return a provider of the toy server."""
        return LocalDockerProvider(self.image, stop_grace_s=1, **{**self.options, **more})

    def make_dying_provider(self) -> Provider:
        """Return one whose container says why it ends."""
        return self.make_provider(command=DYING)

    def make_unready_provider(self) -> Provider:
        """Return one whose container never listens."""
        return self.make_provider(command=SLEEPING, ready_timeout_s=1.0)

    def leftovers(self, provider: Provider) -> Sequence[object]:
        """Return the containers that are still there."""
        return containers(self.engine, provider)


class TestWithoutNetwork(DockerContract):
    """The default: no network, and a relay."""


class TestBridge(DockerContract):
    """A network, and a port that the engine publishes on the loopback."""

    options: ClassVar = {"network": "bridge"}


class TestReplicas(DockerContract):
    """Three containers of one provider."""

    options: ClassVar = {"replicas": 3}


class TestWithoutPython(DockerContract):
    """An image whose first process is coreutils' timeout, for it hides its Python from the search path."""

    options: ClassVar = {"network": "bridge"}

    def make_provider(self, **more) -> LocalDockerProvider:
        command = more.pop("command", ["python3", "-I", "-S", "/srv/toy_server.py", "8000"])
        env_vars = {"PATH": "/opt/bin"}
        return super().make_provider(command=["/usr/bin/" + command[0], *command[1:]], env_vars=env_vars, **more)
