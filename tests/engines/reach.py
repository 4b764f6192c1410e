"""Where the engines of the engine tests are, and whether they can be used.

Nothing here starts an engine. Docker is the one that the docker command line would use; all others are named by
environment variables that `tests/engines/run.sh` sets, so that nobody's own cluster is touched by accident.
Each function returns the engine, or a `str` that says why there is none.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
PATIENCE_S = 60.0
BUILD_S = 1500.0
MAKE = "`make test-engines` starts one"


@dataclass(frozen=True)
class Docker:
    """A Docker engine.

    Attributes:
        url: Where it listens, such as `unix:///var/run/docker.sock`; for the docker SDK and for `docker -H`.
    """

    url: str

    def run(self, *arguments: str, timeout_s: float = PATIENCE_S) -> str:
        """Run the docker command line against this engine and return what it printed, stripped."""
        ran = subprocess.run(
            ["docker", "-H", self.url, *arguments], capture_output=True, text=True, timeout=timeout_s
        )
        assert ran.returncode == 0, f"docker {' '.join(arguments)}: {ran.stderr or ran.stdout}"
        return ran.stdout.strip()

    def info(self) -> dict[str, Any]:
        """Return what `docker info` tells."""
        found: dict[str, Any] = json.loads(self.run("info", "--format", "{{json .}}"))
        return found

    def give(self, image: str, other: "Docker") -> None:
        """Copy an image to another engine."""
        _pipe(["docker", "-H", self.url, "save", image], ["docker", "-H", other.url, "load"])


@dataclass(frozen=True)
class Swarm:
    """A swarm of two nodes on this machine.

    Attributes:
        manager: The engine that services are made with.
        worker: The engine of the second node, in a network namespace of its own.
        worker_address: How this machine reaches ports that the second node publishes.
    """

    manager: Docker
    worker: Docker
    worker_address: str

    def load(self, image: str) -> None:
        """Give an image of the manager to the worker too; there is no registry both could pull it from."""
        self.manager.give(image, self.worker)


@dataclass(frozen=True)
class Kubernetes:
    """A cluster of one node.

    Attributes:
        kubeconfig: Path of the file that reaches it.
        containerd: Path of the socket of the node's containerd.
    """

    kubeconfig: str
    containerd: str

    def kubectl(self, *arguments: str, timeout_s: float = PATIENCE_S) -> str:
        """Run kubectl against this cluster and return what it printed, stripped."""
        command = ["kubectl", "--kubeconfig", self.kubeconfig, *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
        assert ran.returncode == 0, f"{' '.join(command)}: {ran.stderr or ran.stdout}"
        return ran.stdout.strip()

    def load(self, image: str, source: Docker) -> None:
        """Give an image of a Docker engine to the node; pods take it with `imagePullPolicy: Never`."""
        _pipe(
            ["docker", "-H", source.url, "save", image],
            ["ctr", "-a", self.containerd, "-n", "k8s.io", "images", "import", "-"],
        )


def docker() -> Docker | str:
    """Return the engine that the docker command line would use."""
    url = os.environ.get("DOCKER_HOST", DEFAULT_SOCKET)
    return _docker_at(url, f"no Docker engine answers at {url}; {MAKE}")


def swarm(manager: Docker) -> Swarm | str:
    """Return the swarm that a Docker engine manages."""
    url = os.environ.get("OPENENV_TEST_SWARM_WORKER")
    if url is None:
        return f"no swarm: OPENENV_TEST_SWARM_WORKER names no second node; {MAKE}"
    worker = _docker_at(url, f"no swarm: the second node does not answer at {url}")
    if isinstance(worker, str):
        return worker
    state = manager.info()["Swarm"]
    if not state.get("ControlAvailable"):
        return f"no swarm: {manager.url} is no manager of one"
    return Swarm(manager, worker, worker.info()["Swarm"]["NodeAddr"])


def kubernetes() -> Kubernetes | str:
    """Return the cluster that the runner has started, or still starts: that is waited for."""
    coming = os.environ.get("OPENENV_TEST_KUBERNETES_COMING")
    if coming and (problem := _how_it_came(Path(coming))):
        return problem
    kubeconfig, containerd = (os.environ.get(f"OPENENV_TEST_{name}") for name in ("KUBECONFIG", "CONTAINERD"))
    if not kubeconfig or not containerd:
        return f"no Kubernetes: OPENENV_TEST_KUBECONFIG and OPENENV_TEST_CONTAINERD are not set; {MAKE}"
    if shutil.which("kubectl") is None:
        return "no Kubernetes: kubectl is not installed"
    found = Kubernetes(kubeconfig, containerd)
    try:
        found.kubectl("get", "--raw", "/readyz")
    except AssertionError as error:
        return f"no Kubernetes: {error}"
    return found


def _how_it_came(told: Path) -> str | None:
    """Wait until the runner has told how bringing Kubernetes up has ended; return why there is none."""
    end = time.monotonic() + BUILD_S
    while not told.exists():  # too late is no reason to skip: on this machine it should have come
        assert time.monotonic() < end, f"Kubernetes was not up after {BUILD_S:g} s"
        time.sleep(0.2)
    result, _, reason = told.read_text().partition(": ")
    return None if result.strip() == "up" else reason.strip()


def bubblewrap() -> Path | str:
    """Return the program, if it can make namespaces here."""
    program = shutil.which("bwrap")
    if program is None:
        return "bubblewrap is not installed; apt-get install bubblewrap"
    command = [program, "--unshare-user", "--unshare-all", "--ro-bind", "/", "/", "--die-with-parent", "true"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    return Path(program) if ran.returncode == 0 else f"bubblewrap cannot be used here: {ran.stderr.strip()}"


def _docker_at(url: str, absent: str) -> Docker | str:
    """Return the engine at a URL; asked over the socket, for a command that is missing is another matter."""
    problem = _problem_at(url)
    if problem is not None:
        return f"{absent} ({problem})"
    if shutil.which("docker") is None:
        return "the docker command line is not installed; apt-get install docker.io"
    return Docker(url)


def _problem_at(url: str) -> str | None:
    scheme, _, place = url.partition("://")
    try:
        if scheme == "unix":
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(PATIENCE_S)
                connection.connect(place)
        elif scheme == "tcp":
            HTTPConnection(place, timeout=PATIENCE_S).connect()
        else:
            return "only unix:// and tcp:// are understood here"
    except OSError as error:
        return str(error)
    return None


def _pipe(source: list[str], sink: list[str]) -> None:
    """Let one program write what another reads."""
    with subprocess.Popen(source, stdout=subprocess.PIPE) as writing:
        reading = subprocess.run(sink, stdin=writing.stdout, capture_output=True, text=True, timeout=300)
    assert reading.returncode == 0, f"{' '.join(sink)}: {reading.stderr}"
    assert writing.returncode == 0, f"{' '.join(source)} failed"
