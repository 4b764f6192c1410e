"""`openenv ps` and `openenv gc`, on an engine that is a folder."""

import json
import os
import re
import sys

import pytest
from click.testing import CliRunner
from tests.providers.shelf import Shelf, aged

from openenv.cli.main import cli
from openenv.providers.base import registered_name


@pytest.fixture
def openenv(tmp_path):
    def run(command, *arguments, **options):
        where = ["--provider", registered_name(Shelf), "--where", f"folder={tmp_path}"]
        return CliRunner().invoke(cli, [command, *where, *arguments], **options)

    return run


@pytest.fixture
def start(tmp_path):
    started = []

    def make(lifetime_s=60):
        started.append(Shelf(tmp_path, lifetime_s))
        started[-1].start()
        return started[-1].ownership.name

    yield make
    for provider in started:
        provider.stop()


def test_ps_lists_what_the_engine_keeps(openenv, start):
    name = start()
    listed = openenv("ps")
    assert listed.exit_code == 0
    title, row = listed.output.splitlines()
    assert title.split()[:4] == ["PROVIDER", "KIND", "NAME", "STATE"]
    assert row.split()[:4] == ["shelf", "process", name, "running"]
    assert "in 5" in row


def test_ps_says_so_when_there_is_nothing(openenv):
    assert openenv("ps").output == "Nothing.\n"


def test_ps_for_programs(openenv, start):
    name = start()
    (found,) = json.loads(openenv("ps", "--json").output)["resources"]
    assert found["name"] == name
    assert found["expired"] is False


def test_gc_takes_what_is_expired_and_nothing_else(openenv, start, tmp_path):
    old, young = start(), start()
    aged(tmp_path, old, 61)
    assert "1 removed" in openenv("gc").output
    assert os.listdir(tmp_path) == [young]


def test_gc_tries_without_doing(openenv, start, tmp_path):
    name = start()
    assert name in openenv("gc", "--all", "--dry-run").output
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize(("answer", "left"), [("n\n", 1), ("y\n", 0)])
def test_gc_asks_before_it_takes_all(openenv, start, tmp_path, answer, left):
    start()
    assert "Remove these 1?" in openenv("gc", "--all", input=answer).output
    assert len(os.listdir(tmp_path)) == left


def test_gc_fails_when_the_engine_that_was_named_can_not_be_asked():
    where = ["--provider", registered_name(Shelf), "--where", "folder=nowhere"]
    result = CliRunner().invoke(cli, ["gc", *where])
    assert result.exit_code == 1
    assert "There is no shelf at nowhere" in result.output


def test_gc_says_what_it_could_not_remove(openenv, start, monkeypatch):
    from openenv.errors import ProviderError

    name = start()

    def refuse(resource):
        raise ProviderError("it is bolted to the wall")

    with monkeypatch.context() as patched:
        patched.setattr(Shelf, "remove", staticmethod(refuse))
        result = openenv("gc", "--name", name)
    assert result.exit_code == 1
    assert "Still there: process" in result.output
    assert "bolted" in result.output


@pytest.mark.parametrize("command", [["ps"], ["gc", "--dry-run"]])
def test_with_no_engine_and_no_library_of_a_service_both_tell_whom_they_could_not_ask(command, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    for library in ("azure.identity", "daytona", "modal", "ray"):
        monkeypatch.setitem(sys.modules, library, None)
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0
    assert re.findall(r"^Not asked: (\w+):", result.output, re.MULTILINE) == ["docker", "kubernetes", "swarm"]


@pytest.mark.parametrize("command", ["ps", "gc"])
def test_where_is_key_and_value(command):
    result = CliRunner().invoke(cli, [command, "--where", "here"])
    assert result.exit_code == 2
    assert "KEY=VALUE" in result.output
