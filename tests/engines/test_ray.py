"""The Ray provider on a real cluster of two nodes, and what happens when parts of it die."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.servers import wait_until

from echo_env import EchoAction, EchoEnv
from openenv.errors import (
    ConfigurationError,
    EngineUnavailableError,
    OutOfSpaceError,
    ProviderStartError,
    ReplicaLostError,
)
from openenv.providers import RayProvider, Source, ray_cluster
from openenv.testing import ProviderContract

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'openenv[ray]'")

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# The checkout itself, for nodes where nothing is installed.
PATHS = os.pathsep.join(str(ROOT / part) for part in ("src", "envs", "."))
ON_NODES = {"env_vars": {"PYTHONPATH": PATHS}}
PATIENCE_S = 60.0

Make = Callable[..., RayProvider]


@pytest.fixture
def make(ray_cluster: str) -> Iterator[Make]:
    """A maker of providers of the echo environment; they are stopped at the end of the test."""
    made = []

    def provider(target="echo_env", **options):
        options = {"num_cpus": 0.1, "runtime_env": ON_NODES, **options}
        made.append(RayProvider(target, address=ray_cluster, **options))
        return made[-1]

    yield provider
    for each in made:
        each.stop()


def actors_of(provider: RayProvider) -> list[str]:
    found = RayProvider.owned(provider.where())
    return [resource.id for resource in found if resource.ownership.name == provider.ownership.name]


def names_in(cluster: str) -> set[str]:
    return {resource.ownership.name for resource in RayProvider.owned({"address": cluster})}


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5.0).is_success
    except httpx.TransportError:
        return False


def lost(provider: RayProvider) -> str:
    """Return what the provider says once it has noticed that a replica is lost."""
    said = ""

    def noticed() -> bool:
        nonlocal said
        try:
            provider.check_alive()
        except ReplicaLostError as error:
            said = str(error)
        return bool(said)

    assert wait_until(noticed, within_s=PATIENCE_S)
    return said


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program in a process group of its own, which is killed at the end."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as running:
        try:
            yield running
        finally:
            os.killpg(running.pid, signal.SIGKILL)


class TestRayProvider(ProviderContract):
    @pytest.fixture(autouse=True)
    def _fixtures(self, make):
        self._make = make

    def make_provider(self):
        return self._make()

    def make_dying_provider(self):
        return self._make("tests.engines.odd_servers:dying")

    def make_unready_provider(self):
        return self._make("tests.engines.odd_servers:unready", ready_timeout_s=1.0)

    def leftovers(self, provider):
        return actors_of(provider)


def test_replicas_are_spread_over_the_nodes_and_clients_step_in_all_of_them(make):
    provider = make(None, replicas=4)
    with EchoEnv.with_provider(provider) as envs:
        hosts = {httpx.URL(url).host for url in provider.urls}
        assert len(hosts) == 2, "by loopback on this node, by the node's address on the other"
        for number, env in enumerate(envs):
            env.reset()
            result = env.step(EchoAction(message=f"to {number}"))
            assert result.observation.echoed_message == f"to {number}"
    assert actors_of(provider) == []


def test_env_vars_reach_the_server_and_secrets_stay_out_of_its_log(make):
    provider = make("tests.engines.odd_servers:telling", env_vars={"ODD_TOKEN": "abcdef123456"})
    with pytest.raises(ProviderStartError) as caught, provider:
        pass
    assert "the token is ***" in str(caught.value)


def test_what_no_node_has_room_for_is_told_within_the_create_budget(make):
    provider = make(num_cpus=1000, create_timeout_s=1.0)
    with pytest.raises(OutOfSpaceError, match=r"create budget of 1 s.*CPU: 1000 asked, \d+") as caught:
        provider.start()
    assert "create_timeout_s" in str(caught.value)
    assert actors_of(provider) == []


def test_a_runtime_env_that_cannot_be_set_up_says_why(make):
    provider = make(runtime_env={"py_modules": ["/nowhere/at/all"]})
    with pytest.raises((ProviderStartError, ConfigurationError), match="/nowhere/at/all"):
        provider.start()
    assert actors_of(provider) == []


def test_a_target_that_nodes_do_not_have_is_a_configuration_error(make):
    provider = make("not/a/folder")
    with pytest.raises(ConfigurationError, match="not/a/folder"):
        provider.start()
    assert actors_of(provider) == []


def test_no_target_is_a_configuration_error(make):
    with pytest.raises(ConfigurationError, match="what to serve"):
        make(None).start(Source())


def test_a_program_has_one_cluster(make):
    with make(), pytest.raises(ConfigurationError, match="one at a time"):
        RayProvider("echo_env", address="192.0.2.7:6379").start()


def test_no_cluster_is_told_at_once():
    code = (
        "from openenv.errors import EngineUnavailableError as E\n"
        "from openenv.providers.ray import RayProvider as R\n"
        "try: R('echo_env', address='127.0.0.1:9').start()\n"
        "except E as error: print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, "PYTHONPATH": PATHS},
    )
    assert "No Ray cluster listens at 127.0.0.1:9" in ran.stdout, ran.stderr
    assert issubclass(EngineUnavailableError, ProviderStartError)


def test_a_server_that_ends_is_a_lost_replica(make):
    with make("tests.engines.odd_servers:mortal") as provider:
        httpx.post(f"{provider.base_url}/die", timeout=PATIENCE_S)
        assert "exit code 7" in lost(provider)
        assert "so long" in provider.logs()


def test_an_actor_that_is_killed_takes_its_server_along_and_is_a_lost_replica(make):
    with make(replicas=2) as provider:
        ray.kill(ray.get_actor(actors_of(provider)[0], ray_cluster.NAMESPACE))
        assert re.search(r"replica \d is lost.*died", lost(provider))
        assert wait_until(lambda: [is_up(each) for each in provider.urls].count(False) == 1, within_s=PATIENCE_S)


def test_a_node_that_is_killed_is_a_lost_replica(make, ray_cluster):
    node = ("-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", '--resources={"doomed":1}')
    with program(*node, f"--address={ray_cluster}") as running:
        with make(resources={"doomed": 1}) as provider:
            url = provider.base_url
            assert is_up(url)
            os.killpg(running.pid, signal.SIGKILL)
            assert "died" in lost(provider)
            assert wait_until(lambda: not is_up(url), within_s=PATIENCE_S)
        assert actors_of(provider) == []


def test_a_program_that_is_killed_leaves_nothing(ray_cluster):
    with program(str(HERE / "ray_driver.py"), ray_cluster, PATHS) as running:
        url, name = running.stdout.readline().split()
        assert wait_until(lambda: is_up(url), within_s=PATIENCE_S)
        assert name in names_in(ray_cluster)
        running.kill()
        assert wait_until(lambda: not is_up(url), within_s=PATIENCE_S)
        assert wait_until(lambda: name not in names_in(ray_cluster), within_s=PATIENCE_S)


def test_an_actor_ends_itself_when_its_lifetime_is_over(make):
    provider = make(lifetime_s=10.0)
    url = provider.start()
    assert wait_until(lambda: not is_up(url), within_s=PATIENCE_S)
    assert wait_until(lambda: actors_of(provider) == [], within_s=PATIENCE_S)
    provider.stop()


def test_what_is_owned_can_be_removed_and_is_removed_only_once(make):
    with make() as provider:
        (resource,) = [each for each in RayProvider.owned(provider.where()) if each.id in actors_of(provider)]
        assert resource.ownership == provider.ownership
        RayProvider.remove(resource)
        RayProvider.remove(resource)
        assert actors_of(provider) == []
        assert wait_until(lambda: not is_up(provider.base_url), within_s=PATIENCE_S)
