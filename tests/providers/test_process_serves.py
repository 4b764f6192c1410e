"""The process provider with the real `openenv serve` and an environment package."""

import importlib
import sys

import httpx
import pytest

from openenv.errors import ProviderStartError
from openenv.providers import ProcessProvider, Source

FILES = {
    "__init__.py": "",
    "client.py": "class DoublingEnv: pass\n",
    "models.py": """
from openenv.models import Action, Observation

class Number(Action):
    value: int

class Doubled(Observation):
    value: int = 0
""",
    "server/__init__.py": "",
    "server/app.py": """
from openenv.environment import Environment
from openenv.models import State
from openenv.server import create_app
from ..models import Doubled, Number

class Doubling(Environment[Number, Doubled, State]):
    def reset(self):
        return Doubled()

    def step(self, action):
        return Doubled(value=2 * action.value)

    @property
    def state(self):
        return State()

app = create_app(Doubling, Number, Doubled)
""",
}


@pytest.fixture
def source(tmp_path, monkeypatch):
    """What the client class of a checkout tells; the package cannot be imported by its name in a child."""
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "envs" / "doubling_env"
    for name, content in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    (folder.parent / "__init__.py").write_text("")
    for name in [name for name in sys.modules if name.partition(".")[0] == "envs"]:
        monkeypatch.delitem(sys.modules, name)
    yield Source.of(importlib.import_module("envs.doubling_env.client").DoublingEnv)
    for name in [name for name in sys.modules if name.startswith("envs.doubling_env") or name == "envs"]:
        del sys.modules[name]


def test_an_environment_of_a_checkout_is_served(source):
    provider = ProcessProvider()
    try:
        url = provider.start(source)
        provider.wait_for_ready()
        with httpx.Client(base_url=url, trust_env=False, verify=False) as client:
            client.post("/reset", json={}).raise_for_status()
            answer = client.post("/step", json={"action": {"value": 21}}).json()
    finally:
        provider.stop()
    assert answer["observation"]["value"] == 42


def test_an_environment_that_cannot_be_imported_says_so_at_once(source, tmp_path):
    (tmp_path / "envs" / "doubling_env" / "models.py").write_text("import a_package_that_is_not_there\n")
    provider = ProcessProvider(source.folder, ready_timeout_s=60)
    with pytest.raises(ProviderStartError, match="a_package_that_is_not_there"), provider:
        pass
