"""Everything that goes wrong with Docker is one clear error, and leaves nothing behind."""

import json
import logging
import socket
import socketserver
import tempfile
import threading
from pathlib import Path

import httpx
import pytest
from tests.engines.dock import containers, inspected
from tests.servers import wait_until

from openenv.errors import (
    ConfigurationError,
    EngineUnavailableError,
    ImageNotFoundError,
    IsolationError,
    NameTakenError,
    PortTakenError,
    ProviderError,
    ProviderNotReadyError,
    ProviderStartError,
    ReplicaLostError,
)
from openenv.providers import LocalDockerProvider

PATIENCE_S = 30.0


@pytest.fixture
def make(docker_engine, toy_image):
    """A maker of providers; whatever they have made is gone after the test, or the test fails."""
    made = []

    def one(image=toy_image, **options) -> LocalDockerProvider:
        made.append(LocalDockerProvider(image, **{"stop_grace_s": 1, "base_url": docker_engine.url, **options}))
        return made[-1]

    yield one
    for provider in made:
        provider.stop()
        if provider._ownership is not None:
            assert containers(docker_engine, provider) == []


def ask(provider, path):
    return httpx.get(provider.base_url + path, timeout=PATIENCE_S, trust_env=False)


def start_fails(provider, kind, match):
    with pytest.raises(kind, match=match) as caught, provider:
        pass
    assert type(caught.value) is kind
    return caught.value


def test_no_engine_is_told_with_what_to_start(tmp_path, make):
    start_fails(
        make(base_url=f"unix://{tmp_path}/none.sock"), EngineUnavailableError, "nothing is there. Start Docker"
    )


def test_an_engine_that_is_down_is_told(tmp_path, make):
    path = str(tmp_path / "engine.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
        start_fails(make(base_url=f"unix://{path}"), EngineUnavailableError, "not running")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        start_fails(make(base_url=url), EngineUnavailableError, "not running")


def test_an_engine_that_does_not_answer_is_told_with_the_budget(tmp_path, make):
    path = str(tmp_path / "engine.sock")
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(path)
        mute.listen()
        start_fails(make(base_url=f"unix://{path}", create_timeout_s=1), EngineUnavailableError, "create_timeout_s")


def test_an_engine_whose_socket_this_user_may_not_use_is_told(monkeypatch, make):
    # Tests may run as root, who may use any.
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("docker.transport.unixconn.UnixHTTPConnection.connect", refuse)
    provider = LocalDockerProvider("echo-env:latest")
    start_fails(provider, EngineUnavailableError, "this user may not connect")


def test_a_missing_image_is_told_with_how_to_build_it(make):
    start_fails(make("no-such-env:latest"), ImageNotFoundError, "openenv build")
    start_fails(make("127.0.0.1:9/nobody/no-such-env:latest"), ImageNotFoundError, "Pulling it failed")


def test_a_port_that_is_taken_is_told(make):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        start_fails(make(port=port), PortTakenError, f"{port}.*Choose another")
        start_fails(make(port=port, network="bridge"), PortTakenError, "Choose another")


def test_a_port_that_was_asked_for_is_the_one_that_is_given(make):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for network in (None, "bridge"):
        with make(port=port, network=network) as provider:
            assert provider.base_url == f"http://127.0.0.1:{port}"


def test_two_providers_that_race_for_a_name_leave_one(docker_engine, make):
    name = make()._name + "-race"  # any name
    providers = [make(name=name.lower()) for _ in range(2)]
    outcomes: list[object] = []

    def begin(provider):
        try:
            outcomes.append(provider.start())
        except ProviderError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=begin, args=(one,)) for one in providers]
    for one in threads:
        one.start()
    for one in threads:
        one.join(PATIENCE_S)
    (failed,) = (one for one in outcomes if not isinstance(one, str))
    assert isinstance(failed, NameTakenError)
    (running,) = (one for one in providers if one.urls)
    running.wait_for_ready()
    assert inspected(docker_engine, running)["Name"] == f"/{name.lower()}"


def test_an_image_that_names_no_command_is_refused(make, monkeypatch):
    start_fails(make(command=["no-such-program"]), ProviderStartError, "no-such-program cannot be run")


def test_an_image_without_python_needs_a_network(make):
    path = {"PATH": "/opt/bin"}
    start_fails(make(env_vars=path), IsolationError, "no python3.*network='bridge'")


def test_an_image_with_neither_python_nor_timeout_needs_no_lifetime(make):
    path = {"PATH": "/opt/empty"}
    command = ["/usr/bin/python3", "-I", "-S", "/srv/toy_server.py", "8000"]
    provider = make(env_vars=path, network="bridge", command=command)
    start_fails(provider, IsolationError, "lifetime_s=None")


def test_a_server_without_health_is_told_with_what_it_answers(make):
    command = ["python3", "-m", "http.server", "8000", "--bind", "127.0.0.1", "--directory", "/srv"]
    error = start_fails(make(command=command, ready_timeout_s=15), ProviderNotReadyError, "GET /health answers 404")
    assert "/health" in error.log_tail


def test_a_container_that_runs_out_of_memory_is_told_with_the_limit(make, caplog):
    with make(memory="64m") as provider:
        with pytest.raises(httpx.HTTPError):
            ask(provider, "/eat")
        assert wait_until(lambda: "out of memory, limit 64m" in caplog.text, PATIENCE_S)
        with pytest.raises(ReplicaLostError, match="out of memory, limit 64m"):
            provider.check_alive()


@pytest.mark.parametrize("network", [None, "bridge"])
def test_a_server_that_dies_later_is_told_at_once_and_with_its_last_words(make, caplog, network):
    with make(network=network) as provider, caplog.at_level(logging.WARNING):
        with pytest.raises(httpx.HTTPError):
            ask(provider, "/die")
        assert wait_until(lambda: "ended with exit code 7" in caplog.text, PATIENCE_S)
        with pytest.raises(ReplicaLostError, match="exit code 7") as caught:
            provider.check_alive()
        assert "the weights are missing" in caught.value.log_tail


def test_a_container_that_somebody_removes_is_told(docker_engine, make, caplog):
    with make() as provider:
        docker_engine.run("rm", "-f", *containers(docker_engine, provider))
        assert wait_until(lambda: "exit code 137" in caplog.text, PATIENCE_S)
        with pytest.raises(ReplicaLostError):
            provider.check_alive()


def test_a_secret_in_what_the_engine_says_is_hidden(make):
    secret = "tangerine-7"
    provider = make(env_vars={"API_TOKEN": secret}, network=secret)
    error = start_fails(provider, ProviderStartError, r"\*\*\*")
    assert secret not in str(error)
    assert error.__cause__ is None


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"network": "host"}, "take down the wall"),
        ({"network": "container:other"}, "take down the wall"),
        ({"uds": True, "network": "bridge"}, "without a network"),
        ({"environment": {}}, "give env_vars"),
        ({"restart_policy": {}}, "reported"),
        ({"replicas": 0}, "at least one"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, match):
    with pytest.raises(ConfigurationError, match=match):
        LocalDockerProvider("echo-env:latest", **options)


def test_an_option_that_the_sdk_does_not_know_is_refused_with_its_name(make):
    start_fails(make(memmory="1g"), ConfigurationError, "memmory")


class Proxy(socketserver.ThreadingUnixStreamServer):
    """Stands before an engine and loses the answer to the first request that has a word in it."""

    daemon_threads = True

    def __init__(self, engine: str, word: bytes) -> None:
        self.engine, self.word, self.lost = engine, word, 0
        self.folder = tempfile.TemporaryDirectory()
        super().__init__(str(Path(self.folder.name) / "engine.sock"), _Forwarder)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"unix://{self.server_address}"

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self.folder.cleanup()


class _Forwarder(socketserver.BaseRequestHandler):
    server: Proxy

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(self.server.engine.removeprefix("unix://"))
            back = threading.Thread(target=self._back, args=(engine,), daemon=True)
            back.start()
            while data := self.request.recv(65536):
                engine.sendall(data)
                if not self.server.lost and self.server.word in data.partition(b"\r\n")[0]:
                    self.server.lost = 1
                    self.lose = True
            with_end = engine.shutdown
            try:
                with_end(socket.SHUT_WR)
            except OSError:
                pass
            back.join(PATIENCE_S)

    lose = False

    def _back(self, engine: socket.socket) -> None:
        try:
            while data := engine.recv(65536):
                if self.lose:  # the engine has done it, and nobody hears of it
                    break
                self.request.sendall(data)
        except OSError:
            pass
        for one in (self.request, engine):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


@pytest.mark.parametrize("word", [b"/containers/create", b"/start"])
def test_a_create_whose_answer_is_lost_makes_one_container(docker_engine, make, word):
    proxy = Proxy(docker_engine.url, word)
    try:
        with make(base_url=proxy.url) as provider:
            assert proxy.lost
            assert len(containers(docker_engine, provider)) == 1
            assert json.loads(ask(provider, "/health").text) == {"status": "healthy"}
    finally:
        proxy.close()
