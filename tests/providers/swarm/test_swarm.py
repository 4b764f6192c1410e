"""The swarm provider, as far as it can be told without a swarm. `tests/engines/test_swarm.py` has the rest."""

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from openenv.errors import (
    ConfigurationError,
    EngineUnavailableError,
    ImageNotFoundError,
    OutOfSpaceError,
    PortTakenError,
    ProviderStartError,
)
from openenv.providers import DockerSwarmProvider, get_provider
from openenv.providers.docker.images import Image
from openenv.providers.ownership import Ownership
from openenv.providers.swarm.command import _UNTIL, task_command
from openenv.providers.swarm.options import ServiceOptions
from openenv.providers.swarm.service import Plan
from openenv.providers.swarm.tasks import by_slot, refusal, tasks_of

IMAGE = Image("echo-env:latest", "sha256:1", (), ("openenv", "serve", "echo_env"), "1000", {}, {})
ROOTED = Image("old-env:latest", "sha256:2", (), ("serve",), "", {}, {})


def plan(image: Image = IMAGE, lifetime_s: float | None = 60.0, **options) -> Plan:
    ownership = Ownership.new("swarm", lifetime_s)
    return Plan("named", image, ServiceOptions.of(options), 2, {"A": "1"}, ownership, grace_s=2.0)


def api_task(task_id: str, slot: int, state: str, wanted: str = "running", created: int = 0, **more):
    return {
        "ID": task_id,
        "ServiceID": "mine",
        "Slot": slot,
        "DesiredState": wanted,
        "CreatedAt": f"2026-01-01T00:00:{created:02}Z",
        "Status": {"State": state, **more},
    }


# --- what a service is made with ----------------------------------------------------------------------


def test_a_service_is_held_in_by_default():
    template = plan().template((1, 46))
    container = template["ContainerSpec"]
    assert container["ReadOnly"]
    assert container["CapabilityDrop"] == ["ALL"]
    assert container["Privileges"] == {"NoNewPrivileges": True}
    assert container["User"] == "1000"
    assert container["Mounts"][0]["Target"] == "/tmp"
    assert "OPENENV_EGRESS=deny" in container["Env"]
    assert container["StopGracePeriod"] == 2_000_000_000
    assert template["Resources"]["Limits"] == {"NanoCPUs": 2_000_000_000, "MemoryBytes": 2 << 30, "Pids": 512}


def test_each_protection_is_loosened_by_name():
    loose = {"read_only": False, "cap_drop": [], "no_new_privileges": False, "egress": "allow", "tmpfs": None}
    template = plan(memory=None, cpus=None, pids_limit=None, user=0, **loose).template((1, 46))
    container = template["ContainerSpec"]
    assert not container["ReadOnly"]
    assert (container["CapabilityDrop"], container["Mounts"], container["User"]) == ([], [], "0")
    assert "Privileges" not in container
    assert container["Env"] == ["A=1"]
    assert template["Resources"]["Limits"] == {}


def test_an_image_that_runs_as_root_runs_as_nobody():
    container = plan(ROOTED).template((1, 46))["ContainerSpec"]
    assert container["User"] == "65534:65534"
    assert "HOME=/tmp" in container["Env"]


def test_an_engine_that_does_not_know_no_new_privileges_is_not_asked_for_it():
    assert "Privileges" not in plan().template((1, 41))["ContainerSpec"]


def test_it_is_placed_as_was_asked():
    placed = plan(constraints=["node.role==worker"], preferences=["node.labels.rack"], max_replicas_per_node=3)
    placement = placed.template((1, 46))["Placement"]
    assert placement["Constraints"] == ["node.role==worker"]
    assert placement["Preferences"] == [{"Spread": {"SpreadDescriptor": "node.labels.rack"}}]
    assert placement["MaxReplicas"] == 3


@pytest.mark.parametrize("publish", ["host", "ingress"])
def test_a_port_is_published_in_the_way_that_was_asked(publish):
    [port] = ServiceOptions.of({"publish": publish}).endpoint()["Ports"]
    assert port == {"Protocol": "tcp", "TargetPort": 8000, "PublishMode": publish}
    assert ServiceOptions.of({"port": 31000}).endpoint()["Ports"][0]["PublishedPort"] == 31000


def test_service_and_containers_carry_the_owner():
    made = plan(labels={"team": "rl"})
    labels = made.template((1, 46))["ContainerSpec"]["Labels"]
    assert labels == made.labels
    assert labels["team"] == "rl"
    assert Ownership.from_labels(labels) == made.ownership


def test_a_task_that_is_not_to_be_replaced_is_not():
    assert plan().template((1, 46))["RestartPolicy"]["Condition"] == "on-failure"
    assert plan(replace_ended=False).template((1, 46))["RestartPolicy"]["Condition"] == "none"


@pytest.mark.parametrize(
    "options",
    [
        {"publish": "dns"},
        {"egress": "some"},
        {"constraints": "node.role==worker"},
        {"memmory": "1g"},
    ],
)
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ConfigurationError):
        DockerSwarmProvider("echo-env:latest", **options)


def test_an_amount_of_memory_that_is_none_is_refused():
    with pytest.raises(ConfigurationError, match="512m"):
        plan(memory="much").template((1, 46))


# --- the lifetime ---------------------------------------------------------------------------------------
# The first process itself is for containers, so it is not run here: only what stands before it.


def until(expires: float, *command: str) -> "subprocess.CompletedProcess[str]":
    whole = [sys.executable, "-I", "-S", "-c", _UNTIL, str(expires), "1", *command]
    return subprocess.run(whole, capture_output=True, text=True, timeout=60, check=True)


def test_a_task_that_starts_after_the_end_is_done_at_once():
    assert until(time.time() - 1, "echo", "left", "started").stdout == ""


def test_a_task_that_starts_before_the_end_gets_the_seconds_that_are_left():
    left, rest = until(time.time() + 1000, "echo", "left", "started").stdout.split()
    assert 900 < float(left) <= 1000
    assert rest == "started"


def test_the_seconds_are_put_where_the_first_process_looks_for_them():
    command = task_command(["serve"], expires=2_000_000_000, grace_s=1, port=8000)
    place = command.index("2000000000")
    below = command[place + 2 :]
    assert below[int(command[place + 1])] == "7"
    assert below[-1] == "serve"


# --- tasks ------------------------------------------------------------------------------------------------


def test_a_slot_is_filled_by_the_task_that_runs():
    answer = [
        api_task("new", 1, "starting", created=2),
        api_task("old", 1, "running", created=1),
        api_task("gone", 2, "failed", "shutdown", created=1, Err="task: non-zero exit (3)"),
        api_task("next", 2, "running", created=2, PortStatus={"Ports": [{"PublishedPort": 30001}]}),
        {**api_task("alien", 1, "running"), "ServiceID": "another"},
    ]
    slots = by_slot(tasks_of(answer, "mine"))
    assert {slot: task.id for slot, task in slots.items()} == {1: "old", 2: "next"}
    assert slots[2].port == 30001


def test_a_task_that_the_swarm_is_about_to_end_does_not_count_as_running():
    [task] = tasks_of([api_task("one", 1, "running", "shutdown")], "mine")
    assert not task.runs


def test_the_exit_code_is_told_where_the_swarm_says_nothing():
    [task] = tasks_of([api_task("one", 1, "failed", ContainerStatus={"ExitCode": 7})], "mine")
    assert task.said == "exit code 7"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("No such image: nobody-has-this:latest", ImageNotFoundError),
        ("no suitable node (insufficient resources on 2 nodes)", OutOfSpaceError),
        ("no suitable node (host-mode port already in use on 2 nodes)", PortTakenError),
        ("no suitable node (scheduling constraints not satisfied on 2 nodes)", ProviderStartError),
        ("task: non-zero exit (3)", ProviderStartError),
    ],
)
def test_what_the_swarm_says_becomes_an_error_that_helps(said, kind):
    found, advice = refusal(said)
    assert found is kind
    assert advice


# --- the provider -----------------------------------------------------------------------------------------


def test_it_is_known_by_its_name():
    assert type(get_provider("swarm")) is DockerSwarmProvider


def test_an_engine_that_is_not_there_is_told(tmp_path):
    provider = DockerSwarmProvider("echo-env:latest", base_url=f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineUnavailableError, match="nothing is there"):
        provider.start()
    provider.stop()


def test_no_image_is_told():
    with pytest.raises(ConfigurationError, match="which image"):
        DockerSwarmProvider().start()


class Manager:
    """A client of an engine that manages a swarm: it makes a service, and its answer is lost."""

    def __init__(self, *, manages: bool = True) -> None:
        self.services: dict[str, dict] = {}
        self.asked = 0
        self.api = SimpleNamespace(
            api_version="1.46",
            create_service=self.create,
            services=self.find,
            remove_service=self.services.pop,
            tasks=list,
        )
        self.images = SimpleNamespace(
            get=lambda _: SimpleNamespace(attrs={"Id": "1", "Config": {"Cmd": ["serve"]}})
        )
        self.info = lambda: {"Swarm": {"ControlAvailable": manages}}

    def create(self, _, *, name, labels, **more):
        import docker.errors
        import requests

        self.asked += 1
        if self.services:  # a swarm looks at ports first, then at names
            said = f"rpc error: port '8000' is already in use by service '{name}' (one) as an ingress port"
            raise docker.errors.APIError(said, explanation=said)
        self.services["one"] = {"ID": "one", "Spec": {"Name": name, "Labels": labels}}
        raise requests.ReadTimeout("Read timed out.")

    def find(self, filters):
        key, _, value = filters["label"].partition("=")
        return [one for one in self.services.values() if one["Spec"]["Labels"].get(key) == value]

    def close(self):
        pass


def test_a_service_is_removed_whose_answer_was_lost_and_whose_port_is_its_own(monkeypatch):
    """Asked again, the swarm refuses for another reason than the name, and has the service all the same."""
    manager = Manager()
    monkeypatch.setattr(DockerSwarmProvider, "_connect", lambda _: (manager, "tcp://manager:2376"))
    provider = DockerSwarmProvider("echo-env:latest", publish="ingress", port=8000)
    with pytest.raises(EngineUnavailableError, match="does not answer in time"):
        provider.start()
    assert manager.asked == 2
    assert manager.services == {}


def test_an_engine_that_manages_no_swarm_is_told_and_is_asked_for_no_services(monkeypatch):
    manager = Manager(manages=False)
    manager.api.services = None
    monkeypatch.setattr(DockerSwarmProvider, "_connect", lambda _: (manager, "tcp://manager:2376"))
    with pytest.raises(EngineUnavailableError, match="swarm init") as caught:
        DockerSwarmProvider("echo-env:latest").start()
    assert not hasattr(caught.value, "__notes__")
