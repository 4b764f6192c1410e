"""With the rights of docs/providers/kubernetes-role.yaml and no more, from outside the cluster and from a pod."""

import asyncio
import json
from pathlib import Path

import pytest
import yaml
from tests.engines.cluster import DYING, PATIENCE_S, Place, until

from echo_env import EchoEnv
from openenv.errors import ImageNotFoundError, ProviderStartError
from openenv.providers import KubernetesProvider

ROLE = Path(__file__).parents[2] / "docs" / "providers" / "kubernetes-role.yaml"
ACCOUNT = "trainer"

TRAINER = """
import asyncio, sys
from echo_env import EchoEnv
from openenv.providers import KubernetesProvider

async def main():
    provider = KubernetesProvider(
        image=sys.argv[1], image_pull_policy="Never", replicas=2, stop_grace_s=1,
        resource_limits={"cpu": "1", "memory": "256Mi"}, resource_requests={"cpu": "10m", "memory": "32Mi"},
    )
    async with EchoEnv.with_provider(provider) as envs:
        results = await asyncio.gather(*[env.reset() for env in envs])
        print("reset", len(results), provider.urls[0], flush=True)
    print("gone", flush=True)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def account(pods: Place) -> str:
    """Make a service account with the role of the documentation and return its token."""
    pods.kubectl("create", "serviceaccount", ACCOUNT)
    pods.kubectl("apply", "-f", str(ROLE))
    secret = until(
        lambda: pods.kubectl("get", "serviceaccount", ACCOUNT, "-o", "jsonpath={.secrets[0].name}"), "its secret"
    )
    return pods.kubectl("get", "secret", secret, "-o", "go-template={{.data.token | base64decode}}")


@pytest.fixture
def kubeconfig(pods: Place, account: str, tmp_path) -> str:
    """Return the path of a kubeconfig of the service account, for its namespace."""
    with open(pods.cluster.kubeconfig) as file:
        config = yaml.safe_load(file)
    config["users"][0]["user"] = {"token": account}
    config["contexts"][0]["context"]["namespace"] = pods.namespace
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return str(path)


@pytest.mark.parametrize("access", ["port-forward", "cluster-ip", "node-port", "pod-ip"])
def test_the_role_of_the_documentation_is_enough(pods: Place, kubeconfig, access):
    async def train(provider):
        async with EchoEnv.with_provider(provider) as envs:
            return await asyncio.gather(*[env.reset() for env in envs])

    provider = pods.provider(namespace=None, kubeconfig=kubeconfig, command=(), replicas=2, access=access)
    assert len(asyncio.run(train(provider))) == 2
    assert "Uvicorn" in provider.logs() or "startup complete" in provider.logs()
    assert pods.leftovers(provider) == []


def test_it_is_enough_to_list_and_remove(pods: Place, kubeconfig):
    with pods.provider(namespace=None, kubeconfig=kubeconfig) as provider:
        (found,) = [each for each in provider.owned(provider.where()) if each.ownership == provider.ownership]
        KubernetesProvider.remove(found)
        assert pods.leftovers(provider) == []


def test_it_is_enough_to_be_told_what_is_wrong(pods: Place, kubeconfig):
    missing = pods.provider(kubeconfig=kubeconfig, image="no/such:image")
    with pytest.raises(ImageNotFoundError), missing:
        pass
    with (
        pytest.raises(ProviderStartError, match="the weights are missing"),
        pods.provider(kubeconfig=kubeconfig, command=DYING),
    ):
        pass


def test_a_trainer_in_a_pod_uses_its_own_cluster(pods: Place, account):
    trainer = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "trainer"},
        "spec": {
            "serviceAccountName": ACCOUNT,
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "trainer",
                    "image": pods.image,
                    "imagePullPolicy": "Never",
                    "command": ["python", "-c", TRAINER, pods.image],
                }
            ],
        },
    }
    pods.kubectl("run", "trainer", f"--image={pods.image}", f"--overrides={json.dumps(trainer)}")
    try:
        ended = ("Succeeded", "Failed")
        phase = ["get", "pod", "trainer", "-o", "jsonpath={.status.phase}"]
        until(lambda: pods.kubectl(*phase) in ended, "the trainer's end", 3 * PATIENCE_S)
        log = pods.kubectl("logs", "trainer")
        assert pods.kubectl(*phase) == "Succeeded", log
        assert "reset 2 http://10." in log
        assert log.splitlines()[-1] == "gone"
    finally:
        pods.kubectl("delete", "pod", "trainer", "--grace-period=0", "--force")
