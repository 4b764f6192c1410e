"""Clients that have their servers started and stopped for them."""

import asyncio

import httpx
import pytest
from tests.toys import Add, Counter, CounterEnv

from openenv.client import GenericEnvClient
from openenv.errors import (
    ConfigurationError,
    ConnectionFailedError,
    EngineUnavailableError,
    ProviderError,
    ProviderStartError,
    SessionLost,
)
from openenv.providers import ProcessProvider, Provider, Source


class ServersHere(Provider):
    """Starts its servers inside the test's process, each a real one on a port of its own."""

    def __init__(self, host, replicas: int = 1, environment=Counter) -> None:
        self.replicas = replicas
        self._host = host
        self._environment = environment
        self._servers = []
        self.starts = 0

    def launch(self, source: Source) -> list[str]:
        self.starts += 1
        self._servers = [self._host.serve(self._environment) for _ in range(self.replicas)]
        return [server.url for server in self._servers]

    def shutdown(self) -> None:
        for server in self._servers:
            server.stop()


class SeveralProcesses(Provider):
    """Runs the echo environment in several processes."""

    def __init__(self, replicas: int) -> None:
        self.replicas = replicas
        self.parts = [ProcessProvider("echo_env") for _ in range(replicas)]

    def launch(self, source: Source) -> list[str]:
        return [part.start(source) for part in self.parts]

    def shutdown(self) -> None:
        for part in self.parts:
            part.stop()


def assert_ended(url: str) -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False, verify=False)


@pytest.fixture
def provider(host):
    """A provider of one server; it must have been stopped at the end of the test."""
    provider = ServersHere(host)
    yield provider
    assert not provider.urls


# --- a client with a provider of its own --------------------------------------------------------


def test_the_server_is_there_from_the_first_call_to_close(provider):
    env = CounterEnv(provider=provider)
    assert (env.base_url, provider.starts) == (None, 0)
    env.reset()
    assert env.step(Add()).observation.total == 1
    url = env.base_url
    env.close()
    env.close()
    assert_ended(url)
    with pytest.raises(SessionLost):
        env.step(Add())
    assert env.reset().observation.total == 0  # on a server started anew
    assert provider.starts == 2
    env.close()


def test_it_starts_one_server_for_with_and_sync(provider):
    for enter in (lambda client: client, lambda client: client.sync()):
        with enter(CounterEnv(provider=provider)) as env:
            assert env.reset().observation.total == 0
            assert env.capacity().active_sessions == 1
    assert provider.starts == 2


async def test_it_starts_one_server_for_calls_at_once(provider):
    async with CounterEnv(provider=provider) as env:
        await env.reset()
    client = CounterEnv(provider=provider)
    first, second = client.reset(), client.state()
    assert (await first).observation.total == 0
    assert (await second).total == 0
    await client.close()
    assert provider.starts == 2


def test_asking_about_the_server_starts_it(provider):
    env = CounterEnv(provider=provider)
    assert env.metadata().name == "Counter"
    env.close()


def test_an_error_in_the_body_stops_the_server(provider):
    env = CounterEnv(provider=provider)
    with pytest.raises(LookupError, match="in the body"), env:
        raise LookupError("in the body")


def test_new_sessions_need_a_server_and_do_not_own_it(provider):
    env = CounterEnv(provider=provider)
    with pytest.raises(ConfigurationError, match=r"connect\(\) first"):
        env.new_session()
    env.connect()
    with env.new_session() as other:
        other.reset()
    assert env.reset().observation.total == 0
    env.close()


def test_a_server_that_does_not_start_leaves_nothing(host):
    class Failing(ServersHere):
        def launch(self, source: Source) -> list[str]:
            super().launch(source)
            raise OSError("no more room")

    provider = Failing(host)
    for _ in range(2):
        env = CounterEnv(provider=provider)
        with pytest.raises((ProviderError, OSError), match="no more room"):
            env.reset()
        assert not provider.urls
        env.close()


# --- with_provider ------------------------------------------------------------------------------


def test_with_provider_in_blocking_code(provider):
    with CounterEnv.with_provider(provider, message_timeout_s=9) as env:
        assert type(env) is CounterEnv
        assert env._options.message_timeout_s == 9
        env.reset()
        assert env.step(Add()).observation.total == 1
        url = env.base_url
    assert_ended(url)


async def test_with_provider_in_async_code(provider):
    async with CounterEnv.with_provider(provider) as env:
        await env.reset()
        assert (await env.step(Add())).observation.total == 1


@pytest.mark.parametrize("replicas", [2, 3])
def test_several_replicas_give_a_client_each(host, replicas):
    provider = ServersHere(host, replicas)
    with CounterEnv.with_provider(provider) as clients:
        assert [client.base_url for client in clients] == provider.urls
        for number, client in enumerate(clients):
            client.reset()
            client.step(Add(amount=number + 1))
        assert [client.state().total for client in clients] == list(range(1, replicas + 1))
        urls = provider.urls
    for url in urls:
        assert_ended(url)


async def test_several_replicas_give_a_client_each_in_async_code(host):
    provider = ServersHere(host, 3)
    async with CounterEnv.with_provider(provider) as clients:
        for client in clients:
            assert (await client.reset()).observation.total == 0
    assert not provider.urls


def test_an_error_in_the_body_stops_all_servers(host):
    provider = ServersHere(host, 2)
    with pytest.raises(LookupError, match="in the body"), CounterEnv.with_provider(provider):
        raise LookupError("in the body")
    assert not provider.urls


async def test_an_error_in_an_async_body_stops_all_servers(host):
    provider = ServersHere(host, 2)
    with pytest.raises(LookupError, match="in the body"):
        async with CounterEnv.with_provider(provider):
            raise LookupError("in the body")
    assert not provider.urls


def test_a_second_user_is_refused_and_the_first_goes_on(provider):
    with CounterEnv.with_provider(provider) as first:
        first.reset()
        with pytest.raises(ProviderStartError, match="running already"), CounterEnv.with_provider(provider):
            pass
        with pytest.raises(ProviderStartError, match="running already"):
            asyncio.run(CounterEnv.with_provider(provider).__aenter__())
        second = CounterEnv(provider=provider)
        with pytest.raises(ProviderStartError, match="running already"):
            second.reset()
        second.close()
        assert first.step(Add(amount=2)).observation.total == 2


async def test_a_client_that_cannot_connect_stops_the_servers(host):
    class Refused(CounterEnv):
        def _make_link(self, base_url):
            raise ConnectionFailedError("not today")

    provider = ServersHere(host, 2)
    with pytest.raises(ConnectionFailedError, match="not today"):
        Refused.with_provider(provider).__enter__()
    assert not provider.urls
    with pytest.raises(ConnectionFailedError, match="not today"):
        await Refused.with_provider(provider).__aenter__()
    assert not provider.urls


@pytest.mark.slow
async def test_two_processes_each_with_a_client():
    provider = SeveralProcesses(2)
    async with GenericEnvClient.with_provider(provider) as clients:
        assert len({client.base_url for client in clients}) == 2
        for client in clients:
            await client.reset()
            result = await client.step({"message": "hi"})
            assert result.observation["echoed_message"] == "hi"
    assert [part.urls for part in provider.parts] == [[], []]


@pytest.mark.slow
def test_two_processes_end_with_an_error_in_the_body():
    provider = SeveralProcesses(2)
    with pytest.raises(LookupError), GenericEnvClient.with_provider(provider):
        raise LookupError
    assert [part.urls for part in provider.parts] == [[], []]


# --- from_docker_image --------------------------------------------------------------------------


def test_an_image_without_an_engine_is_refused_and_the_client_closed(monkeypatch):
    pytest.importorskip("docker")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(EngineUnavailableError, match="Start Docker or Podman"):
        CounterEnv.from_docker_image("counter-env:latest")


def test_an_image_is_handed_to_the_provider_that_is_given(host):
    got = []

    class Containers(ServersHere):
        def launch(self, source: Source, **options) -> list[str]:
            got.append((source.image, options))
            return super().launch(source)

    provider = Containers(host)
    env = CounterEnv.from_docker_image("counter-env:7", provider=provider, port=8000)
    assert got == [("counter-env:7", {"port": 8000})]
    assert env.reset().observation.total == 0
    env.close()
    assert not provider.urls


async def test_an_image_can_be_awaited(host):
    provider = ServersHere(host)
    env = await CounterEnv.from_docker_image("counter-env:7", provider=provider)
    assert (await env.reset()).observation.total == 0
    await env.close()
    assert not provider.urls
