"""Nothing gets out of a container: the attempts of `tests/escape`, against the walls that Docker puts up."""

from dataclasses import replace

from tests.escape.host import Host
from tests.escape.suite import Limits, assert_held, run

from openenv.providers import LocalDockerProvider

# CPU time is shared out, not counted: cpus=1 leaves the host the rest.
LIMITS = replace(Limits(), cpu_s=None)


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
    assert_held(results)
