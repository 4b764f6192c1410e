"""What an engine keeps is reaped when its program ends, however it ends."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from tests.providers.shelf import Shelf, aged

from openenv.errors import ProviderError, ProviderStartError
from openenv.providers import Provider, _guardian
from openenv.providers.base import registered_name
from openenv.providers.guardian import Guardian
from openenv.providers.ownership import Ownership
from openenv.providers.process import ProcessProvider
from openenv.providers.reaping import Selection, reap, survey

HERE = Path(__file__).parent
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of the end of a process")


@pytest.fixture
def program(tmp_path):
    """Starts a program with a server on the shelf; returns it and the name of the server."""
    programs = []

    def start(*modes):
        program = subprocess.Popen(
            [sys.executable, str(HERE / "shelf_user.py"), str(tmp_path), *modes],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), *filter(None, sys.path)])},
            text=True,
        )
        programs.append(program)
        return program, program.stdout.readline().strip()

    yield start
    for program in programs:
        program.kill()
        program.communicate()
    reap(survey([registered_name(Shelf)], {"folder": str(tmp_path)}).resources)


@pytest.mark.parametrize("modes", [[], pytest.param(["forks"], marks=linux)])
def test_sigkill_of_the_program_has_its_servers_reaped(program, tmp_path, is_gone, eventually, modes):
    killed, name = program(*modes)
    pid = json.loads((tmp_path / name).read_text())["pid"]
    assert [file.name for file in tmp_path.iterdir()] == [name]
    killed.kill()
    assert eventually(lambda: not list(tmp_path.iterdir()))
    assert eventually(lambda: is_gone(pid))


def test_what_another_program_has_there_is_left_alone(program, tmp_path, eventually):
    _, theirs = program()
    killed, ours = program()
    killed.kill()
    assert eventually(lambda: not (tmp_path / ours).exists())
    assert (tmp_path / theirs).exists()


def test_a_program_that_ends_by_itself_stops_its_servers(program, tmp_path):
    ended, _ = program("returns")
    assert ended.wait(30) == 0
    assert not list(tmp_path.iterdir())


def test_what_is_left_is_reaped_with_one_call_for_each_engine(tmp_path, eventually):
    said = tmp_path / "said"
    script = f"import sys; print(*sys.argv[1:], file=open({str(said)!r}, 'a'))"
    guardian = Guardian([sys.executable, "-c", script])
    guardian.watch("a", ["--provider", "x"])
    guardian.watch("b", ["--provider", "x"])
    guardian.watch("c", ["--provider", "y", "--where", "k=a value"])
    guardian.forget("a")
    guardian.leave()
    calls = {"--provider x --name b", "--provider y --where k=a value --name c"}
    assert eventually(lambda: said.exists() and set(said.read_text().splitlines()) == calls)


def test_engines_are_reaped_at_the_same_time(tmp_path):
    """The one that is asked first answers only once the second has been."""
    os.mkfifo(tmp_path / "meeting")
    script = f"cd {tmp_path}; if [ $1 = first ]; then cat meeting > met; else echo ok > meeting; fi"
    left = {'["first"]': ["a"], '["second"]': ["b"]}
    _guardian._reap_all(["sh", "-c", script, "-"], left, pauses_s=(0,), limit_s=20)
    assert (tmp_path / "met").read_text() == "ok\n"


def test_a_reaper_that_hangs_is_given_up_and_the_next_one_tries(tmp_path):
    script = f"cd {tmp_path}; [ -e first ] && echo $* > said || {{ touch first; exec tail -f /dev/null; }}"
    _guardian._reap(["sh", "-c", script, "-"], ["a"], pauses_s=(0,) * 20, settled_s=0, limit_s=0.5)
    assert (tmp_path / "said").read_text() == "--name a\n"


def test_what_an_engine_was_making_at_the_end_of_the_program_is_reaped_when_it_is_there(tmp_path):
    """The engine has it only after the first look, which went well."""
    script = f"cd {tmp_path}; echo look >> looks; rm -f made; [ -e asked ] && mv asked made; exit 0"
    (tmp_path / "asked").touch()
    _guardian._reap(["sh", "-c", script], ["a"], pauses_s=(0, 0.01, 0.02, 0.03), settled_s=0.02)
    assert [path.name for path in tmp_path.iterdir()] == ["looks"]
    assert (tmp_path / "looks").read_text().split() == ["look"] * 3  # and then it is over


def test_a_guardian_that_was_killed_is_replaced_and_told_all(tmp_path, eventually):
    said = tmp_path / "said"
    script = f"import sys; open({str(said)!r}, 'w').write(' '.join(sys.argv[1:]))"
    guardian = Guardian([sys.executable, "-c", script])
    guardian.watch("a", [])
    first = guardian._process
    os.kill(first.pid, signal.SIGKILL)
    first.wait(30)
    guardian.watch("b", [])
    guardian.leave()
    assert eventually(lambda: said.exists() and said.read_text() == "--name a --name b")


def test_a_guardian_with_nothing_to_do_ends_at_once():
    guardian = Guardian()
    guardian.watch("a", [])
    guardian.forget("a")
    process = guardian._process
    guardian.leave()
    assert process.returncode == 0


def test_a_guardian_that_cannot_be_started_fails_the_start_and_the_next_may_go_well(tmp_path, monkeypatch):
    provider = Shelf(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("openenv.providers.base._guardian", Guardian())
        patched.setattr(
            "openenv.providers.guardian.subprocess.Popen", Mock(side_effect=BlockingIOError(11, "full"))
        )
        with pytest.raises(ProviderStartError, match=r"guardian.*full"):
            provider.start()
        assert provider.urls == []
    with provider:
        assert len(list(tmp_path.iterdir())) == 1


def test_a_survey_tells_which_engine_could_not_be_asked(tmp_path):
    name = registered_name(Shelf)
    found = survey([name, "process"], {"folder": str(tmp_path / "nowhere")})
    assert found.resources == ()
    assert list(found.problems) == [name]


@pytest.fixture
def no_engine(monkeypatch):
    """No engine answers, and of the libraries that reach others none is installed."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    for library in ("azure.identity", "daytona", "modal", "ray"):
        monkeypatch.setitem(sys.modules, library, None)


def test_a_survey_of_all_is_silent_of_providers_whose_library_is_not_installed(no_engine):
    found = survey()
    assert found.resources == ()
    assert set(found.problems) == {"docker", "kubernetes", "swarm"}
    assert "openenv[daytona]" in survey(["daytona"]).problems["daytona"]


class Broken(Provider):
    """Fails in ways that the interface does not know."""

    def launch(self, source):
        raise NotImplementedError

    def shutdown(self):
        raise NotImplementedError

    @classmethod
    def owned(cls, where):
        raise KeyError("it is broken")

    @classmethod
    def remove(cls, resource):
        raise ZeroDivisionError("it is broken")


def test_a_provider_that_fails_in_its_own_way_hides_nothing_of_the_others(tmp_path):
    provider = Shelf(tmp_path, lifetime_s=60)
    with provider:
        found = survey([registered_name(Broken), registered_name(Shelf)], {"folder": str(tmp_path)})
        assert [resource.ownership for resource in found.resources] == [provider.ownership]
        assert found.problems == {registered_name(Broken): "KeyError: 'it is broken'"}
        theirs = replace(found.resources[0], found_by=registered_name(Broken))
        other = replace(theirs, ownership=Ownership.new("broken", 60))
        ((_, told), (_, none)) = reap([other, *found.resources])
    assert isinstance(told, ProviderError)
    assert "ZeroDivisionError: it is broken" in str(told)
    assert none is None


def test_a_survey_imports_providers_one_after_the_other(tmp_path, monkeypatch):
    """Two threads that import a package and a module of it can meet in a deadlock, which Python makes an error."""
    (tmp_path / "theirs").mkdir()
    for name in ("__init__", "more"):
        text = "import threading\nfrom tests.providers.shelf import Shelf\nby = threading.current_thread()\n"
        (tmp_path / "theirs" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    survey(["theirs:Shelf", "theirs.more:Shelf"], {"folder": str(tmp_path)})
    imported_by = {sys.modules.pop(name).by for name in ("theirs", "theirs.more")}
    assert imported_by == {threading.current_thread()}


def test_only_what_is_selected_and_expired_is_reaped(tmp_path):
    providers = [Shelf(tmp_path, lifetime_s=60) for _ in range(3)]
    for provider in providers:
        provider.start()
    old, young, other = (provider.ownership.name for provider in providers)
    aged(tmp_path, old, 61)
    aged(tmp_path, other, 61)

    def reaped(**selection):
        found = survey([registered_name(Shelf)], {"folder": str(tmp_path)}).resources
        return {
            resource.ownership.name: error for resource, error in reap(filter(Selection(**selection).has, found))
        }

    assert reaped(names=[old], expired=True) == {old: None}
    assert reaped(expired=True) == {other: None}
    assert reaped(owners=["somebody else"]) == {}
    assert reaped(runs=[providers[1].ownership.run]) == {young: None}
    for provider in providers:
        provider.stop()


def test_labels_say_all_there_is_to_say():
    owned = Ownership.new("docker", 60)
    assert Ownership.from_labels(owned.labels()) == owned
    assert Ownership.from_labels({"app": "somebody else's"}) is None


def test_labels_fit_every_engine(monkeypatch):
    monkeypatch.setenv("OPENENV_RUN", "GRPO run #7 (µ)!" * 9)
    for value in Ownership.new("docker", 60).labels().values():
        assert len(value) <= 63
        assert value.strip("-_.") == value
        assert value.isascii()
        assert " " not in value


def test_the_name_of_a_class_is_found_by_another_process():
    assert registered_name(ProcessProvider) == "process"
    assert registered_name(Shelf) == "tests.providers.shelf:Shelf"
