"""What a client class tells of its environment."""

import importlib
import sys
from pathlib import Path

import pytest

from openenv.errors import ConfigurationError
from openenv.providers import Source


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes an environment package with a client class and imports it; returns the class."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "envs"]:
        monkeypatch.delitem(sys.modules, name)  # the checkout's own
    before = set(sys.modules)

    def write(name, *, manifest=None, server=True):
        folder = tmp_path.joinpath(*name.split("."))
        (folder / "server").mkdir(parents=True)
        for package in (folder, *list(folder.parents)[: name.count(".")]):
            (package / "__init__.py").write_text("")
        (folder / "client.py").write_text("class ToyEnv: pass\n")
        if server:
            (folder / "server" / "app.py").write_text("raise RuntimeError('the server was imported')\n")
        if manifest is not None:
            (folder / "openenv.yaml").write_text(manifest)
        return importlib.import_module(f"{name}.client").ToyEnv

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_package_with_a_server_is_known_without_a_manifest(package, tmp_path):
    assert Source.of(package("toy_env")) == Source(
        package="toy_env",
        app="toy_env.server.app:app",
        image="toy-env:latest",
        folder=str((tmp_path / "toy_env").resolve()),
    )


def test_the_manifest_names_the_app_and_the_image(package):
    source = Source.of(package("toy_env", manifest="name: my_toy\napp: server.main:make\n"))
    assert (source.app, source.image) == ("toy_env.server.main:make", "my-toy:latest")


def test_an_app_written_with_its_package_is_not_prefixed_again(package):
    source = Source.of(package("toy_env", manifest="app: toy_env.server.app:app\n"))
    assert source.app == "toy_env.server.app:app"


def test_a_title_for_people_is_no_image_name(package):
    assert Source.of(package("toy_env", manifest="name: 'Toy: the game'\n")).image == "toy-env:latest"


def test_a_package_of_a_checkout_counts_by_its_own_name(package):
    source = Source.of(package("envs.toy_env"))
    assert (source.package, source.app) == ("toy_env", "toy_env.server.app:app")
    assert Path(source.folder).name == "toy_env"


def test_a_package_without_a_server_has_an_image_only(package):
    assert Source.of(package("toy_env", server=False)) == Source(package="toy_env", image="toy-env:latest")


def test_a_subclass_in_a_script_counts_as_its_ancestor(package):
    mine = type("Mine", (package("toy_env"),), {"__module__": "__main__"})
    assert Source.of(mine).app == "toy_env.server.app:app"


def test_a_class_of_no_environment_tells_nothing():
    assert Source.of(Source) == Source()
    assert Source.of(type("Local", (), {"__module__": "a_module_of_no_package"})) == Source()


@pytest.mark.parametrize("manifest", ["a: [", "- a list\n", "\x00"])
def test_a_manifest_that_cannot_be_read_is_named(package, manifest):
    with pytest.raises(ConfigurationError, match=r"openenv\.yaml"):
        Source.of(package("toy_env", manifest=manifest))
