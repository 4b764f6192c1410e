"""The Azure Container Apps provider with Azure's real SDK, against a double of session pools."""

import asyncio
import threading

import httpx
import pytest
from tests.servers import wait_until

from echo_env import EchoAction, EchoEnv

pytest.importorskip("azure.mgmt.appcontainers", reason="Azure's SDK is not installed: pip install 'openenv[aca]'")

from tests.doubles.azure_service import IDENTITY, SUBSCRIPTION, AzureService, Credential
from tests.doubles.service import Refused

from openenv.errors import (
    ConfigurationError,
    EngineUnavailableError,
    OutOfSpaceError,
    ProviderError,
    ProviderStartError,
    ReplicaLostError,
)
from openenv.providers.aca import ACASandboxProvider
from openenv.testing import ProviderContract

PATIENCE_S = 30.0


@pytest.fixture
def service(azure_service):
    return azure_service


@pytest.fixture
def azure_service(monkeypatch):
    monkeypatch.delenv("AZURE_SUBSCRIPTION_ID", raising=False)
    service = AzureService()
    service.images["odd:unready"] = "tests.engines.odd_servers:unready"
    yield service
    service.close()
    assert service.violations == []


@pytest.fixture
def make(service):
    made = []

    def provider(**options):
        places = {"resource_group": "rl", "environment": "lab", "location": "westeurope"}
        azure = {"subscription_id": SUBSCRIPTION, "credential": Credential(), "management_url": service.url}
        made.append(ACASandboxProvider(**{"image": "echo-env:latest", **places, **azure, **options}))
        return made[-1]

    yield provider
    service.fault = lambda request: None
    for each in made:
        each.stop()


class TestACASandboxProvider(ProviderContract):
    @pytest.fixture(autouse=True)
    def _fixtures(self, make, service):
        self._make, self._service = make, service

    def make_provider(self):
        return self._make()

    def make_dying_provider(self):
        pytest.skip("Azure does not tell what a session has written, nor that it has ended")

    def make_unready_provider(self):
        return self._make(image="odd:unready", ready_timeout_s=1.0)

    def leftovers(self, provider):
        return list(self._service.pools)


async def test_clients_reset_and_step_through_the_relay(make, service):
    provider = make(replicas=2, cpu=1.0, memory="2Gi", env_vars={"A": "b", "MY_TOKEN": "abcdef"})
    async with EchoEnv.with_provider(provider) as envs:
        for env in envs:
            await env.reset()
            assert (await env.step(EchoAction(message="hi"))).observation.echoed_message == "hi"
        (pool,) = service.pools.values()
        assert len(pool.sessions) == 2
        assert httpx.get(f"http://127.0.0.1:{pool.gate.port}/health?identifier=x").status_code == 401
    assert service.pools == {}
    assert pool.order["tags"] == provider.ownership.labels()
    properties = pool.order["properties"]
    assert properties["sessionNetworkConfiguration"] == {"status": "EgressDisabled"}
    assert properties["secrets"] == [{"name": "my-token", "value": "abcdef"}]
    assert properties["environmentId"].endswith(
        "/resourceGroups/rl/providers/Microsoft.App/managedEnvironments/lab"
    )
    (container,) = properties["customContainerTemplate"]["containers"]
    assert container["env"] == [{"name": "A", "value": "b"}, {"name": "MY_TOKEN", "secretRef": "my-token"}]
    assert container["resources"] == {"cpu": 1.0, "memory": "2Gi"}


def test_without_a_subscription_nothing_is_asked(make):
    with pytest.raises(ConfigurationError, match="AZURE_SUBSCRIPTION_ID"):
        make(subscription_id=None).start()


def test_credentials_that_are_refused_are_told(make):
    with pytest.raises(EngineUnavailableError, match="az login"):
        make(credential=Credential(broken=True)).start()


def test_a_service_that_is_down_is_told(make):
    with pytest.raises(EngineUnavailableError, match="management_url"):
        make(management_url="http://127.0.0.1:9").start()


def test_a_resource_group_that_is_not_there_is_told(make):
    with pytest.raises(ProviderStartError, match="Resource group 'nowhere' could not be found"):
        make(resource_group="nowhere").start()


def test_no_quota_left_is_told(make, service):
    service.most = 1
    with make(), pytest.raises(OutOfSpaceError, match="openenv gc"):
        make().start()


def test_a_pool_that_cannot_be_made_is_told_and_deleted(make, service):
    with pytest.raises(ProviderStartError, match="session pool"):
        make(image="nobody/nothing:1").start()
    assert service.pools == {}


def test_a_create_that_takes_too_long_names_its_budget_and_is_deleted(make, service):
    def fault(request):
        if request.method == "GET" and "/sessionPools/" in request.path and service.pools:
            pool = next(iter(service.pools.values()))
            raise Refused(200, service._described(pool, "InProgress"))

    service.fault = fault
    with pytest.raises(ProviderStartError, match=r"create budget of 0.5 s.*create_timeout_s"):
        make(create_timeout_s=0.5).start()
    assert service.pools == {}


@pytest.mark.parametrize("status", [401, 403, 404, 409])
def test_a_pool_is_deleted_if_making_it_could_not_be_followed(make, service, status):
    def fault(request):
        if request.method == "GET" and service.pools:
            service.fault = lambda request: None
            raise Refused(status, {"error": {"code": "Odd", "message": "not now"}})

    service.fault = fault
    with pytest.raises(ProviderError, match="not now"):
        make().start()
    assert service.pools == {}


def test_a_pool_is_deleted_if_the_answer_to_its_create_was_lost(make, service):
    def fault(request):
        if request.method == "PUT":
            service.fault = refuse
            service.answer(request)
            raise Refused(500, {"error": {"code": "Lost", "message": "the answer was lost"}})

    def refuse(request):
        if request.method == "PUT" and service.pools:
            raise Refused(409, {"error": {"code": "Conflict", "message": "it is being made"}})

    service.fault = fault
    with pytest.raises(ProviderError, match="it is being made"):
        make().start()
    assert service.pools == {}


async def test_a_start_that_is_cancelled_has_deleted_its_pool(make, service):
    cancelled = threading.Event()
    service.fault = lambda request: request.method == "GET" and service.pools and cancelled.wait(PATIENCE_S)
    provider = make()
    starting = asyncio.create_task(provider.astart())
    while not service.pools:
        await asyncio.sleep(0.005)
    starting.cancel()
    cancelled.set()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert service.pools == {}


def test_a_pool_that_is_deleted_by_stop_is_not_a_lost_replica(make, service):
    provider = make()
    provider.start()
    destroy, checked = service.destroy, []

    def check(name):
        destroy(name)
        provider.check_alive()
        checked.append(name)

    service.destroy = check
    provider.stop()
    assert checked


def test_a_pool_that_somebody_deletes_is_a_lost_replica(make, service):
    with make() as provider:
        service.destroy(next(iter(service.pools)))
        said = []

        def noticed():
            try:
                provider.check_alive()
            except ReplicaLostError as error:
                said.append(str(error))
            return bool(said)

        assert wait_until(noticed, within_s=PATIENCE_S)
        assert "has been deleted" in said[0]


def test_the_service_ends_sessions_that_have_lived_their_lifetime(make, service):
    service.second_s = 0.1
    with make(lifetime_s=100.0) as provider:
        (pool,) = service.pools.values()
        assert wait_until(lambda: not any(each.urls for each in pool.sessions.values()), within_s=PATIENCE_S)
        assert not httpx.get(f"{provider.base_url}/health").is_success


def test_what_is_owned_is_listed_and_removed(make, monkeypatch):
    monkeypatch.setattr("azure.identity.DefaultAzureCredential", Credential)
    with make() as provider:
        (resource,) = ACASandboxProvider.owned(provider.where())
        assert resource.ownership == provider.ownership
        assert resource.state == "Succeeded"
        ACASandboxProvider.remove(resource)
        ACASandboxProvider.remove(resource)
        assert ACASandboxProvider.owned(provider.where()) == []


def test_sigkill_of_the_program_leaves_no_session_pool(service, killed_program, monkeypatch):
    """The program and its guardian log in as one does on a machine of Azure's, by a managed identity."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{service.url}/identity")
    monkeypatch.setenv("IDENTITY_HEADER", IDENTITY)
    place = {"resource_group": "rl", "environment": "lab", "location": "westeurope"}
    options = {"image": "echo-env:latest", "subscription_id": SUBSCRIPTION, "management_url": service.url}
    killed_program("aca", lambda: service.pools, **place, **options)
    assert wait_until(lambda: not service.pools, PATIENCE_S)
