"""The contract against Podman, which speaks Docker's API on a socket of its own; skipped where it is not there."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engines.reach import Docker
from tests.engines.test_docker import DockerContract
from tests.servers import wait_until

from openenv.providers import LocalDockerProvider

PATIENCE_S = 60.0
IMAGE = "localhost/openenv-tests/toy:latest"


@pytest.fixture(scope="module")
def podman(docker_engine: Docker, toy_image: str) -> Iterator[Docker]:
    """A Podman service with storage of its own, with the toy image in it."""
    if shutil.which("podman") is None:
        pytest.skip("Podman is not installed; apt-get install podman")
    home = Path(tempfile.mkdtemp(prefix="podman-", dir="/tmp"))  # Podman takes 50 characters of a path and no more
    url = f"unix://{home}/podman.sock"
    command = ["podman", f"--root={home}/root", f"--runroot={home}/run", "--cgroup-manager=cgroupfs"]
    runc = shutil.which("runc")
    if runc:  # its other runtime refuses a machine that has both versions of control groups
        command.append(f"--runtime={runc}")
    with (
        (home / "log").open("w") as log,
        subprocess.Popen([*command, "system", "service", "--time=0", url], stdout=log, stderr=log) as service,
    ):
        try:
            engine = Docker(url)
            if not wait_until((home / "podman.sock").exists, PATIENCE_S):
                pytest.skip(f"Podman does not start here: {(home / 'log').read_text()[-500:]}")
            docker_engine.give(toy_image, engine)
            yield engine
        finally:
            service.terminate()
            service.wait(PATIENCE_S)
            shutil.rmtree(home, ignore_errors=True)


class TestPodman(DockerContract):
    """Containers without a network, of Podman's."""

    @pytest.fixture(autouse=True)
    def _engine(self, podman: Docker) -> None:
        self.engine, self.image = podman, IMAGE

    def make_provider(self, **more) -> LocalDockerProvider:
        """Return a provider of the toy server in Podman."""
        from docker.types import Ulimit

        limits = [Ulimit(name=name, soft=1024, hard=4096) for name in ("nofile", "nproc")]
        return super().make_provider(base_url=self.engine.url, ulimits=limits, **more)
