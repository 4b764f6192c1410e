"""NeMo Gym's own OpenEnv resources server, unmodified, runs our environments in its process."""

from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml

pytest.importorskip("nemo_gym", reason="needs NeMo Gym and Python 3.12: `make test-nemo-gym`")

from fastapi.testclient import TestClient
from nemo_gym.server_utils import ServerClient
from resources_servers.openenv import app as nemo
from resources_servers.openenv.app import OpenEnvResourcesServer, OpenEnvResourcesServerConfig

CALL = "openenv.core.env_server.mcp_types.CallToolAction"
CONFIGS = Path(nemo.__file__).parent / "configs"
PARAMS = {"responses_create_params": {"input": []}}
RESPONSE = {
    "id": "r",
    "created_at": 0,
    "model": "m",
    "object": "response",
    "output": [],
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
}


@pytest.fixture
def serve():
    """Serve an environment by NeMo Gym's server; what is returned keeps the cookies of its session."""
    clients = []

    def start(env_class: str, action_class: str, **options: Any) -> TestClient:
        config = OpenEnvResourcesServerConfig(
            host="127.0.0.1",
            port=1,
            entrypoint="",
            name="openenv",
            env_class=env_class,
            action_class=action_class,
            **options,
        )
        server = OpenEnvResourcesServer(config=config, server_client=MagicMock(spec=ServerClient))
        clients.append(TestClient(server.setup_webserver()))
        assert clients[-1].post("/seed_session", json={}).status_code == 200
        return clients[-1]

    yield start
    for client in clients:
        client.close()


def shipped(name: str) -> dict[str, Any]:
    """Return the options of a configuration that comes with NeMo Gym."""
    config = yaml.safe_load((CONFIGS / f"openenv_{name}.yaml").read_text())
    server = config[f"openenv_{name}_resources_server"]["resources_servers"]["openenv"]
    return {key: server[key] for key in ("env_class", "action_class", "is_mcp")}


def verified(client: TestClient) -> float:
    answer = client.post("/verify", json={**PARAMS, "response": RESPONSE})
    assert answer.status_code == 200, answer.text
    return answer.json()["reward"]


def test_tools_are_found_and_called_as_its_own_configuration_of_echo_has_it(serve):
    client = serve(**shipped("echo"))
    assert client.post("/echo_message", json={"message": "hello"}).json() == {"result": "hello", "error": None}
    answer = client.post("/echo_with_length", json={"message": "ab"}).json()
    assert answer["result"] == {"message": "ab", "length": 2}
    assert verified(client) == 2.0  # 1.0 for each call


def test_code_is_run_as_its_own_configuration_of_coding_has_it(serve):
    client = serve(**shipped("coding"))
    ran = client.post("/step", json={"code": "print(6 * 7)"}).json()
    assert (ran["stdout"], ran["exit_code"]) == ("42\n", 0)
    failed = client.post("/step", json={"code": "1 / 0"}).json()
    assert "ZeroDivisionError" in failed["stderr"]
    verified(client)


def test_methods_that_are_tools_are_found_too(serve):
    client = serve("tests.integrations.shops.Shop", CALL, is_mcp=True)
    assert client.post("/buy", json={"count": 2}).json() == {"result": 2, "error": None}
    assert "integer" in client.post("/buy", json={"count": None}).json()["error"]
    assert client.post("/buy", json={"count": 1}).json()["result"] == 3
    assert client.post("/buy", json={"count": 1}).json()["error"] == "Episode has ended."
    assert verified(client) == 1.0


def test_games_are_played_by_steps_and_the_seed_is_configured(serve):
    client = serve(
        "grid_world_env.server.grid_world_environment.GridWorldEnvironment",
        "grid_world_env.models.GridWorldAction",
        reset_kwargs={"seed": 2},
    )
    refused = client.post("/step", json={"move": "sideways"}).json()
    assert "move" in refused["error"]
    seen = client.post("/step", json={"move": "right"}).json()
    assert (seen["done"], seen["reward"]) == (True, 1.0)
    assert verified(client) == 1.0


def test_sessions_are_apart(serve):
    options = {
        "env_class": "blackjack_env.server.blackjack_environment.BlackjackEnvironment",
        "action_class": "blackjack_env.models.BlackjackAction",
        "reset_kwargs": {"seed": 1},
    }
    one, other = serve(**options), serve(**options)
    assert one.post("/step", json={"move": "stand"}).json() == other.post("/step", json={"move": "stand"}).json()
    assert verified(one) == verified(other)
