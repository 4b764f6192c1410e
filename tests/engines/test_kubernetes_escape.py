"""Nothing gets out of a pod: the attempts of `tests/escape`, against the walls that the provider asks for.

The network of the node these tests run on enforces no NetworkPolicy, so what keeps connections in is the server's
own refusal, which the provider switches on.
"""

from dataclasses import replace

from tests.engines.cluster import Place
from tests.escape.host import Host
from tests.escape.suite import Limits, assert_held, run

# A pod has limits for memory, in which its /tmp is, and for processes, which the node's kubelet sets to 100.
LIMITS = replace(Limits(), files=None, file_bytes=None, disk_bytes=None, cpu_s=None)


def test_nothing_gets_out(pods: Place, docker_engine, probe_image):
    pods.cluster.load(probe_image, docker_engine)

    def make():
        return pods.provider(
            image=probe_image,
            command=(),
            resource_limits={"cpu": "1", "memory": str(LIMITS.memory)},
            ready_timeout_s=180,
        )

    with Host() as host:
        results = list(run(make, host, LIMITS))
    assert_held(results)
