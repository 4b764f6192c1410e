"""The process provider against real child processes."""

import asyncio
import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests import deep

from openenv.errors import ConfigurationError, ProviderStartError
from openenv.providers import ProcessProvider, Source
from openenv.testing import ProviderContract

HERE = Path(__file__).parent
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux brings orphans back to the watchdog")


def process_id(name: str, text: str) -> int:
    found = re.search(rf"{name} (\d+)", text)
    return int(found[1]) if found else 0


@pytest.fixture
def reported(eventually):
    """The process id that a server writes, once it has come through the pipe."""

    def wait(provider, name):
        assert eventually(lambda: process_id(name, provider.logs()))
        return process_id(name, provider.logs())

    return wait


class TestProcessProvider(ProviderContract):
    @pytest.fixture(autouse=True)
    def _fixtures(self, toy, is_gone):
        self._toy, self._is_gone = toy, is_gone

    def make_provider(self):
        return self._toy("grandchild")

    def make_dying_provider(self):
        return self._toy("dies")

    def make_unready_provider(self):
        return self._toy("busy", ready_timeout_s=0.2)

    def leftovers(self, provider):
        known = [provider.pid] if provider.pid else []
        known += [int(number) for number in re.findall(r"grandchild (\d+)", provider.logs())]
        return [process for process in known if not self._is_gone(process)]


def test_two_providers_have_two_ports(toy):
    with toy() as one, toy() as two:
        assert one.base_url != two.base_url


def test_a_server_that_ignores_sigterm_is_killed(toy, is_gone, reported):
    provider = toy("stubborn", "grandchild", stop_grace_s=0.05)
    with provider:
        grandchild = reported(provider, "grandchild")
    assert is_gone(provider.pid)
    assert is_gone(grandchild)


def test_a_server_that_holds_its_interpreter_is_killed(toy, is_gone, eventually):
    with toy("stuck", stop_grace_s=0.05) as provider:
        assert eventually(lambda: "stuck" in provider.logs())
    assert is_gone(provider.pid)


@linux
def test_a_process_that_left_the_group_is_killed_too(toy, is_gone, reported):
    with toy("runaway") as provider:
        runaway = reported(provider, "runaway")
        assert not is_gone(runaway)
    assert is_gone(runaway)


def test_what_a_dead_server_left_is_killed_before_anyone_stops_it(toy, is_gone, eventually, reported):
    provider = toy("grandchild")
    provider.start()
    grandchild = reported(provider, "grandchild")
    os.kill(provider.pid, signal.SIGKILL)
    assert eventually(lambda: is_gone(grandchild))
    with pytest.raises(ProviderStartError, match="ended by SIGKILL"):
        provider.wait_for_ready(60)
    provider.stop()


def test_a_crash_is_told_by_its_signal(toy):
    with pytest.raises(ProviderStartError, match="SIGSEGV"), toy("crashes"):
        pass


def test_an_exit_is_told_by_its_code(toy):
    with pytest.raises(ProviderStartError, match="exit code 3"), toy("dies"):
        pass


def test_an_interpreter_that_is_not_there_is_named(tmp_path):
    provider = ProcessProvider("echo_env.server.app:app", python=str(tmp_path / "python"))
    with pytest.raises(ProviderStartError, match="python cannot be run"), provider:
        pass


def test_a_flood_of_output_does_not_hold_up_the_server(toy, eventually):
    with toy("floods", log_lines=10) as provider:
        assert eventually(lambda: len(provider.logs().splitlines()) == 10)
        provider.wait_for_ready(60)
        assert provider.logs(tail=2).splitlines()[0] == "x" * 99


def test_secrets_are_hidden_in_logs_and_errors(toy, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "inherited-value")
    said = "given-value and inherited-value at https://me:pw@host/ with hf_0123456789abcdef"
    provider = toy("dies", env_vars={"DB_PASSWORD": "given-value", "TOY_SAYS": said})
    with pytest.raises(ProviderStartError) as caught, provider:
        pass
    for text in (provider.logs(), caught.value.log_tail, str(caught.value)):
        assert "*** and *** at https://***@host/ with hf_***" in text


def test_environment_variables_reach_the_server_and_it_is_unbuffered(toy, eventually):
    with toy(env_vars={"TOY_SAYS": "hello"}, max_concurrent_envs=4) as provider:
        assert eventually(lambda: "hello" in provider.logs())
        variables = provider.environment()
    assert variables["PYTHONUNBUFFERED"] == "1"
    assert variables["MAX_CONCURRENT_ENVS"] == "4"


def test_a_forgotten_provider_takes_its_server_along(toy, is_gone, eventually):
    provider = type(toy())()
    provider.start()
    server = provider.pid
    assert not is_gone(server)
    del provider
    gc.collect()
    assert eventually(lambda: is_gone(server))


@linux
def test_a_watchdog_that_is_killed_takes_the_server_along(toy, is_gone, eventually):
    with toy() as provider:
        os.kill(provider._process._watchdog.pid, signal.SIGKILL)
        assert eventually(lambda: is_gone(provider.pid))
        with pytest.raises(ProviderStartError, match="ended by SIGKILL"):
            provider.wait_for_ready(60)


def test_it_removes_folders_too_deep_for_a_recursion_where_the_watchdog_was_killed(toy, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with toy(uds=True) as provider:
        (folder,) = tmp_path.iterdir()
        deep.fill(folder)
        os.kill(provider._process._watchdog.pid, signal.SIGKILL)
    assert not folder.exists()


def test_a_busy_event_loop_does_not_hold_up_the_server(toy):
    async def use():
        async with toy("floods") as provider:
            deadline = time.monotonic() + 0.1
            while time.monotonic() < deadline:  # nothing else of the loop runs meanwhile
                pass
            provider.wait_for_ready(60)

    asyncio.run(use())


def test_many_providers_get_ready_at_the_same_time(toy):
    async def use():
        providers = [toy() for _ in range(8)]
        await asyncio.gather(*(provider.__aenter__() for provider in providers))
        ports = {provider.base_url for provider in providers}
        await asyncio.gather(*(provider.astop() for provider in providers))
        return ports

    assert len(asyncio.run(use())) == 8


def test_a_cancelled_stop_still_stops(toy, is_gone):
    async def use():
        provider = toy("stubborn", stop_grace_s=0.05)
        await provider.astart()
        await provider.await_ready()
        stopping = asyncio.create_task(provider.astop())
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        return provider

    assert is_gone(asyncio.run(use()).pid)


def test_a_stop_in_many_threads_is_one_stop(toy, is_gone):
    with toy() as provider:
        stoppers = [threading.Thread(target=provider.stop) for _ in range(8)]
        for thread in stoppers:
            thread.start()
        for thread in stoppers:
            thread.join(5)
    assert is_gone(provider.pid)


# --- when the program is gone ------------------------------------------------------------------------


@pytest.fixture
def doomed():
    """Starts a program with a provider of the toy server in the given modes; returns it and what it said."""
    programs = []

    def start(*modes):
        program = subprocess.Popen(
            [sys.executable, str(HERE / "doomed_parent.py"), str(HERE / "toy_server.py"), *modes],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        programs.append(program)
        return program, program.stdout.readline()

    yield start
    for program in programs:
        program.kill()
        program.communicate()


@pytest.mark.parametrize("modes", [["grandchild"], ["stubborn"], ["stuck"], ["forks"]])
def test_sigkill_of_the_program_leaves_no_process(doomed, is_gone, eventually, modes):
    program, said = doomed(*modes)
    # With "forks", a fork has called stop() before it said so: that must not have ended its parent's server.
    processes = [int(said.split(";")[0]), *map(int, re.findall(r"grandchild (\d+)", said))]
    assert len(processes) == 1 + modes.count("grandchild")
    assert not any(map(is_gone, processes))
    program.kill()
    assert eventually(lambda: all(map(is_gone, processes)))


@linux
def test_sigkill_of_the_program_reaches_a_process_that_left_the_group(doomed, is_gone, eventually):
    program, said = doomed("runaway")
    runaway = process_id("runaway", said)
    program.kill()
    assert eventually(lambda: is_gone(runaway))


def test_a_program_that_ends_without_stopping_leaves_no_process(doomed, is_gone, eventually):
    program, said = doomed("grandchild", "returns")
    assert program.wait(10) == 0
    assert is_gone(int(said.split(";")[0]))
    assert is_gone(process_id("grandchild", said))


# --- what to serve -----------------------------------------------------------------------------------


def test_the_command_serves_the_target_on_the_inherited_socket(tmp_path):
    provider = ProcessProvider("pkg.server.app:app", serve_args=["--log-level", "debug"])
    assert provider.command(7) == [
        *(sys.executable, "-m", "openenv", "serve", "pkg.server.app:app", "--fd", "7", "--log-level", "debug")
    ]


def test_a_folder_is_given_to_the_server_as_an_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    assert ProcessProvider(tmp_path.name).target == str(tmp_path.resolve())


@pytest.mark.parametrize("target", ["", "a.module", ":app", "module:", "no/such/folder", "no/such:folder"])
def test_a_target_of_neither_form_is_refused_when_the_provider_is_made(target):
    with pytest.raises(ConfigurationError, match="module:app"):
        ProcessProvider(target)


def test_without_any_target_the_error_says_how_to_give_one():
    with pytest.raises(ConfigurationError, match="give it a target"):
        ProcessProvider().start()


def test_the_source_is_used_by_a_provider_without_a_target(tmp_path):
    class Shown(ProcessProvider):
        def launch(self, source):
            self._source = source
            self.shown = self.command(3)
            return ["http://127.0.0.1:1"]

    for python, expected in ((sys.executable, str(tmp_path)), ("another-python", "pkg.server.app:app")):
        provider = Shown(python=python)
        provider.start(Source(package="pkg", app="pkg.server.app:app", folder=str(tmp_path)))
        assert expected in provider.shown


def test_a_working_folder_that_is_not_there_is_named(toy, tmp_path):
    with pytest.raises(ConfigurationError, match="cwd"):
        toy(cwd=tmp_path / "missing").start()
