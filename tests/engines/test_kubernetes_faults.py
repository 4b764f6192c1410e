"""What goes wrong with a real Kubernetes cluster: one clear error each, and nothing is left."""

import json
import socket

import pytest
import yaml
from tests.engines.cluster import DYING, PATIENCE_S, SLEEPING, Place, until

from openenv.errors import (
    EngineUnavailableError,
    ImageNotFoundError,
    NameTakenError,
    OutOfSpaceError,
    PortTakenError,
    ProviderError,
    ProviderNotReadyError,
    ProviderStartError,
)
from openenv.providers import KubernetesProvider, ownership


def failure(
    provider: KubernetesProvider, expected: type[ProviderError], pods: Place | None = None
) -> ProviderError:
    """Return the error of a start, which must leave nothing."""
    with pytest.raises(expected) as caught, provider:
        pass
    assert isinstance(caught.value, expected)
    assert not getattr(caught.value, "__notes__", None)
    if pods is not None:
        assert pods.leftovers(provider) == []
    return caught.value


def kubeconfig(pods: Place, tmp_path, **changed) -> str:
    """Return the path of a copy of the kubeconfig with another server or user."""
    with open(pods.cluster.kubeconfig) as file:
        config = yaml.safe_load(file)
    config["clusters"][0]["cluster"].update(changed.get("cluster", {}))
    config["users"][0]["user"] = changed.get("user", config["users"][0]["user"])
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return str(path)


# --- the cluster ------------------------------------------------------------------------------------


def test_no_kubeconfig(pods: Place, tmp_path):
    error = failure(pods.provider(kubeconfig=tmp_path / "none"), EngineUnavailableError)
    assert "there is no file" in str(error)


def test_a_context_that_the_kubeconfig_does_not_have(pods: Place):
    assert "contexts are" in str(failure(pods.provider(context="moon"), EngineUnavailableError))


def test_a_cluster_that_does_not_answer(pods: Place, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"https://127.0.0.1:{probe.getsockname()[1]}"
    path = kubeconfig(pods, tmp_path, cluster={"server": nobody})
    assert "does not answer" in str(failure(pods.provider(kubeconfig=path), EngineUnavailableError))


def test_a_certificate_of_somebody_else(pods: Place, tmp_path):
    changed = {"certificate-authority": None, "insecure-skip-tls-verify": None}
    path = kubeconfig(pods, tmp_path, cluster=changed)
    assert "CERTIFICATE" in str(failure(pods.provider(kubeconfig=path), EngineUnavailableError)).upper()


def test_a_token_that_is_not_known(pods: Place, tmp_path):
    path = kubeconfig(pods, tmp_path, user={"token": "a-stranger-with-a-token"})
    error = failure(pods.provider(kubeconfig=path), EngineUnavailableError)
    assert "does not know who we are" in str(error)
    assert "a-stranger-with-a-token" not in str(error)


def test_a_permission_that_is_missing_is_named(pods: Place, tmp_path):
    pods.kubectl("create", "serviceaccount", "nobody")
    secret = until(
        lambda: pods.kubectl("get", "serviceaccount", "nobody", "-o", "jsonpath={.secrets[0].name}"), "it"
    )
    token = pods.kubectl("get", "secret", secret, "-o", "go-template={{.data.token | base64decode}}")
    path = kubeconfig(pods, tmp_path, user={"token": token})
    error = failure(pods.provider(kubeconfig=path), EngineUnavailableError, pods)
    assert 'cannot create resource "jobs" in API group "batch"' in str(error)
    assert token not in str(error)


def test_a_namespace_that_is_not_there(pods: Place):
    error = failure(pods.provider(namespace="no-such-namespace"), ProviderStartError)
    assert "kubectl create namespace" in str(error)


# --- what does not start ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "image"), [("Never", "no/such:image"), ("IfNotPresent", "localhost:1/such:image")]
)
def test_an_image_that_is_missing_is_told_long_before_the_budget_is_over(pods: Place, policy, image):
    provider = pods.provider(image=image, image_pull_policy=policy, create_timeout_s=600, replicas=2)
    assert image in str(failure(provider, ImageNotFoundError, pods))


def test_a_pod_that_no_node_has_room_for(pods: Place):
    provider = pods.provider(resource_limits={"cpu": "900"}, resource_requests={}, create_timeout_s=3)
    assert "Insufficient cpu" in str(failure(provider, OutOfSpaceError, pods))


def test_a_pod_that_no_node_is_meant_for(pods: Place):
    provider = pods.provider(node_selector={"example.com/gpu": "yes"}, create_timeout_s=3)
    assert "didn't match" in str(failure(provider, ProviderStartError, pods))


def test_a_server_that_ends_again_and_again_shows_its_last_lines(pods: Place):
    error = failure(pods.provider(command=DYING, replicas=2), ProviderStartError, pods)
    assert "ends again and again" in str(error)
    assert "exit code 3" in str(error)
    assert error.log_tail.splitlines()[-1] == "the weights are missing"


def test_a_server_that_needs_more_memory_than_it_may_have(pods: Place):
    eating = ["python", "-c", "b = []\nwhile True: b.append(bytearray(10_000_000))"]
    provider = pods.provider(command=eating, resource_limits={"memory": "64Mi"})
    assert "OOMKilled" in str(failure(provider, ProviderStartError, pods))


def test_a_command_that_is_not_in_the_image(pods: Place):
    error = failure(pods.provider(command=["/no/such/program"]), ProviderStartError, pods)
    assert "/no/such/program" in str(error)


def test_a_server_that_never_gets_ready(pods: Place):
    provider = pods.provider(command=SLEEPING, ready_timeout_s=1.5)
    assert "ready budget of 1.5 s" in str(failure(provider, ProviderNotReadyError, pods))


def test_pods_that_do_not_run_in_time(pods: Place):
    provider = pods.provider(create_timeout_s=0.01)
    assert "create budget of 0.01 s" in str(failure(provider, ProviderStartError, pods))


def test_a_secret_that_is_missing(pods: Place):
    provider = pods.provider(env_from=["no-such-secret"], create_timeout_s=600)
    assert 'secret "no-such-secret" not found' in str(failure(provider, ProviderStartError, pods))


def test_an_option_that_the_cluster_finds_invalid(pods: Place):
    provider = pods.provider(resource_limits={"memory": "much"})
    assert "quantities must match" in str(failure(provider, ProviderStartError, pods))


def test_a_quota_that_is_used_up(pods: Place):
    name = f"{pods.namespace}-few"
    pods.cluster.kubectl("create", "namespace", name)
    try:
        until(lambda: "default" in pods.cluster.kubectl("-n", name, "get", "serviceaccounts"), "a service account")
        pods.cluster.kubectl("create", "-n", name, "quota", "few", "--hard=pods=2")
        until(lambda: "0/2" in pods.cluster.kubectl("-n", name, "get", "quota", "few"), "the quota")
        provider = pods.provider(namespace=name, replicas=4, create_timeout_s=600)
        assert "exceeded quota" in str(failure(provider, OutOfSpaceError))
        assert json.loads(pods.cluster.kubectl("-n", name, "get", "jobs,pods", "-o", "json"))["items"] == []
    finally:
        pods.cluster.kubectl("delete", "namespace", name, timeout_s=120)


# --- names and ports --------------------------------------------------------------------------------


def test_two_providers_that_race_for_a_name(pods: Place, monkeypatch):
    class Always:
        hex = "0123456789ab" * 3

    first, second = pods.provider(), pods.provider(command=SLEEPING)
    with first:
        monkeypatch.setattr(ownership.uuid, "uuid4", Always)
    monkeypatch.setattr(ownership.uuid, "uuid4", Always)
    with first:
        with pytest.raises(NameTakenError, match="already"):
            second.start()
        assert first.losses == []
        first.wait_for_ready(PATIENCE_S)


def test_a_local_port_that_is_taken(pods: Place):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        provider = pods.provider()
        with pytest.raises(PortTakenError):
            provider.start(port=taken.getsockname()[1])
    assert pods.leftovers(provider) == []
