"""Snapshots: the files of a container, and nothing else of it."""

import json

import httpx
import pytest

from openenv.errors import SnapshotError
from openenv.providers import LocalDockerProvider


@pytest.fixture
def changed(docker_engine, toy_image):
    """A provider whose container has a file that its image has not, and a secret."""
    options = {"read_only": False, "user": "root", "cap_drop": (), "env_vars": {"API_TOKEN": "tangerine-7"}}
    with LocalDockerProvider(toy_image, **options) as provider:
        ask(provider, "/write/kept-file")
        yield provider


@pytest.fixture
def forget(docker_engine):
    """Remove the snapshots of a test."""
    yield
    for one in LocalDockerProvider.owned({}):
        if one.kind == "image":
            LocalDockerProvider.remove(one)


def ask(provider, path):
    return httpx.get(provider.base_url + path, timeout=30, trust_env=False).raise_for_status().json()


def test_a_restored_provider_begins_with_the_files_that_were_kept(docker_engine, changed, forget):
    kept = changed.snapshot()
    ask(changed, "/write/later-file")
    with changed.restore(kept) as restored:
        files = ask(restored, "/who")["files"]
        assert "kept-file" in files
        assert "later-file" not in files
        assert restored.base_url != changed.base_url
        assert ask(restored, "/who")["env"]["API_TOKEN"] == "tangerine-7"


def test_forks_go_their_own_ways(changed, forget):
    first, second = changed.fork(2)
    with first, second:
        ask(first, "/write/only-first")
        assert "only-first" in ask(first, "/who")["files"]
        assert {"kept-file"} <= set(ask(second, "/who")["files"])
        assert "only-first" not in ask(second, "/who")["files"]


def test_a_snapshot_is_an_image_like_the_one_before_without_secrets(docker_engine, toy_image, changed, forget):
    kept = changed.snapshot()
    (before, after) = (json.loads(docker_engine.run("inspect", image))[0]["Config"] for image in (toy_image, kept))
    assert [*after["Entrypoint"], *after["Cmd"]] == before["Cmd"]
    assert "tangerine-7" not in json.dumps(after)
    assert "GREETING=two words and a $sign" in after["Env"]
    assert after["Labels"]["com.example.kept"] == "yes"
    assert after["Labels"]["openenv.name"] != changed.ownership.name


def test_a_snapshot_is_listed_and_removed_as_ours(docker_engine, changed, forget):
    kept = changed.snapshot()
    (one,) = (
        one for one in LocalDockerProvider.owned({}) if one.kind == "image" and kept.endswith(one.ownership.name)
    )
    LocalDockerProvider.remove(one)
    LocalDockerProvider.remove(one)
    with pytest.raises(SnapshotError, match="no snapshot"):
        changed.restore(kept)


def test_where_nothing_could_have_changed_a_snapshot_is_refused(docker_engine, toy_image):
    provider = LocalDockerProvider(toy_image)
    with pytest.raises(SnapshotError, match="start one"):
        provider.snapshot()
    with provider, pytest.raises(SnapshotError, match="read_only=False"):
        provider.snapshot()
