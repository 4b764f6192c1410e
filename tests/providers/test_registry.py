"""Providers by name, and what importing them costs."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from openenv import providers
from openenv.errors import ConfigurationError
from openenv.providers import ProcessProvider, available, get_provider, registry


@pytest.fixture
def installed(monkeypatch):
    """Makes an entry point known as if a package had brought it."""

    def install(name, value):
        entry = EntryPoint(name, value, registry.ENTRY_POINTS)
        monkeypatch.setattr(registry, "entry_points", lambda group: [entry] * (group == entry.group))

    return install


def test_a_provider_is_made_by_name_with_its_settings():
    provider = get_provider("process", target="pkg.app:app", stop_grace_s=1)
    assert type(provider) is ProcessProvider
    assert (provider.target, provider.stop_grace_s) == ("pkg.app:app", 1)


def test_an_unknown_name_lists_the_known_ones(installed):
    installed("mine", "my_package:MyProvider")
    with pytest.raises(ConfigurationError, match=r"'processs'. Known are: .*mine, process, "):
        get_provider("processs")


def test_an_installed_package_adds_a_provider(installed):
    installed("mine", "openenv.providers.process:ProcessProvider")
    assert available() == sorted({"mine", *registry._BUILT_IN})
    assert type(get_provider("mine")) is ProcessProvider


def test_an_installed_package_cannot_take_a_name_of_the_project(installed):
    installed("process", "os:getcwd")
    assert type(get_provider("process")) is ProcessProvider


@pytest.mark.parametrize("value", ["no_such_package:X", "openenv.providers:NoSuchName"])
def test_one_that_cannot_be_imported_says_why(installed, value):
    installed("mine", value)
    with pytest.raises(ConfigurationError, match=r"'mine' cannot be imported.*(no_such_package|NoSuchName)"):
        get_provider("mine")


def test_one_that_is_no_provider_is_refused(installed):
    installed("mine", "pathlib:Path")
    with pytest.raises(ConfigurationError, match="no subclass of Provider"):
        get_provider("mine")


def test_every_public_name_is_there_and_others_are_not():
    for name in providers.__all__:
        assert getattr(providers, name).__name__ == name
    assert set(providers.__all__) <= set(dir(providers))
    with pytest.raises(AttributeError, match="NoSuchProvider"):
        _ = providers.NoSuchProvider


def test_importing_the_package_imports_nothing_else():
    program = "import sys, openenv.providers; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = run.stdout.split()
    assert "httpx" not in imported
    assert [name for name in imported if name.startswith("openenv.providers")] == ["openenv.providers"]
