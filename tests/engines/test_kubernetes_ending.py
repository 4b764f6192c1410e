"""Nothing is left on a real Kubernetes node: whoever ends, and however."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import yaml
from tests.engines.cluster import HEALTHY, PATIENCE_S, Place, until

from openenv.errors import EngineUnavailableError
from openenv.providers import KubernetesProvider

PROGRAM = """
import json, sys, time
from openenv.providers import KubernetesProvider
provider = KubernetesProvider(**json.loads(sys.argv[1]))
if sys.argv[2] == "unguarded":
    type(provider).outlives_program = False
provider.start()
provider.wait_for_ready()
print(provider.ownership.name, flush=True)
if sys.argv[2] != "ends":
    time.sleep(600)
"""


class Trainer:
    """A program that has started a provider and may be killed."""

    def __init__(self, pods: Place, how: str, **options) -> None:
        self.pods = pods
        given = {
            "namespace": pods.namespace,
            "image": pods.image,
            "image_pull_policy": "Never",
            "kubeconfig": pods.cluster.kubeconfig,
            "command": HEALTHY,
            "resource_limits": {"cpu": "1", "memory": "256Mi"},
            "resource_requests": {"cpu": "10m", "memory": "32Mi"},
            "stop_grace_s": 1.0,
            **options,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(given), how], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.name = self.process.stdout.readline().strip()
        assert self.name, "it did not start"

    def left(self) -> str:
        """Return what the cluster still has of it."""
        return self.pods.kubectl(
            "get",
            "jobs,statefulsets,pods,services,networkpolicies",
            "-o",
            "name",
            "-l",
            f"openenv.name={self.name}",
        )

    def kill(self) -> None:
        """Kill it, and nobody else."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def __enter__(self) -> "Trainer":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.pods.kubectl("delete", "job", self.name, "--ignore-not-found", "--cascade=foreground", timeout_s=120)


def test_a_program_that_ends_takes_its_pods_along(pods: Place):
    with Trainer(pods, "ends") as trainer:
        assert trainer.process.wait(PATIENCE_S) == 0
        assert trainer.left() == ""


def test_a_program_that_ends_finds_a_cluster_that_has_a_name(pods: Place, tmp_path):
    """Looking a name up takes a thread, which the standard library refuses a program at its end."""
    with open(pods.cluster.kubeconfig) as file:
        config = yaml.safe_load(file)
    cluster = config["clusters"][0]["cluster"]
    cluster["server"] = f"https://localhost:{httpx.URL(cluster['server']).port}"
    cluster["tls-server-name"] = "kubernetes.default.svc"
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    with Trainer(pods, "ends", kubeconfig=str(tmp_path / "kubeconfig")) as trainer:
        assert trainer.process.wait(PATIENCE_S) == 0
        assert trainer.left() == ""


def test_the_guardian_reaps_what_a_killed_program_had(pods: Place):
    with Trainer(pods, "sleeps") as trainer:
        assert trainer.left()
        trainer.kill()
        until(lambda: not trainer.left(), "the guardian's work")


def test_the_cluster_ends_what_nobody_ends_when_the_lifetime_is_over(pods: Place):
    lifetime_s = 25.0
    begun = time.monotonic()
    with Trainer(pods, "unguarded", lifetime_s=lifetime_s, replicas=2) as trainer:
        trainer.kill()
        assert trainer.left()
        until(lambda: not trainer.left(), "the end of the lifetime")
        assert time.monotonic() - begun >= lifetime_s - 1


def test_what_is_owned_can_be_listed_and_removed_by_another_program(pods: Place):
    provider = pods.provider(replicas=2)
    with provider:
        where = provider.where()
        (found,) = [each for each in provider.owned(where) if each.ownership == provider.ownership]
        assert found.kind == "pods"
        assert found.where == where
        until(lambda: "2 of 2 ready" in str(provider.owned(where)), "their state")
        assert abs(time.time() - (found.created or 0)) < PATIENCE_S
        assert not found.expired
        KubernetesProvider.remove(found)
        assert pods.leftovers(provider) == []
        KubernetesProvider.remove(found)
        assert [each for each in provider.owned(where) if each.ownership == provider.ownership] == []


def test_the_usual_way_finds_what_is_in_all_namespaces(pods: Place, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", pods.cluster.kubeconfig)
    with pods.provider() as provider:
        assert provider.ownership in [each.ownership for each in KubernetesProvider.owned({})]


def test_stopping_while_pods_are_still_coming_up_leaves_nothing(pods: Place):
    provider = pods.provider(node_selector={"example.com/gpu": "yes"}, create_timeout_s=600)
    errors: list[BaseException] = []

    def start() -> None:
        try:
            provider.start()
        except BaseException as error:
            errors.append(error)

    starting = threading.Thread(target=start, daemon=True)
    starting.start()
    until(lambda: provider._ownership is not None and pods.leftovers(provider), "the anchor")
    provider.stop()
    starting.join(PATIENCE_S)
    assert "stopped" in str(errors[0])
    assert pods.leftovers(provider) == []


# --- an API server that is killed ----------------------------------------------------------------------


class ApiServer:
    """The node's API server, to be killed and started again as it was."""

    def __init__(self, pods: Place) -> None:
        self._pods = pods
        port = httpx.URL(
            pods.cluster.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
        ).port
        self.pid = self._listening(port)
        self._command = Path(f"/proc/{self.pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        self._folder = os.readlink(f"/proc/{self.pid}/cwd")
        self._program = os.readlink(f"/proc/{self.pid}/exe")
        self._log = os.readlink(f"/proc/{self.pid}/fd/1")

    @staticmethod
    def _listening(port: int | None) -> int:
        folder = Path("/proc")
        for each in folder.iterdir():
            if each.name.isdigit():
                words = (each / "cmdline").read_bytes().split(b"\0")
                if words[0].endswith(b"kube-apiserver") and f"--secure-port={port}".encode() in words:
                    return int(each.name)
        pytest.skip("the API server is not a process of this machine")

    def kill(self) -> None:
        """Kill it."""
        os.kill(self.pid, signal.SIGKILL)

    def start(self) -> None:
        """Start it again, in a session of its own: it outlives the tests as the first one did."""
        command = [self._program, *map(os.fsdecode, self._command[1:])]
        begun = subprocess.run(
            [
                "sh",
                "-c",
                'log=$1; shift; setsid "$@" >>"$log" 2>&1 </dev/null & echo $!',
                "sh",
                self._log,
                *command,
            ],
            cwd=self._folder,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=PATIENCE_S,
        )
        now = int(begun.stdout)
        _tell_the_scripts(self._pods, self.pid, now)
        self.pid = now
        until(self._answers, "the API server")

    def _answers(self) -> bool:
        try:
            return bool(self._pods.cluster.kubectl("get", "--raw", "/readyz"))
        except AssertionError:
            return False


def _tell_the_scripts(pods: Place, before: int, now: int) -> None:
    """Write the new process id where the scripts that end the node look for the old one."""
    birth = Path(f"/proc/{now}/stat").read_text().rpartition(") ")[2].split()[19]
    folder = Path(pods.cluster.kubeconfig).parent
    for path in (*folder.parent.glob("pids/*"), *folder.glob("*.pid")):
        if path.read_text().split()[:1] == [str(before)]:
            path.write_text(f"{now} {birth}\n" if path.suffix != ".pid" else f"{now}\n")


def test_an_api_server_that_is_killed_is_survived(pods: Place, caplog):
    server = ApiServer(pods)
    with pods.provider(access="cluster-ip") as direct, pods.provider() as forwarded:
        server.kill()
        try:
            assert httpx.get(f"{direct.base_url}/health").status_code == 200
            with pytest.raises(EngineUnavailableError, match="does not answer"):
                direct.stop()
            assert direct.base_url, "it counts as running, so that stop can be called again"
            assert direct.losses == []
            with pytest.raises(httpx.TransportError):
                httpx.get(f"{forwarded.base_url}/health")
        finally:
            server.start()
        forwarded.wait_for_ready(PATIENCE_S)
        direct.stop()
        assert pods.leftovers(direct) == []
    assert pods.leftovers(forwarded) == []
    assert "cannot be watched" in caplog.text
