"""The swarm provider on a real swarm of two nodes, and what happens when parts of it die."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.engines.reach import Swarm
from tests.servers import wait_until

from echo_env import EchoAction, EchoEnv
from openenv.errors import (
    ConfigurationError,
    EngineUnavailableError,
    ImageNotFoundError,
    NameTakenError,
    OutOfSpaceError,
    PortTakenError,
    ProviderStartError,
    ReplicaLostError,
)
from openenv.providers import DockerSwarmProvider
from openenv.providers.swarm import service
from openenv.testing import ProviderContract

HERE = Path(__file__).parent
PATIENCE_S = 90.0
DYING = ["python", "-c", "print('the weights are missing', flush=True); raise SystemExit(3)"]
UNREADY = ["python", "-m", "http.server", "8000", "--directory", "/tmp"]

Make = Callable[..., DockerSwarmProvider]


@pytest.fixture(scope="module")
def image(swarm: Swarm, echo_image: str) -> str:
    """The image of the echo environment, on both nodes."""
    swarm.load(echo_image)
    return echo_image


@pytest.fixture
def make(swarm: Swarm, image: str) -> Iterator[Make]:
    """A maker of providers of the echo environment; they are stopped at the end of the test."""
    made: list[DockerSwarmProvider] = []

    def provider(of: str = image, **options) -> DockerSwarmProvider:
        options = {"base_url": swarm.manager.url, "ready_timeout_s": PATIENCE_S, "stop_grace_s": 1.0, **options}
        made.append(DockerSwarmProvider(of, **options))
        return made[-1]

    yield provider
    for each in made:
        each.stop()


def inspect(swarm: Swarm, provider: DockerSwarmProvider) -> dict:
    name = provider.ownership.name
    return json.loads(swarm.manager.run("service", "inspect", name))[0]["Spec"]


def containers(swarm: Swarm, name: str) -> list[tuple[object, str]]:
    """Return the containers of a start of a provider, on both nodes."""
    label = f"label=openenv.name={name}"
    nodes = (swarm.manager, swarm.worker)
    return [(node, one) for node in nodes for one in node.run("ps", "-aq", "--filter", label).split()]


def services(swarm: Swarm, name: str) -> list[str]:
    return swarm.manager.run("service", "ls", "-q", "--filter", f"label=openenv.name={name}").split()


@contextmanager
def trainer(image: str, replicas: int, lifetime_s: float) -> Iterator[tuple[subprocess.Popen, str, list[str]]]:
    """A program of its own that has started servers."""
    command = [sys.executable, str(HERE / "swarm_driver.py"), image, str(replicas), str(lifetime_s)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        name, *urls = running.stdout.readline().split()
        yield running, name, urls
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


class TestContract(ProviderContract):
    loopback = False

    @pytest.fixture(autouse=True)
    def _engine(self, swarm: Swarm, make: Make) -> None:
        self.swarm, self.make = swarm, make

    def make_provider(self):
        return self.make(replicas=2)

    def make_dying_provider(self):
        return self.make(command=DYING)

    def make_unready_provider(self):
        return self.make(command=UNREADY, ready_timeout_s=1.5)

    def leftovers(self, provider):
        name = provider.ownership.name
        wait_until(lambda: not containers(self.swarm, name), PATIENCE_S)
        return [*containers(self.swarm, name), *services(self.swarm, name)]


# --- what it is for ---------------------------------------------------------------------------------


def test_replicas_are_spread_over_both_nodes_and_each_has_its_own_address(make, swarm):
    with make(replicas=4) as provider:
        hosts = {httpx.URL(url).host for url in provider.urls}
        assert hosts == {swarm.worker_address, "10.99.0.1"}
        assert len(set(provider.urls)) == 4


def test_a_client_plays_on_every_replica_at_once(make):
    async def play() -> list[str]:
        async with EchoEnv.with_provider(make(replicas=3)) as envs:
            await asyncio.gather(*[env.reset() for env in envs])
            results = await asyncio.gather(*[env.step(EchoAction(message=str(n))) for n, env in enumerate(envs)])
            return [result.observation.echoed_message for result in results]

    assert asyncio.run(play()) == ["0", "1", "2"]


def test_replicas_run_only_where_the_constraints_allow(make, swarm):
    with make(replicas=2, constraints=["node.role==worker"]) as provider:
        assert {httpx.URL(url).host for url in provider.urls} == {swarm.worker_address}


def test_replicas_are_held_in(make, swarm):
    with make(memory="300m", cpus=0.5, pids_limit=64, labels={"team": "rl"}) as provider:
        spec = inspect(swarm, provider)
        assert spec["Labels"]["team"] == "rl"
        limits = spec["TaskTemplate"]["Resources"]["Limits"]
        assert (limits["MemoryBytes"], limits["NanoCPUs"], limits["Pids"]) == (300 << 20, 500_000_000, 64)
        [(node, container)] = containers(swarm, provider.ownership.name)
        host = json.loads(node.run("inspect", container))[0]
        assert host["HostConfig"]["ReadonlyRootfs"]
        assert host["HostConfig"]["CapDrop"] == ["ALL"]
        assert host["Config"]["User"] == "1000"
        assert "OPENENV_EGRESS=deny" in host["Config"]["Env"]
        write = "touch /tmp/x && ! touch /x 2>/dev/null && echo held"
        assert node.run("exec", container, "sh", "-c", write) == "held"


def test_replicas_join_a_network(make, swarm):
    swarm.manager.run("network", "create", "--driver", "overlay", "--attachable", "openenv-tests-net")
    try:
        with make(networks=["openenv-tests-net"]) as provider:
            [(node, container)] = containers(swarm, provider.ownership.name)
            joined = json.loads(node.run("inspect", container))[0]["NetworkSettings"]["Networks"]
            assert "openenv-tests-net" in joined
        wait_until(lambda: not containers(swarm, provider.ownership.name), PATIENCE_S)
    finally:
        swarm.manager.run("network", "rm", "openenv-tests-net")


def test_the_routing_mesh_gives_one_address_for_all(make, swarm):
    provider = make(replicas=2, publish="ingress")
    url = provider.start()  # whether it answers depends on the machine's IPVS
    assert provider.urls == [url]
    [port] = inspect(swarm, provider)["EndpointSpec"]["Ports"]
    assert port["PublishMode"] == "ingress"
    provider.stop()
    assert services(swarm, provider.ownership.name) == []


# --- who it belongs to ------------------------------------------------------------------------------


def test_what_it_makes_is_listed_and_can_be_removed_by_others(make, swarm):
    provider = make()
    provider.start()
    [resource] = [one for one in DockerSwarmProvider.owned(provider.where()) if one.ownership == provider.ownership]
    assert (resource.kind, resource.state) == ("service", "1 of 1 running")
    assert resource.created
    DockerSwarmProvider.remove(resource)
    DockerSwarmProvider.remove(resource)
    assert services(swarm, provider.ownership.name) == []


def test_a_name_that_another_service_has_is_refused_and_that_service_lives(make, swarm):
    with make(name="openenv-tests-named") as first:
        with pytest.raises(NameTakenError, match="openenv-tests-named"):
            make(name="openenv-tests-named").start()
        assert httpx.get(f"{first.base_url}/health", trust_env=False).status_code == 200


def test_a_create_that_is_sent_twice_makes_one_service(make, swarm):
    with make() as provider:
        again = service.create(provider._client, provider._plan, swarm.manager.url)
        assert again == provider._service
        assert len(services(swarm, provider.ownership.name)) == 1


def test_a_killed_trainer_leaves_nothing(swarm, image):
    with trainer(image, 2, 3600) as (program, name, urls):
        assert len(urls) == 2
        os.kill(program.pid, signal.SIGKILL)
        program.wait()
        assert wait_until(lambda: not services(swarm, name), PATIENCE_S)
        assert wait_until(lambda: not containers(swarm, name), PATIENCE_S)


def test_the_lifetime_is_kept_by_the_tasks_themselves(make, swarm):
    provider = make(replicas=2, lifetime_s=20.0)
    provider.start()
    name = provider.ownership.name

    def running() -> int:
        states = [
            node.run("inspect", "--format", "{{.State.Running}}", one) for node, one in containers(swarm, name)
        ]
        return states.count("true")

    def done() -> int:
        return swarm.manager.run("service", "ps", name, "--format", "{{.CurrentState}}").count("Complete")

    assert wait_until(lambda: running() == 0 and done() == 2, PATIENCE_S)  # and no more are made
    assert "the lifetime of" in provider.logs()


# --- what can go wrong ------------------------------------------------------------------------------


def test_a_replica_that_dies_is_replaced_and_told(make, swarm):
    with make(replicas=2) as provider:
        before = provider.urls
        node, container = containers(swarm, provider.ownership.name)[0]
        node.run("kill", container)
        assert wait_until(lambda: provider.losses, PATIENCE_S)
        assert provider.losses[0].replica in (0, 1)
        assert wait_until(lambda: provider.urls != before and all(map(healthy, provider.urls)), PATIENCE_S)
        provider.check_alive()


def test_a_replica_that_is_not_replaced_is_lost(make, swarm):
    with make(replace_ended=False) as provider:
        [(node, container)] = containers(swarm, provider.ownership.name)
        node.run("kill", container)

        def lost() -> bool:
            try:
                provider.check_alive()
            except ReplicaLostError:
                return True
            return False

        assert wait_until(lost, PATIENCE_S)


def test_an_image_that_no_node_has_is_told(make):
    with pytest.raises(ImageNotFoundError, match="openenv build"):
        make("nobody-has-this:latest").start()


def test_an_image_that_one_node_lacks_is_told(make, swarm):
    only_here = "openenv-tests/only-here:latest"
    swarm.manager.run("tag", "openenv-tests/echo-env:latest", only_here)
    try:
        with pytest.raises(ImageNotFoundError, match="--push"):
            make(only_here, constraints=["node.role==worker"]).start()
    finally:
        swarm.manager.run("rmi", only_here)


def test_a_constraint_that_no_node_meets_is_told_with_the_budget(make):
    with pytest.raises(ProviderStartError, match=r"no suitable node.*") as caught:
        make(constraints=["node.labels.gpu==h900"], create_timeout_s=3.0).start()
    assert "create budget of 3 s" in str(caught.value)


def test_more_than_the_nodes_have_is_told(make):
    with pytest.raises(OutOfSpaceError, match="insufficient resources"):
        make(memory_reservation="900g", memory=None, create_timeout_s=3.0).start()


def test_a_port_that_is_taken_is_told(make):
    with make(port=28431, replicas=2), pytest.raises(PortTakenError, match="Leave port out"):
        make(port=28431, create_timeout_s=3.0).start()


def test_an_engine_that_manages_no_swarm_is_told(make, swarm):
    with pytest.raises(EngineUnavailableError, match="is a worker of a swarm"):
        make(base_url=swarm.worker.url).start()


def test_an_engine_that_is_not_there_is_told(make, tmp_path):
    with pytest.raises(EngineUnavailableError, match="nothing is there"):
        make(base_url=f"unix://{tmp_path}/none.sock").start()


def healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).json() == {"status": "healthy"}
    except (httpx.HTTPError, ValueError):
        return False


@pytest.mark.parametrize("options", [{"publish": "dns"}, {"constraints": "node.role==worker"}, {"memmory": "1g"}])
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ConfigurationError):
        DockerSwarmProvider("echo-env:latest", **options)
