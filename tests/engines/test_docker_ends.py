"""Whatever ends the program or the engine, the containers end, and nothing stays behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engines.dock import containers
from tests.engines.reach import Docker
from tests.servers import wait_until

from openenv.errors import EngineUnavailableError, ProviderError
from openenv.providers import LocalDockerProvider
from openenv.providers.ownership import PREFIX

PATIENCE_S = 60.0
BRIDGE = "openenv-test0"

PROGRAM = """
import json, sys
from openenv.providers import LocalDockerProvider
from openenv.providers.base import _guardian
provider = LocalDockerProvider(sys.argv[1], **json.loads(sys.argv[2]))
provider.start()
provider.wait_for_ready()
print(json.dumps({"name": provider.ownership.name, "guardian": _guardian._process.pid}), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def program(toy_image) -> Iterator:
    """A maker of programs that have a provider running and wait."""
    made = []

    def start(**options) -> tuple[subprocess.Popen, dict]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, toy_image, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        made.append(process)
        return process, json.loads(process.stdout.readline())

    yield start
    for process in made:
        process.kill()
        process.communicate()


def of_name(engine: Docker, name: str) -> list[str]:
    return engine.run("ps", "-aq", "--filter", f"label={PREFIX}name={name}").split()


def test_a_killed_program_leaves_no_container_without_a_network_though_its_guardian_is_killed_too(
    docker_engine, program
):
    process, told = program(lifetime_s=None)
    os.kill(told["guardian"], signal.SIGKILL)
    assert of_name(docker_engine, told["name"])
    process.kill()
    assert wait_until(lambda: not of_name(docker_engine, told["name"]), PATIENCE_S)


def test_a_killed_program_leaves_no_container_with_a_network(docker_engine, program):
    process, told = program(network="bridge", lifetime_s=None)
    process.kill()
    assert wait_until(lambda: not of_name(docker_engine, told["name"]), PATIENCE_S)


def test_the_lifetime_ends_what_nobody_else_ends(docker_engine, program):
    begun = time.monotonic()
    process, told = program(network="bridge", lifetime_s=15)
    os.kill(told["guardian"], signal.SIGKILL)
    process.kill()
    assert of_name(docker_engine, told["name"])
    assert wait_until(lambda: not of_name(docker_engine, told["name"]), 15 + PATIENCE_S)
    assert time.monotonic() - begun > 10


def test_a_lifetime_that_is_over_is_told(docker_engine, toy_image, caplog):
    with LocalDockerProvider(toy_image, lifetime_s=10) as provider:
        assert wait_until(lambda: "its lifetime of 10 s is over" in caplog.text, PATIENCE_S)
        with pytest.raises(ProviderError, match="Set lifetime_s"):
            provider.check_alive()
        assert containers(docker_engine, provider) == [] or wait_until(
            lambda: not containers(docker_engine, provider), PATIENCE_S
        )


def test_what_an_engine_has_is_listed_and_removed_by_any_program(docker_engine, program):
    _, told = program(network="bridge")
    found = [one for one in LocalDockerProvider.owned({}) if one.ownership.name == told["name"]]
    (one,) = found
    assert (one.kind, one.state) == ("container", "running")
    assert not one.expired
    assert abs(one.created - time.time()) < 3600
    LocalDockerProvider.remove(one)
    assert not of_name(docker_engine, told["name"])
    LocalDockerProvider.remove(one)


@pytest.fixture
def own_engine(tmp_path_factory, docker_engine, toy_image) -> Iterator[tuple[Docker, subprocess.Popen]]:
    """An engine that a test may kill, with the toy image in it."""
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("starting an engine needs root and dockerd")
    home = tmp_path_factory.mktemp("engine")
    url = f"unix://{home}/docker.sock"
    command = [
        "dockerd",
        f"--host={url}",
        f"--data-root={home}/data",
        f"--exec-root={home}/exec",
        f"--pidfile={home}/pid",
        f"--bridge={BRIDGE}",  # with none at all, an engine removes that of the others
        "--iptables=false",
        "--ip-forward=false",
        "--ip-masq=false",
    ]
    subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"], check=True)
    subprocess.run(["ip", "addr", "add", "10.213.7.1/24", "dev", BRIDGE], check=True)
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    engine = Docker(url)
    try:
        if not wait_until(lambda: process.poll() is not None or _answers(url), PATIENCE_S) or not _answers(url):
            pytest.skip(f"a second engine does not start here: {(home / 'log').read_text()[-500:]}")
        docker_engine.give(toy_image, engine)
        yield engine, process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
        _end_containerd(home)
        subprocess.run(["ip", "link", "del", BRIDGE], check=True)


def _answers(url: str) -> bool:
    return subprocess.run(["docker", "-H", url, "version"], capture_output=True).returncode == 0


def _end_containerd(home: Path) -> None:
    """End what an engine that was killed leaves: its containerd, and the shims of that."""
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{process}/cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if command[0].endswith(("containerd", "containerd-shim-runc-v2")) and any(
            str(home) in one for one in command
        ):
            os.kill(int(process), signal.SIGKILL)


def test_an_engine_that_is_killed_is_told_at_once_and_what_ran_there_ends(own_engine, toy_image, caplog):
    engine, process = own_engine
    provider = LocalDockerProvider(toy_image, base_url=engine.url, stop_grace_s=1)
    with provider:
        assert provider.where() == {"base_url": engine.url}
        process.kill()
        process.wait(PATIENCE_S)
        assert wait_until(lambda: "What runs there may be lost" in caplog.text, PATIENCE_S)
        with pytest.raises(EngineUnavailableError, match="not running"):
            provider.check_alive()
        pid = provider._fleet._members[0].relay._process.pid
        with pytest.raises(EngineUnavailableError):
            provider.stop()
        assert provider.urls  # it counts as running, for the engine may come back with it
        assert not Path(f"/proc/{pid}").exists()
        provider._end(lambda: None)  # this engine does not come back
