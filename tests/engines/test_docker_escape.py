"""Nothing gets out of a container: the attempts of `tests/escape`, against the walls that Docker puts up."""

import shutil
import subprocess
from dataclasses import replace

import pytest
from tests.engines.reach import Docker
from tests.escape.host import Host
from tests.escape.suite import PROBE_ENV, Limits, run

from openenv.providers import LocalDockerProvider

TAG = "openenv-tests/escape:latest"
BUILD_S = 300.0
DOCKERFILE = """\
FROM {base}
COPY probe_env /srv/probe_env
CMD ["openenv", "serve", "/srv/probe_env", "--host", "0.0.0.0", "--port", "8000"]
"""
# CPU time is shared out, not counted: cpus=1 leaves the host the rest.
LIMITS = replace(Limits(), cpu_s=None)


@pytest.fixture(scope="module")
def probe_image(docker_engine: Docker, echo_image: str, tmp_path_factory) -> str:
    """An image of the environment whose actions are attempts."""
    context = tmp_path_factory.mktemp("escape")
    shutil.copytree(PROBE_ENV, context / "probe_env", ignore=shutil.ignore_patterns("__pycache__"))
    (context / "Dockerfile").write_text(DOCKERFILE.format(base=echo_image))
    command = ["docker", "-H", docker_engine.url, "build", "-q", "-t", TAG, str(context)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S)
    assert built.returncode == 0, built.stderr
    return TAG


def test_nothing_gets_out(docker_engine, probe_image):
    from docker.types import Ulimit

    bounds = {"nofile": LIMITS.files, "fsize": LIMITS.file_bytes, "core": 0}

    def make() -> LocalDockerProvider:
        return LocalDockerProvider(
            probe_image,
            memory=LIMITS.memory,
            pids_limit=LIMITS.processes,
            cpus=1,
            tmpfs={"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={LIMITS.disk_bytes}"},
            ulimits=[Ulimit(name=name, soft=bound, hard=bound) for name, bound in bounds.items()],
            ready_timeout_s=120,
        )

    with Host() as host:
        results = list(run(make, host, LIMITS))
    for result in results:
        print(f"{result.case.name:60} {result}")
    assert len(results) > 20
    assert [f"{result.case.name}: {result.detail}" for result in results if result.escaped] == []
    assert [result.case.name for result in results if result.error == "SERVER_LOST" and not result.case.alone] == []
