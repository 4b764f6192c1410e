"""The Modal provider with Modal's real SDK, against a double of Modal's gRPC service."""

import asyncio
import threading

import httpx
import pytest
from tests.servers import wait_until

from echo_env import EchoAction, EchoEnv

pytest.importorskip("modal", reason="Modal's SDK is not installed: pip install 'openenv[modal]'")

from grpclib import GRPCError, Status
from tests.doubles.modal_service import TOKEN_ID, TOKEN_SECRET, ModalService

from openenv.errors import (
    ConfigurationError,
    EngineUnavailableError,
    ImageNotFoundError,
    NameTakenError,
    OutOfSpaceError,
    ReplicaLostError,
)
from openenv.providers.modal import ModalProvider
from openenv.testing import ProviderContract

PATIENCE_S = 30.0


def serving(what):
    return f"openenv serve {what} --host 0.0.0.0 --port 8000"


@pytest.fixture
def service(modal_service):
    return modal_service


@pytest.fixture
def modal_service(monkeypatch):
    service = ModalService()
    monkeypatch.setenv("MODAL_SERVER_URL", service.url)
    monkeypatch.setenv("MODAL_CONFIG_PATH", "/nowhere/modal.toml")
    for name in ("MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET", "MODAL_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    yield service
    service.close()
    assert service.violations == []


@pytest.fixture
def make(service):
    made = []

    def provider(what="echo_env", **options):
        tokens = {"token_id": TOKEN_ID, "token_secret": TOKEN_SECRET}
        command = None if what is None else serving(what)
        made.append(ModalProvider(**{"image": "echo-env:latest", "command": command, **tokens, **options}))
        return made[-1]

    yield provider
    for each in made:
        each.stop()


class TestModalProvider(ProviderContract):
    @pytest.fixture(autouse=True)
    def _fixtures(self, make, service):
        self._make, self._service = make, service

    def make_provider(self):
        return self._make()

    def make_dying_provider(self):
        pytest.skip("Modal keeps logs in a service of its own, which has no double")

    def make_unready_provider(self):
        return self._make("tests.engines.odd_servers:unready", ready_timeout_s=1.0)

    def leftovers(self, provider):
        return self._service.alive


async def test_clients_reset_and_step_through_the_url_of_a_connect_token(make, service):
    provider = make(None, replicas=2, cpu=2.0, memory_mib=4096, env_vars={"A": "b"}, region="eu")
    async with EchoEnv.with_provider(provider) as envs:
        for env in envs:
            await env.reset()
            assert (await env.step(EchoAction(message="hi"))).observation.echoed_message == "hi"
        assert httpx.get(f"{provider.base_url}/health").status_code == 401  # nobody gets in without the token
        orders = [sandbox.order for sandbox in service.alive]
    assert service.alive == []
    order = orders[0]
    assert {tag.tag_name: tag.tag_value for tag in order.tags} == provider.ownership.labels()
    assert list(order.definition.entrypoint_args) == ["/bin/sh", "-c", serving("echo_env")]
    assert order.definition.timeout_secs == 86400
    assert order.definition.resources.milli_cpu == 2000
    assert order.definition.resources.memory_mb == 4096
    assert [dict(source.env.contents) for source in order.secret_sources] == [{"A": "b"}]
    assert not order.definition.open_ports.ports


def test_without_credentials_nothing_is_asked(make):
    with pytest.raises(ConfigurationError, match="MODAL_TOKEN_ID"):
        make(token_id=None, token_secret=None).start()


def test_wrong_credentials_are_told_and_not_shown(make):
    with pytest.raises(EngineUnavailableError, match="MODAL_TOKEN_SECRET") as caught:
        make(token_secret="as-wrong-and-secret").start()
    assert "as-wrong" not in str(caught.value)


def test_no_room_left_is_told(make, service):
    service.most = 1
    with make(), pytest.raises(OutOfSpaceError, match=r"limit reached.*openenv gc"):
        make().start()


def test_an_image_that_cannot_be_pulled_is_told(make, service):
    with pytest.raises(ImageNotFoundError, match="nobody/nothing:1"):
        make(image="nobody/nothing:1").start()
    assert service.alive == []


def test_when_one_of_several_fails_all_are_ended(make, service):
    service.most = 2
    with pytest.raises(OutOfSpaceError):
        make(replicas=3).start()
    assert service.alive == []


def answering_no_create(service, later):
    """Have the service make the first sandbox and lose the answer; the SDK's next tries are answered `later`."""
    create = service.on_SandboxCreateV2

    def lose(request):
        service.on_SandboxCreateV2 = later
        create(request)
        raise GRPCError(Status.UNAVAILABLE, "the answer was lost")

    service.on_SandboxCreateV2 = lose
    return create


def unavailable(request):
    raise GRPCError(Status.UNAVAILABLE, "try later")


def no_room(request):
    raise GRPCError(Status.RESOURCE_EXHAUSTED, "sandbox limit reached")


def denied(request):
    raise GRPCError(Status.PERMISSION_DENIED, "not any more")


@pytest.mark.parametrize(
    ("later", "error"),
    [(unavailable, EngineUnavailableError), (no_room, OutOfSpaceError), (denied, EngineUnavailableError)],
)
def test_a_sandbox_is_ended_if_the_answer_to_its_create_was_lost(make, service, later, error):
    answering_no_create(service, later)
    with pytest.raises(error):
        make().start()
    assert len(service.sandboxes) == 1
    assert service.alive == []


def test_a_sandbox_that_could_not_be_asked_for_is_ended_by_the_next_stop(make, service):
    answering_no_create(service, unavailable)
    find, service.on_SandboxGetFromNameV2 = service.on_SandboxGetFromNameV2, unavailable
    provider = make()
    with pytest.raises(EngineUnavailableError) as caught:
        provider.start()
    assert "Stopping the provider failed as well" in caught.value.__notes__[0]
    assert len(service.alive) == 1
    service.on_SandboxGetFromNameV2 = find
    provider.stop()
    assert service.alive == []


def test_a_create_whose_answer_was_lost_finds_its_own_sandbox(make, service):
    create = answering_no_create(service, lambda request: create(request))
    with make():
        assert len(service.sandboxes) == 1


def test_a_sandbox_of_somebody_elses_is_left_alone(make, service):
    create = service.on_SandboxCreateV2

    def taken(request):
        request.tags[0].tag_value = "somebody else's"
        service.on_SandboxCreateV2 = create
        create(request)
        return create(request)

    service.on_SandboxCreateV2 = taken
    with pytest.raises(NameTakenError, match="somebody else's"):
        make().start()
    assert len(service.alive) == 1


async def test_a_start_that_is_cancelled_has_ended_its_sandbox(make, service):
    cancelled, give = threading.Event(), service.on_SandboxCreateConnectTokenV2
    service.on_SandboxCreateConnectTokenV2 = lambda request: cancelled.wait(PATIENCE_S) and give(request)
    provider = make()
    starting = asyncio.create_task(provider.astart())
    while not service.sandboxes:
        await asyncio.sleep(0.005)
    starting.cancel()
    cancelled.set()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert service.alive == []


@pytest.mark.parametrize("how", ["it ends", "its lifetime is over"])
def test_a_server_that_ends_is_a_lost_replica(make, service, how):
    service.second_s = 0.1
    with make("tests.engines.odd_servers:mortal", lifetime_s=100.0) as provider:
        if how == "it ends":
            httpx.post(f"{provider.base_url}/die", headers=provider.headers_for(provider.base_url))
        said = []

        def noticed():
            try:
                provider.check_alive()
            except ReplicaLostError as error:
                said.append(str(error))
            return bool(said)

        assert wait_until(noticed, within_s=PATIENCE_S)
        assert ("exit code 7" if how == "it ends" else "exit code 124") in said[0]


def test_what_is_owned_is_listed_and_removed(make, monkeypatch):
    monkeypatch.setenv("MODAL_TOKEN_ID", TOKEN_ID)
    monkeypatch.setenv("MODAL_TOKEN_SECRET", TOKEN_SECRET)
    with make() as provider:
        (resource,) = ModalProvider.owned(provider.where())
        assert resource.ownership == provider.ownership
        ModalProvider.remove(resource)
        ModalProvider.remove(resource)
        assert ModalProvider.owned(provider.where()) == []


def test_sigkill_of_the_program_leaves_no_sandbox(service, killed_program, monkeypatch):
    monkeypatch.setenv("MODAL_TOKEN_ID", TOKEN_ID)
    monkeypatch.setenv("MODAL_TOKEN_SECRET", TOKEN_SECRET)
    options = {"image": "echo-env:latest", "command": serving("echo_env"), "replicas": 2, "app": "theirs"}
    killed_program("modal", lambda: len(service.alive) == 2, **options)
    assert wait_until(lambda: not service.alive, PATIENCE_S)
