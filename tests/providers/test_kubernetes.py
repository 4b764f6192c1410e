"""What can be told of the Kubernetes provider without a cluster."""

import asyncio
import subprocess
import sys

import pytest

from openenv.errors import ConfigurationError, ImageNotFoundError, OutOfSpaceError, ProviderStartError
from openenv.providers import KubernetesProvider, get_provider
from openenv.providers.kubernetes.backstage import Backstage
from openenv.providers.kubernetes.manifests import PodOptions, anchor, stateful_set
from openenv.providers.kubernetes.pods import Pod
from openenv.providers.ownership import Ownership
from openenv.providers.source import Source


def pod(*, phase="Pending", state=None, restarts=0, last=None, conditions=()) -> Pod:
    container = {"state": state or {}, "restartCount": restarts, "lastState": {"terminated": last} if last else {}}
    return Pod(
        {
            "metadata": {"name": "openenv-x-12", "uid": "u"},
            "spec": {"containers": [{"image": "some/image:1"}]},
            "status": {"phase": phase, "containerStatuses": [container], "conditions": list(conditions)},
        }
    )


def waiting(reason, message=""):
    return {"waiting": {"reason": reason, "message": message}}


def test_it_is_found_by_its_name():
    assert type(get_provider("kubernetes", replicas=3)) is KubernetesProvider


def test_importing_it_loads_neither_http_nor_yaml():
    program = (
        "import sys, openenv.providers.kubernetes as k; k.KubernetesProvider();"
        "print(sorted({'httpx', 'websockets', 'yaml'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout == "[]\n"
    )


@pytest.mark.parametrize("option", [{"replicas": 0}, {"access": "magic"}, {"egress": "maybe"}])
def test_options_that_cannot_be_are_refused(option):
    with pytest.raises(ConfigurationError, match=next(iter(option))):
        KubernetesProvider(**option)


def test_an_option_of_the_class_is_no_option_of_a_start():
    with pytest.raises(ConfigurationError, match="replicas"):
        KubernetesProvider().start_container("image", replicas=3)


def test_variables_of_one_start_are_not_those_of_the_next(monkeypatch):
    seen = []
    monkeypatch.setattr(
        KubernetesProvider, "_roll_out", lambda self, *_: seen.append(dict(self.env_vars)) or ["http://pod"]
    )
    provider = KubernetesProvider(image="image", env_vars={"A": "1"})
    provider.start_container("image", env_vars={"TOKEN": "secret"})
    provider.stop()
    provider.start_container("image")
    provider.stop()
    provider.start(Source())
    provider.stop()
    assert seen == [{"A": "1", "TOKEN": "secret"}, {"A": "1"}, {"A": "1"}]


@pytest.mark.parametrize(
    ("given", "error", "final", "told"),
    [
        ({"state": waiting("ErrImageNeverPull")}, ImageNotFoundError, True, "some/image:1"),
        ({"state": waiting("ErrImagePull", "manifest unknown")}, ImageNotFoundError, True, "manifest unknown"),
        ({"state": waiting("ErrImagePull", "i/o timeout")}, ImageNotFoundError, False, "i/o timeout"),
        ({"state": waiting("CreateContainerConfigError", "no secret")}, ProviderStartError, True, "no secret"),
        (
            {"state": waiting("CrashLoopBackOff"), "last": {"reason": "OOMKilled", "exitCode": 137}},
            ProviderStartError,
            True,
            "OOMKilled, exit code 137",
        ),
        ({"phase": "Failed"}, ProviderStartError, False, "failed"),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3: 3 Insufficient cpu."}]},
            OutOfSpaceError,
            False,
            "Insufficient cpu",
        ),
    ],
)
def test_what_a_cluster_says_of_a_pod_is_understood(given, error, final, told):
    trouble = pod(**given).trouble()
    assert trouble is not None
    assert (trouble.error, trouble.final) == (error, final)
    assert told in trouble.message


def test_a_pod_that_runs_is_in_no_trouble():
    running = pod(phase="Running", state={"running": {}}, restarts=1)
    assert running.running
    assert running.trouble() is None
    assert running.index == 12


def test_a_pod_that_runs_again_is_in_no_trouble_however_often_it_was_restarted():
    """Restarts are counted for days, and each of them is told when it happens."""
    ended = {"reason": "OOMKilled", "exitCode": 137}
    assert pod(phase="Running", state={"running": {}}, restarts=7, last=ended).trouble() is None
    trouble = pod(phase="Running", state={"terminated": ended}, restarts=7).trouble()
    assert trouble is not None
    assert trouble.final


def test_everything_is_owned_by_an_anchor_whose_time_counts():
    ownership = Ownership.new("kubernetes", 7.2)
    job = anchor(ownership, 7.2)
    assert job["spec"]["activeDeadlineSeconds"] == 8
    assert job["spec"]["ttlSecondsAfterFinished"] == 0
    servers = stateful_set(ownership, {"metadata": {"name": "a", "uid": "u"}}, PodOptions("image"), 3)
    (owner,) = servers["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["blockOwnerDeletion"]) == ("Job", "u", True)
    assert "activeDeadlineSeconds" not in anchor(ownership, None)["spec"]


def test_what_goes_on_backstage_is_ended_with_it():
    ended = []

    async def go_on():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def begin():
        return asyncio.ensure_future(go_on())

    backstage = Backstage()
    backstage.call(begin())
    backstage.close()
    assert ended == [True]
