"""`OPENENV_EGRESS=deny`: a server that answers, and whose environment cannot call."""

import os
import sys

import httpx
import pytest

from openenv import settings
from openenv.containment import probe
from openenv.errors import ConfigurationError
from openenv.providers import ProcessProvider

PACKAGE = {
    "__init__.py": "",
    "server/__init__.py": "",
    "server/app.py": """
import socket
from openenv.environment import Environment
from openenv.models import Action, Observation, State
from openenv.server import create_app

def attempt(*kind, to=None):
    try:
        with socket.socket(*kind) as one:
            if to:
                one.connect(to)
        return "done"
    except OSError as error:
        return type(error).__name__

AT_IMPORT = attempt(socket.AF_INET, socket.SOCK_DGRAM)

class Call(Action):
    port: int

class Heard(Observation):
    heard: list[str] = []

class Calling(Environment[Call, Heard, State]):
    def reset(self):
        return Heard()

    def step(self, action):
        tcp = attempt(socket.AF_INET, socket.SOCK_STREAM, to=("127.0.0.1", action.port))
        return Heard(heard=[AT_IMPORT, attempt(socket.AF_INET, socket.SOCK_DGRAM), tcp])

    @property
    def state(self):
        return State()

app = create_app(Calling, Call, Heard)
""",
}


@pytest.fixture
def folder(tmp_path):
    for name, content in PACKAGE.items():
        file = tmp_path / "calling_env" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return tmp_path / "calling_env"


def heard(folder, value):
    import socket

    with (
        socket.create_server(("127.0.0.1", 0)) as service,
        ProcessProvider(folder, env_vars={"OPENENV_EGRESS": value}, ready_timeout_s=60) as provider,
        httpx.Client(base_url=provider.base_url, trust_env=False, verify=False, timeout=30) as client,
    ):
        client.post("/reset", json={}).raise_for_status()
        answer = client.post("/step", json={"action": {"port": service.getsockname()[1]}})
        answer.raise_for_status()
        return answer.json()["observation"]["heard"]


@pytest.mark.skipif(sys.platform != "linux" or probe()["seccomp"] is not None, reason="it takes seccomp")
def test_a_server_that_denies_egress_answers_and_does_not_call(folder):
    assert heard(folder, "deny") == ["PermissionError"] * 3
    assert heard(folder, "allow") == ["done"] * 3


def test_a_slip_does_not_open_what_was_to_be_shut(monkeypatch):
    monkeypatch.setitem(os.environ, "OPENENV_EGRESS", "denied")
    with pytest.raises(ConfigurationError, match="neither 'deny' nor 'allow'"):
        settings.egress_denied()
