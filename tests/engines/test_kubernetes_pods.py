"""What pods on a real Kubernetes node are like: many at once, reached in each way, held in, and replaced."""

import asyncio
import json
import logging
import socket

import httpx
import pytest
from tests.engines.cluster import PATIENCE_S, Place, until

from echo_env import EchoAction, EchoEnv
from openenv.errors import ConfigurationError
from openenv.providers import Source

REPLICAS = 8
CLIENTS = 64


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_missions_snippet_runs(pods: Place):
    async def train():
        provider = pods.provider(command=(), replicas=REPLICAS)
        async with EchoEnv.with_provider(provider) as envs:
            observations = await asyncio.gather(*[e.reset() for e in envs])
        return observations

    observations = asyncio.run(train())
    assert len(observations) == REPLICAS
    assert {each.observation.echoed_message for each in observations} == {"Echo environment ready!"}


@pytest.mark.parametrize("access", ["port-forward", "cluster-ip"])
def test_sixty_four_clients_reset_and_step_at_once(pods: Place, access):
    async def train(urls):
        envs = [EchoEnv(base_url=urls[index % len(urls)]) for index in range(CLIENTS)]
        try:
            resets = await asyncio.gather(*[env.reset() for env in envs])
            steps = await asyncio.gather(*[env.step(EchoAction(message=str(i))) for i, env in enumerate(envs)])
        finally:
            await asyncio.gather(*[env.close() for env in envs])
        return resets, steps

    limit = {"MAX_CONCURRENT_ENVS": str(CLIENTS)}
    with pods.provider(command=(), replicas=4, access=access, env_vars=limit) as provider:
        resets, steps = asyncio.run(train(provider.urls))
    assert len(resets) == CLIENTS
    assert [step.observation.echoed_message for step in steps] == [str(index) for index in range(CLIENTS)]


@pytest.mark.parametrize("access", ["node-port", "pod-ip"])
def test_each_replica_has_an_address_of_its_own(pods: Place, access):
    with pods.provider(replicas=2, access=access) as provider:
        assert len(set(provider.urls)) == 2
        assert [httpx.get(f"{url}/health").status_code for url in provider.urls] == [200, 200]


def test_a_local_port_can_be_chosen(pods: Place, free_port):
    provider = pods.provider()
    try:
        assert provider.start(port=free_port) == f"http://127.0.0.1:{free_port}"
        provider.wait_for_ready()
    finally:
        provider.stop()


def test_a_local_port_for_many_replicas_is_refused(pods: Place, free_port):
    with pytest.raises(ConfigurationError, match="one replica"):
        pods.provider(replicas=2).start(port=free_port)


def test_the_older_spelling_starts_one_container(pods: Place):
    provider = pods.provider(image=None, replicas=5)
    url = provider.start_container(pods.image, env_vars={"GREETING": "hello"})
    try:
        provider.wait_for_ready()
        assert provider.urls == [url]
        assert pods.inside(provider, "import os; print(os.environ['GREETING'])") == "hello"
    finally:
        provider.stop_container()
    assert pods.leftovers(provider) == []


def test_the_image_of_the_client_class_is_taken(pods: Place):
    provider = pods.provider(image=None)
    with pytest.raises(ConfigurationError, match="image="):
        provider.start()
    provider.start(Source(image=pods.image))
    provider.stop()


# --- what holds a server in ------------------------------------------------------------------------

LOOK = """
import json, os, socket
def can(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return True
def write(path):
    with open(path, "w") as file:
        file.write("x")
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
print(json.dumps({
    "uid": os.getuid(),
    "capabilities": [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "no_new_privileges": status["NoNewPrivs"],
    "seccomp": status["Seccomp"],
    "root": can(lambda: write("/x")),
    "home": can(lambda: write("/home/agent/x")),
    "tmp": can(lambda: write("/tmp/x")),
    "token": os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token"),
    "neighbours": [name for name in os.environ if name.endswith("_SERVICE_HOST")],
    "egress": os.environ.get("OPENENV_EGRESS"),
    "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdigit())[:1],
    "tmp_file_system": next(line.split()[2] for line in open("/proc/mounts") if line.split()[1] == "/tmp"),
}))
"""


def test_a_server_is_held_in(pods: Place):
    with pods.provider(access="cluster-ip") as provider:
        seen = json.loads(pods.inside(provider, LOOK))
        (policy,) = pods.found("networkpolicies", provider)
    assert seen == {
        "uid": 1000,
        "capabilities": [0, 0, 0, 0, 0],
        "no_new_privileges": "1",
        "seccomp": "2",
        "root": "OSError",
        "home": "OSError",
        "tmp": True,
        "token": False,
        # Of its own cluster alone, which every pod is told.
        "neighbours": ["KUBERNETES_SERVICE_HOST"],
        "egress": "deny",
        "processes": [1],
        "tmp_file_system": "tmpfs",
    }
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy["spec"]
    assert policy["spec"]["ingress"] == [{"ports": [{"protocol": "TCP", "port": 8000}]}]


def test_each_hold_can_be_loosened_by_name(pods: Place):
    loosened = {
        "run_as_user": 1001,
        "read_only_root": False,
        "security_context": {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}},
        "egress": "allow",
        "service_account": "default",
    }
    with pods.provider(**loosened) as provider:
        seen = json.loads(pods.inside(provider, LOOK))
        (policy,) = pods.found("networkpolicies", provider)
    assert seen["uid"] == 1001
    assert seen["capabilities"][3] == 1 << 10
    assert seen["egress"] is None
    assert seen["token"] is True
    assert policy["spec"]["policyTypes"] == ["Ingress"]


def test_a_server_that_takes_too_much_memory_is_ended_and_the_node_is_not(pods: Place):
    with pods.provider(access="cluster-ip", resource_limits={"cpu": "1", "memory": "64Mi"}) as provider:
        eat = "b = []\nwhile True: b.append(bytearray(10_000_000))"
        with pytest.raises(AssertionError, match="137"):
            pods.inside(provider, eat)
        filled = "f = open('/tmp/full', 'wb')\nwhile True: f.write(bytes(10_000_000))"
        with pytest.raises(AssertionError, match="exec"):
            pods.inside(provider, filled)
    assert "True" in pods.cluster.kubectl(
        "get", "nodes", "-o", "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}"
    )


# --- what a pod has, and what becomes of it -----------------------------------------------------------


def test_the_options_reach_the_pods(pods: Place):
    with pods.provider(
        replicas=2,
        labels={"team": "rl"},
        annotations={"example.com/note": "hello"},
        node_selector={"kubernetes.io/os": "linux"},
        tolerations=[{"key": "gpu", "operator": "Exists"}],
        env_vars={"GREETING": "hello"},
        resource_limits={"cpu": "2", "memory": "512Mi"},
        tmp_size="64Mi",
    ) as provider:
        found = pods.found("pods,jobs,statefulsets,networkpolicies", provider)
        servers = [each for each in found if each["metadata"]["labels"].get("openenv.part") == "server"]
        (pod, _) = [each for each in servers if each["kind"] == "Pod"]
    labels = provider.ownership.labels()
    assert all(labels.items() <= each["metadata"]["labels"].items() for each in found)
    assert pod["metadata"]["labels"]["team"] == "rl"
    assert pod["metadata"]["annotations"]["example.com/note"] == "hello"
    assert pod["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert {"key": "gpu", "operator": "Exists"} in pod["spec"]["tolerations"]
    container = pod["spec"]["containers"][0]
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "512Mi"}
    assert {"name": "GREETING", "value": "hello"} in container["env"]
    assert pod["spec"]["volumes"][0]["emptyDir"] == {"medium": "Memory", "sizeLimit": "64Mi"}


@pytest.mark.parametrize("access", ["port-forward", "cluster-ip", "pod-ip"])
def test_a_pod_that_dies_is_replaced_under_its_address_and_told(pods: Place, access, caplog):
    caplog.set_level(logging.WARNING, "openenv.providers.kubernetes")
    with pods.provider(replicas=2, access=access) as provider:
        before = provider.urls
        pods.kubectl("delete", "pod", f"{provider.ownership.name}-1", "--force", "--grace-period=0")
        loss = until(lambda: provider.losses, "the loss")[0]
        assert loss.replica == 1
        assert "Replica 1 has ended" in caplog.text
        until(lambda: "Replica 1 runs again" in caplog.text, "the replacement")
        provider.wait_for_ready(PATIENCE_S)
        assert provider.urls[0] == before[0]
        assert (provider.urls[1] == before[1]) is (access != "pod-ip")
        assert httpx.get(f"{provider.urls[1]}/health").json() == {"status": "healthy"}


def test_a_server_that_is_killed_is_started_again_and_told(pods: Place):
    with pods.provider() as provider:
        pods.inside(provider, "import os, signal; os.kill(1, signal.SIGTERM)")
        (loss,) = until(lambda: provider.losses, "the loss")
        assert "exit code 0" in loss.reason
        provider.wait_for_ready(PATIENCE_S)


def test_an_episode_that_is_lost_with_its_pod_is_told_to_the_client(pods: Place):
    async def play(provider):
        async with EchoEnv(base_url=provider.base_url) as env:
            await env.reset()
            await asyncio.to_thread(
                pods.kubectl, "delete", "pod", f"{provider.ownership.name}-0", "--grace-period=1"
            )
            await asyncio.to_thread(until, lambda: provider.losses, "the loss")
            await asyncio.to_thread(provider.wait_for_ready, PATIENCE_S)
            with pytest.raises(ConnectionError):
                await env.step(EchoAction(message="still there?"))
            return await env.reset()

    with pods.provider(command=()) as provider:
        assert asyncio.run(play(provider)).observation.echoed_message == "Echo environment ready!"


def test_the_log_is_that_of_all_replicas_in_the_order_of_time_and_without_secrets(pods: Place):
    speaking = "import os, time; print(os.environ['API_TOKEN'], flush=True); time.sleep(600)"
    provider = pods.provider(
        replicas=2, command=["python", "-c", speaking], env_vars={"API_TOKEN": "very-secret-indeed"}
    )
    provider.start()
    try:
        lines = until(lambda: len(found := provider.logs().splitlines()) == 2 and found, "both lines")
        assert sorted(lines) == ["[0] ***", "[1] ***"]
        assert len(provider.logs(tail=1).splitlines()) == 1
    finally:
        provider.stop()
    assert sorted(provider.logs().splitlines()) == ["[0] ***", "[1] ***"]
