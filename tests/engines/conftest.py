"""The engines as fixtures. A test that asks for one that is not there is skipped, with the reason.

Every test in this folder is marked `engine`, which `make test` and `make test-slow` leave out. `make test-engines`
starts the engines, runs the tests and ends the engines; with Docker running, `pytest -m engine tests/engines` is
enough for the Docker tests.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import pytest
from tests.engines import counts, reach
from tests.engines.cluster import Place, until
from tests.engines.dock import build_toy
from tests.engines.images import build_image, build_probes

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

Found = TypeVar("Found")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder before pytest looks at `-m`."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.engine)
            counts.tell(item)
    # Kubernetes is still being built, if it ever was not, while the others are tested.
    items.sort(key=lambda item: "kubernetes" in getattr(item, "fixturenames", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the counts per engine."""
    stats = terminalreporter.stats
    outcomes = ("passed", "failed", "skipped", "error")
    lines = list(counts.table((outcome, report) for outcome in outcomes for report in stats.get(outcome, ())))
    if lines:
        terminalreporter.section("engines")
        terminalreporter.write_line("\n".join(lines))


def required(found: Found | str) -> Found:
    """Skip the test if an engine was not found."""
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture
def killed_program() -> Callable[..., None]:
    """Starts a provider in a program of its own, and kills the program when the servers are there."""

    def start_and_kill(provider: str, are_there: Callable[[], object], **options: object) -> None:
        program = subprocess.Popen(
            [sys.executable, str(HERE / "doomed_program.py"), provider, json.dumps(options)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        try:
            assert program.stdout is not None
            assert program.stdout.readline(), "it could not be started"
            assert are_there()
        finally:
            program.kill()
            program.communicate()

    return start_and_kill


@pytest.fixture(scope="session")
def docker_engine() -> reach.Docker:
    """A Docker engine: the one that the docker command line would use."""
    return required(reach.docker())


@pytest.fixture(scope="session")
def echo_image(docker_engine: reach.Docker) -> str:
    """The name of an image of `envs/echo_env` with this checkout's openenv, in the Docker engine."""
    return build_image(docker_engine, ROOT / "envs" / "echo_env", "openenv-tests/echo-env:latest")


@pytest.fixture(scope="session")
def probe_image(docker_engine: reach.Docker, echo_image: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an image of the environment whose actions are attempts to get out."""
    return build_probes(docker_engine, echo_image, "openenv-tests/escape:latest", tmp_path_factory.mktemp("escape"))


@pytest.fixture(scope="session")
def swarm(docker_engine: reach.Docker) -> reach.Swarm:
    """A swarm of two nodes."""
    return required(reach.swarm(docker_engine))


@pytest.fixture(scope="session")
def kubernetes() -> reach.Kubernetes:
    """A Kubernetes node."""
    return required(reach.kubernetes())


@pytest.fixture(scope="session")
def pods(
    kubernetes: reach.Kubernetes, docker_engine: reach.Docker, echo_image: str, worker_id: str
) -> Iterator[Place]:
    """A namespace of the Kubernetes cluster, whose node has the image of the echo environment."""
    kubernetes.load(echo_image, docker_engine)
    namespace = f"openenv-tests-{worker_id}-{os.getpid()}"
    kubernetes.kubectl("create", "namespace", namespace)
    # Pods are refused until the namespace has its service account.
    until(lambda: "default" in kubernetes.kubectl("-n", namespace, "get", "serviceaccounts"), "a service account")
    yield Place(kubernetes, namespace, echo_image)
    kubernetes.kubectl("delete", "namespace", namespace, timeout_s=120)


@pytest.fixture(scope="session")
def bubblewrap() -> Path:
    """The program `bwrap`, which can make namespaces here."""
    return required(reach.bubblewrap())


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Ray cluster of two nodes, which ends with the tests."""
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install ray")
    log = tmp_path_factory.mktemp("ray") / "log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, str(HERE / "ray_nodes.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl+C is for the tests; they end it by closing its input
        ) as nodes,
    ):
        assert nodes.stdout is not None
        address = nodes.stdout.readline().strip()
        if not address:
            pytest.fail(f"The Ray cluster did not start:\n{log.read_text()[-2000:]}")
        yield address
        import ray

        ray.shutdown()  # else Ray would end this program a minute after the cluster has ended


@pytest.fixture(scope="session")
def toy_image(docker_engine: reach.Docker) -> str:
    """The name of an image of a server that is up in no time, for tests of what holds servers."""
    return build_toy(docker_engine)
