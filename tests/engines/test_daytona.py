"""The Daytona provider with Daytona's real SDK, against a double of Daytona's API."""

import asyncio
import dataclasses
import threading

import httpx
import pytest
from tests.servers import wait_until

from echo_env import EchoAction, EchoEnv

pytest.importorskip("daytona", reason="Daytona's SDK is not installed: pip install 'openenv[daytona]'")

from tests.doubles.daytona_service import KEY, DaytonaService
from tests.doubles.service import Refused

from openenv.errors import (
    ConfigurationError,
    EngineUnavailableError,
    ImageNotFoundError,
    NameTakenError,
    OutOfSpaceError,
    ProviderError,
    ProviderStartError,
    ReplicaLostError,
)
from openenv.providers import Source
from openenv.providers.daytona import DaytonaProvider
from openenv.testing import ProviderContract

PATIENCE_S = 30.0
ECHO = "openenv serve echo_env --host 0.0.0.0 --port 8000"


@pytest.fixture
def service(daytona_service):
    return daytona_service


@pytest.fixture
def daytona_service(monkeypatch):
    for name in ("DAYTONA_API_KEY", "DAYTONA_API_URL", "DAYTONA_TARGET"):
        monkeypatch.delenv(name, raising=False)
    service = DaytonaService()
    yield service
    service.close()
    assert service.violations == []


@pytest.fixture
def make(service):
    made = []

    def provider(command=ECHO, **options):
        options = {"image": "echo-env:latest", "api_key": KEY, "api_url": f"{service.url}/api", **options}
        made.append(DaytonaProvider(command=command, **options))
        return made[-1]

    yield provider
    service.fault = lambda request: None
    for each in made:
        each.stop()


def odd(name):
    return f"openenv serve tests.engines.odd_servers:{name} --host 0.0.0.0 --port 8000"


class TestDaytonaProvider(ProviderContract):
    @pytest.fixture(autouse=True)
    def _fixtures(self, make, service):
        self._make, self._service = make, service

    def make_provider(self):
        return self._make()

    def make_dying_provider(self):
        return self._make(odd("dying"))

    def make_unready_provider(self):
        return self._make(odd("unready"), ready_timeout_s=1.0)

    def leftovers(self, provider):
        return list(self._service.sandboxes)


async def test_clients_reset_and_step_through_the_preview_url(make, service):
    provider = make(None, replicas=2, resources={"cpu": 2, "memory": 4}, env_vars={"A": "b"}, target="eu")
    async with EchoEnv.with_provider(provider) as envs:
        for env in envs:
            await env.reset()
            assert (await env.step(EchoAction(message="hi"))).observation.echoed_message == "hi"
        assert httpx.get(f"{provider.base_url}/health").status_code == 401  # nobody gets in without the token
        orders = [sandbox.order for sandbox in service.sandboxes.values()]
    assert service.sandboxes == {}
    assert {order["ttlMinutes"] for order in orders} == {1440}
    assert orders[0].items() >= {"cpu": 2, "memory": 4, "target": "eu", "public": False}.items()
    assert orders[0].items() >= {"networkBlockAll": True, "autoStopInterval": 0, "autoDeleteInterval": 0}.items()
    assert orders[0]["env"] == {"A": "b"}
    assert orders[0]["labels"].items() >= provider.ownership.labels().items()


def test_a_snapshot_is_started(make, service):
    with make(image=None, snapshot="echo-snapshot"):
        assert [sandbox.order["snapshot"] for sandbox in service.sandboxes.values()] == ["echo-snapshot"]


def test_an_image_is_that_of_the_client_class_if_none_is_given(make, service):
    provider = make(None, image=None)
    provider.start(Source.of(EchoEnv))
    (sandbox,) = service.sandboxes.values()
    assert sandbox.order["buildInfo"]["dockerfileContent"] == "FROM echo-env:latest\n"
    assert sandbox.command == ECHO


def test_without_a_key_nothing_is_asked(make):
    with pytest.raises(ConfigurationError, match="DAYTONA_API_KEY"):
        make(api_key=None).start()


def test_a_wrong_key_is_told_and_not_shown(make):
    with pytest.raises(EngineUnavailableError, match="DAYTONA_API_KEY") as caught:
        make(api_key="dtn_wrong_and_secret").start()
    assert "dtn_wrong" not in str(caught.value)


def test_a_service_that_is_down_is_told(make, service):
    with pytest.raises(EngineUnavailableError, match="api_url"):
        make(api_url="http://127.0.0.1:9/api").start()


def test_a_service_that_is_broken_is_told(make, service):
    def fault(request):
        if request.method == "POST":
            raise Refused(503, {"message": "try later"})

    service.fault = fault
    with pytest.raises(EngineUnavailableError, match="try later"):
        make().start()


def test_no_quota_left_is_told(make, service):
    service.most = 1
    with make(), pytest.raises(OutOfSpaceError, match=r"quota exceeded.*openenv gc"):
        make().start()


def test_an_image_that_cannot_be_pulled_is_told_and_its_sandbox_deleted(make, service):
    with pytest.raises(ImageNotFoundError, match=r"nobody/nothing:1.*does not exist"):
        make(image="nobody/nothing:1").start()
    assert service.sandboxes == {}


def test_a_snapshot_that_is_not_there_is_told(make):
    with pytest.raises(ImageNotFoundError, match="Snapshot gone not found"):
        make(image=None, snapshot="gone").start()


def test_when_one_of_several_fails_all_are_deleted(make, service):
    service.most = 2
    with pytest.raises(OutOfSpaceError):
        make(replicas=3).start()
    assert service.sandboxes == {}


def test_a_create_whose_answer_was_lost_finds_its_own_sandbox(make, service):
    answers = iter([502])

    def fault(request):
        if request.method == "POST" and request.path == "/api/sandbox" and next(answers, None):
            service.fault = lambda request: None
            service.answer(request)
            service.answer(request)  # as a proxy does that sends it again: now there is one of the name

    service.fault = fault
    with make():
        assert len(service.sandboxes) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_a_sandbox_is_deleted_if_its_start_could_not_be_followed(make, service, status):
    def fault(request):
        if request.method == "GET" and request.path.rpartition("/")[2] in service.sandboxes:  # not by its name
            raise Refused(status, {"message": "not now"})

    service.fault = fault
    with pytest.raises(ProviderError, match="not now"):
        make().start()
    assert service.sandboxes == {}


def test_a_sandbox_that_could_not_be_deleted_is_deleted_by_the_next_stop(make, service):
    def fault(request):
        if service.sandboxes:
            raise Refused(401, {"message": "the key has just been revoked"})

    service.fault = fault
    provider = make()
    with pytest.raises(EngineUnavailableError, match="revoked"):
        provider.start()
    assert len(service.sandboxes) == 1
    service.fault = lambda request: None
    provider.stop()
    assert service.sandboxes == {}


def test_a_sandbox_of_somebody_elses_is_left_alone(make, service):
    def fault(request):
        if request.method == "POST" and request.path == "/api/sandbox":
            service.fault = lambda request: None
            service.answer(dataclasses.replace(request, body={**request.body, "labels": {}}))

    service.fault = fault
    with pytest.raises(NameTakenError, match="somebody else's"):
        make().start()
    assert len(service.sandboxes) == 1


async def test_a_start_that_is_cancelled_has_deleted_its_sandbox(make, service):
    cancelled = threading.Event()
    service.fault = lambda request: request.method == "GET" and service.sandboxes and cancelled.wait(PATIENCE_S)
    provider = make()
    starting = asyncio.create_task(provider.astart())
    while not service.sandboxes:
        await asyncio.sleep(0.005)
    starting.cancel()
    cancelled.set()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert service.sandboxes == {}


def test_a_server_that_ends_is_a_lost_replica(make):
    with make(odd("mortal")) as provider:
        httpx.post(f"{provider.base_url}/die", headers=provider.headers_for(provider.base_url))
        assert "exit code 7" in lost(provider)
        assert "so long" in provider.logs()


def test_the_service_ends_what_has_lived_its_lifetime(make, service):
    service.minute_s = 10.0
    with make(lifetime_s=60.0) as provider:
        assert wait_until(lambda: not service.sandboxes, within_s=PATIENCE_S)
        assert "lifetime is over" in lost(provider)


def test_what_is_owned_is_listed_and_removed(make, service, monkeypatch):
    monkeypatch.setenv("DAYTONA_API_KEY", KEY)
    with make(api_key=None) as provider:
        assert provider.where() == {"api_url": f"{service.url}/api"}
        (resource,) = DaytonaProvider.owned(provider.where())
        assert resource.ownership == provider.ownership
        assert resource.state == "started"
        DaytonaProvider.remove(resource)
        DaytonaProvider.remove(resource)
        assert DaytonaProvider.owned(provider.where()) == []


def test_a_log_hides_secrets(make):
    provider = make(odd("telling"), env_vars={"ODD_TOKEN": "abcdef123456"})
    with pytest.raises(ProviderStartError, match=r"the token is \*\*\*"), provider:
        pass


def lost(provider):
    said = []

    def noticed():
        try:
            provider.check_alive()
        except ReplicaLostError as error:
            said.append(str(error))
        return bool(said)

    assert wait_until(noticed, within_s=PATIENCE_S)
    return said[0]


def test_sigkill_of_the_program_leaves_no_sandbox(service, killed_program, monkeypatch):
    monkeypatch.setenv("DAYTONA_API_KEY", KEY)
    options = {"image": "echo-env:latest", "command": ECHO, "replicas": 2, "api_url": f"{service.url}/api"}
    killed_program("daytona", lambda: len(service.sandboxes) == 2, **options)
    assert wait_until(lambda: not service.sandboxes, PATIENCE_S)
