"""The Docker provider, as far as it can be told without an engine. `tests/engines/test_docker.py` has the rest."""

from types import SimpleNamespace

import pytest

from openenv.errors import SnapshotError
from openenv.providers import LocalDockerProvider
from openenv.providers.docker.fleet import Fleet


@pytest.mark.parametrize(
    ("options", "capabilities"),
    [
        ({}, {"restore"}),
        ({"read_only": False}, {"snapshot", "restore", "fork"}),
        ({"read_only": False, "replicas": 2}, {"restore"}),
    ],
)
def test_it_can_keep_the_files_of_one_container_whose_files_can_change(options, capabilities):
    assert LocalDockerProvider("echo-env:latest", **options).capabilities == capabilities


def test_an_option_of_a_start_changes_what_it_can(monkeypatch):
    image = SimpleNamespace(attrs={"Id": "sha256:1", "Config": {"Cmd": ["serve"]}})
    client = SimpleNamespace(images=SimpleNamespace(get=lambda _: image))
    monkeypatch.setattr(LocalDockerProvider, "_connect", lambda _: (client, "tcp://engine:2376"))
    monkeypatch.setattr(Fleet, "up", lambda _: ["http://127.0.0.1:1"])
    monkeypatch.setattr(Fleet, "down", lambda _: None)
    provider = LocalDockerProvider("echo-env:latest")
    provider.start(read_only=False)
    try:
        assert "fork" in provider.capabilities
    finally:
        provider.stop()


@pytest.mark.parametrize(("options", "advice"), [({}, "read_only=False"), ({"replicas": 2}, "replicas=1")])
def test_a_fork_that_cannot_be_is_refused_with_what_helps(options, advice):
    with pytest.raises(SnapshotError, match=advice):
        LocalDockerProvider("echo-env:latest", **options).fork(2)
