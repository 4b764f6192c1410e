"""Servers on Unix domain sockets, reached in every way there is."""

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from tests.servers import BOUND_S, Host, Server
from tests.toys import Add, Count, Counter, CounterEnv, Tally

from openenv.cli.serve import announce
from openenv.cli.target import Target
from openenv.client import EnvPool
from openenv.client.generic import GenericEnvClient
from openenv.client.http import HTTPEnvClient
from openenv.errors import ConfigurationError, ConnectionFailedError
from openenv.protocol.address import http_address, place, websocket_address
from openenv.protocol.listening import listening_at
from openenv.providers import ProcessProvider
from openenv.server.app import create_app


class OverHttp(HTTPEnvClient[Add, Count, Tally]):
    pass


@pytest.fixture(params=["fast", "asgi"])
def server(request: pytest.FixtureRequest, host: Host, tmp_path: Path):
    options = {} if request.param == "fast" else {"ws": "websockets-sansio"}
    server = host.run(create_app(Counter), path=tmp_path / "env.sock", **options)
    yield server
    server.stop(wait=False)


def test_a_client_plays_over_a_unix_domain_socket(server: Server):
    with CounterEnv(server.url) as env:
        env.reset()
        assert env.step(Add(amount=3)).observation.total == 3
        assert env.state().step_count == 1
        assert env.capacity().active_sessions == 1
        assert env.metadata().name == "Counter"

    async def play() -> int:
        async with CounterEnv(server.url) as env:
            await env.reset()
            return (await env.step(Add(amount=4))).observation.total

    assert asyncio.run(play()) == 4


def test_so_do_all_other_clients(server: Server):
    with CounterEnv.vector(base_url=server.url, num_envs=3, connections=2) as envs:
        envs.reset()
        assert [result.observation.total for result in envs.step([Add(amount=n) for n in range(3)])] == [0, 1, 2]
    with EnvPool(CounterEnv, urls=[server.url]) as pool, pool.lease() as env:
        assert env.reset().observation.total == 0
    with CounterEnv(server.url).sync() as env:
        assert env.reset().observation.total == 0

    with GenericEnvClient(base_url=server.url) as env:
        assert env.reset().observation["total"] == 0
    with OverHttp(base_url=server.url) as env:
        assert env.reset().observation.total == 0


def test_a_lost_connection_is_resumed(server: Server):
    with CounterEnv(server.url) as env:
        env.reset()
        for total in range(1, 4):
            server.cut()
            assert env.step(Add()).observation.total == total


def test_nobody_listens_there(tmp_path: Path):
    address = f"unix://{tmp_path}/no.sock"
    for client in (CounterEnv, OverHttp):
        with pytest.raises(ConnectionFailedError, match=f"Failed to connect to {address}:"), client(address) as env:
            env.reset()


def test_a_server_below_a_path_has_a_spelling_too(host: Host, tmp_path: Path):
    around = FastAPI()
    around.mount("/below", create_app(Counter))
    server = host.run(around, path=tmp_path / "env.sock")
    with CounterEnv(f"http+unix://{quote(str(tmp_path / 'env.sock'), safe='')}/below") as env:
        assert env.reset().observation.total == 0
        assert env.capacity().active_sessions == 1
    server.stop(wait=False)


@pytest.mark.parametrize(
    ("address", "websocket", "http"),
    [
        ("http://host:1/x/", "ws://host:1/x", "http://host:1/x"),
        ("wss://host", "wss://host", "https://host"),
        ("host:8000", "ws://host:8000", "host:8000"),
        ("unix:///run/a.sock", "ws+unix://%2Frun%2Fa.sock", "unix:///run/a.sock"),
        ("http+unix://%2Frun%2Fa%20b/x", "ws+unix://%2Frun%2Fa%20b/x", "http+unix://%2Frun%2Fa%20b/x"),
        ("ws+unix://%2Frun%2Fa/ws", "ws+unix://%2Frun%2Fa/ws", "http+unix://%2Frun%2Fa/ws"),
    ],
)
def test_addresses_are_turned_into_one_another(address: str, websocket: str, http: str):
    assert websocket_address(address) == websocket
    assert http_address(address) == http


@pytest.mark.parametrize("address", ["unix://run/a.sock", "unix:///", "http+unix://run", "unix://"])
def test_an_address_that_names_no_socket_is_refused(address: str):
    with pytest.raises(ConfigurationError, match=r"unix:///run/env\.sock"):
        place(address)


def test_an_address_of_another_kind_is_refused():
    with pytest.raises(ConfigurationError, match="'ftp://host' is not the address of a server"):
        websocket_address("ftp://host")


# --- listening -------------------------------------------------------------------------------------


def test_only_this_user_may_connect_and_the_file_is_gone_afterwards(tmp_path: Path, capsys):
    path = tmp_path / "env.sock"
    with listening_at(str(path)) as listener:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        announce(Target("counter_env", "m", "a"), listener)
        assert f"unix://{path} " in capsys.readouterr().out
    assert not path.exists()


def test_what_a_killed_server_has_left_is_replaced_and_nothing_else(tmp_path: Path):
    path = tmp_path / "env.sock"
    with listening_at(str(path)):
        with pytest.raises(ConfigurationError, match="listens at"), listening_at(str(path)):
            pass
        os.link(path, tmp_path / "left")
    with listening_at(str(tmp_path / "left")):
        pass
    path.write_text("precious")
    with pytest.raises(ConfigurationError, match="is a file"), listening_at(str(path)):
        pass
    assert path.read_text() == "precious"
    with pytest.raises(ConfigurationError, match="cannot be listened on"), listening_at(str(tmp_path / "no" / "a")):
        pass


@pytest.mark.slow
def test_a_provider_may_serve_on_one():
    with CounterEnv.with_provider(ProcessProvider("tests.toys:Counter", uds=True, env_vars=_path())) as env:
        address = str(env.base_url)
        assert address.startswith("unix:///")
        env.reset()
        assert env.step(Add()).observation.total == 1
    assert not Path(address.removeprefix("unix://")).parent.exists()


@pytest.mark.slow
def test_a_command_serves_on_one(tmp_path: Path):
    path = tmp_path / "env.sock"
    served = subprocess.Popen(
        [sys.executable, "-m", "openenv", "serve", "tests.toys:Counter", "--uds", str(path)],
        env={**os.environ, **_path(), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert served.stdout is not None
        assert f"unix://{path}" in served.stdout.readline()
        with CounterEnv(f"unix://{path}", connect_timeout_s=6 * BOUND_S) as env:
            assert env.reset().observation.total == 0
    finally:
        served.terminate()
        served.communicate(timeout=6 * BOUND_S)
    assert not path.exists()


def _path() -> dict[str, str]:
    root = Path(__file__).parents[2]
    return {"PYTHONPATH": os.pathsep.join(map(str, [root / "src", root]))}
