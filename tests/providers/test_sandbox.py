"""The sandbox provider against real child processes; attempts to get out of it are in tests/escape."""

import os
import re
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.providers.conftest import TOY_SERVER

from openenv import containment
from openenv.containment import bubblewrap, landlock, layers
from openenv.errors import ConfigurationError, IsolationError, ProviderStartError
from openenv.providers import SandboxProvider
from openenv.testing import ProviderContract

HERE = Path(__file__).parent
ABSENT = containment.probe()
pytestmark = [
    pytest.mark.skipif(
        bool(ABSENT["namespaces"] and ABSENT["landlock"]),
        reason=f"no sandbox can be had: {ABSENT['namespaces']}; {ABSENT['landlock']}",
    )
]
namespaces = pytest.mark.skipif(ABSENT["namespaces"] is not None, reason=f"no namespaces: {ABSENT['namespaces']}")
without_namespaces = pytest.mark.skipif(ABSENT["landlock"] is not None, reason=f"no Landlock: {ABSENT['landlock']}")
cgroups = pytest.mark.skipif(ABSENT["cgroup"] is not None, reason=f"no control groups: {ABSENT['cgroup']}")


class ToySandbox(SandboxProvider):
    """Runs the toy server in place of `openenv serve`."""

    def __init__(self, *modes: str, **settings) -> None:
        super().__init__(HERE, **settings)
        self.marker = f"marker-{secrets.token_hex(8)}"
        self._modes = modes

    def command(self, fd: int) -> list[str]:
        return [sys.executable, "-I", "-S", str(TOY_SERVER), str(fd), *self._modes, self.marker]


@pytest.fixture
def sandbox():
    """A maker of sandboxes with the toy server; they are stopped at the end of the test."""
    made = []

    def make(*modes: str, **settings) -> ToySandbox:
        made.append(ToySandbox(*modes, **settings))
        return made[-1]

    yield make
    for provider in made:
        provider.stop_grace_s = 0
        provider.stop()


def processes_of(provider) -> list[str]:
    found = []
    for folder in Path("/proc").iterdir():
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if provider.marker.encode() in (folder / "cmdline").read_bytes() and state not in "ZX":
                found.append(folder.name)
        except (OSError, IndexError):
            continue
    return found


class _Contract(ProviderContract):
    without: frozenset[str] = frozenset()

    @pytest.fixture(autouse=True)
    def _fixtures(self, sandbox):
        self._sandbox = sandbox

    def make_provider(self):
        return self._sandbox("grandchild", without=self.without)

    def make_dying_provider(self):
        return self._sandbox("dies", without=self.without)

    def make_unready_provider(self):
        return self._sandbox("busy", ready_timeout_s=0.2, without=self.without)

    def leftovers(self, provider):
        groups = [path for path in provider._groups if path.exists()]
        return [*processes_of(provider), *groups, *filter(os.path.exists, provider._folders)]


@namespaces
class TestSandboxProvider(_Contract):
    pass


@without_namespaces
class TestSandboxProviderWithoutNamespaces(_Contract):
    without = frozenset({"namespaces"})


# --- layers ------------------------------------------------------------------------------------------


def test_it_says_which_layers_hold_it_and_why_others_do_not(sandbox, caplog):
    provider = sandbox(without={"cgroup"})
    assert provider.layers is None
    with caplog.at_level("INFO", logger="openenv.providers.sandbox"), provider:
        active = provider.layers.active
        assert set(active) == {name for name, why in ABSENT.items() if why is None} - {
            "cgroup",
            *provider.layers.absent,
        }
        assert provider.layers.absent["cgroup"] == "not wanted"
        assert "Memory is limited for each process, not in total" in provider.layers.weaknesses
    assert f"held by {', '.join(active)}" in caplog.text


def test_a_required_layer_that_is_absent_is_named_with_the_reason(sandbox):
    provider = sandbox(require={"cgroup", "rlimits"}, without={"cgroup"})
    with pytest.raises(IsolationError, match="cgroup: not wanted"):
        provider.start()


def test_nothing_is_started_where_nothing_holds_its_files(sandbox):
    provider = sandbox(without={"namespaces", "landlock"})
    with pytest.raises(IsolationError, match="apt-get install bubblewrap"):
        provider.start()
    assert provider.pid is None


def test_nothing_is_started_where_nothing_refuses_connections(sandbox, monkeypatch):
    monkeypatch.setattr(landlock, "abi", lambda: 3)
    with pytest.raises(IsolationError, match="network=True"):
        sandbox(without={"seccomp"}).start()


def test_a_machine_without_bubblewrap_falls_back_and_says_so(sandbox, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    bubblewrap.unavailable.cache_clear()
    layers._probe.cache_clear()
    try:
        with sandbox() as provider:
            assert "namespaces" not in provider.layers.active
            assert provider.layers.absent["namespaces"] == "bubblewrap (bwrap) is not installed"
    finally:
        bubblewrap.unavailable.cache_clear()
        layers._probe.cache_clear()


def test_a_layer_that_fails_at_the_last_moment_is_an_isolation_error(sandbox, monkeypatch):
    from openenv.containment.restrictions import Restrictions

    monkeypatch.setattr(Restrictions, "to_json", lambda self: '{"limits": {"no such limit": 1}}')
    with pytest.raises(IsolationError, match="could not be applied"), sandbox():
        pass


@pytest.mark.parametrize("option", ["require", "without"])
def test_a_layer_that_does_not_exist_is_refused(option):
    with pytest.raises(ConfigurationError, match="there is no layer apparmor"):
        SandboxProvider(HERE, **{option: {"apparmor"}})


# --- what it sees ------------------------------------------------------------------------------------


def said(provider, eventually, name):
    assert eventually(lambda: f"{name}=" in provider.logs())
    return re.search(rf"{name}=(.*)", provider.logs())[1]


def test_a_folder_is_writable_if_it_is_named(sandbox, eventually, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    folder.chmod(0o777)
    other = tmp_path / "other"
    other.mkdir()
    with sandbox(f"writes={folder}/file", f"writes={other}/file", writable=[folder]) as provider:
        assert said(provider, eventually, f"{folder}/file") == "written"
        assert said(provider, eventually, f"{other}/file") != "written"
    assert (folder / "file").exists()
    assert not (other / "file").exists()


def test_a_folder_is_readable_if_it_is_named(sandbox, eventually, tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "named").write_text("hello")
    with sandbox(f"reads={tmp_path}/named") as provider:
        assert said(provider, eventually, f"{tmp_path}/named") != "hello"
    with sandbox(f"reads={tmp_path}/named", read_only=[tmp_path]) as provider:
        assert said(provider, eventually, f"{tmp_path}/named") == "hello"


def test_the_home_is_never_what_is_served(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(ConfigurationError, match="holds your home"):
        SandboxProvider(tmp_path).start()


def test_a_home_on_the_search_path_is_left_out(sandbox, tmp_path, monkeypatch, caplog):
    home = tmp_path / "home"
    (home / "lib").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(home), str(home / "lib"), str(tmp_path)]))
    with sandbox() as provider:
        assert str(home / "lib") in provider.environment()["PYTHONPATH"].split(os.pathsep)
        assert str(home) not in provider.environment()["PYTHONPATH"].split(os.pathsep)
    assert "the sandbox does not see it" in caplog.text


@pytest.mark.parametrize("option", ["read_only", "writable", "devices"])
def test_a_path_that_is_not_there_is_named(option, tmp_path):
    with pytest.raises(ConfigurationError, match=f"{option}: .*missing does not exist"):
        SandboxProvider(HERE, **{option: [tmp_path / "missing"]})


@namespaces
@pytest.mark.skipif(ABSENT["uid"] is not None, reason=f"no user ids: {ABSENT['uid']}")
def test_root_is_told_that_a_sandbox_may_not_write_to_roots_folders(sandbox, tmp_path, monkeypatch):
    monkeypatch.setattr("openenv.containment.identity.closed", lambda *_, **__: None)
    tmp_path.chmod(0o755)
    provider = sandbox(writable=[tmp_path])
    with pytest.raises(ConfigurationError, match="chmod o\\+rwx"):
        provider.start()


def test_the_environment_of_the_program_is_not_inherited_but_for_a_few_variables(sandbox, monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "secret")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    with sandbox(env_vars={"MINE": "given"}, max_concurrent_envs=3) as provider:
        variables = provider.environment()
    assert "SOME_TOKEN" not in variables
    assert variables["LC_ALL"] == "C.UTF-8"
    assert variables["MINE"] == "given"
    assert variables["MAX_CONCURRENT_ENVS"] == "3"
    assert variables["HOME"] == variables["TMPDIR"]


# --- its end -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("without", [(), ("namespaces",)])
def test_the_server_is_asked_to_end_before_it_is_killed(sandbox, without, eventually):
    with sandbox("polite", without=without) as provider:
        assert eventually(lambda: "polite" in provider.logs())
    assert "goodbye" in provider.logs()


@pytest.mark.parametrize("without", [(), ("namespaces",)])
def test_a_server_that_ignores_sigterm_is_killed(sandbox, without):
    with sandbox("stubborn", "runaway", stop_grace_s=0.05, without=without) as provider:
        assert processes_of(provider)
    assert processes_of(provider) == []


@pytest.mark.parametrize("without", [(), ("namespaces",)])
def test_sigkill_of_the_watchdog_takes_the_server_along(sandbox, eventually, without):
    with sandbox(without=without) as provider:
        os.kill(provider._process._watchdog.pid, signal.SIGKILL)
        assert eventually(lambda: not processes_of(provider))
        with pytest.raises(ProviderStartError, match="ended by SIGKILL"):
            provider.wait_for_ready(60)


@pytest.mark.parametrize("without", ["", "namespaces"])
def test_sigkill_of_the_program_leaves_neither_processes_nor_groups_nor_folders(eventually, tmp_path, without):
    """The watchdog removes what the program can no longer remove."""
    program = subprocess.Popen(
        [sys.executable, str(HERE / "doomed_sandbox.py"), without],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        marker, *left = program.stdout.readline().strip().split(";")
        assert all(map(os.path.exists, left))
    finally:
        program.kill()
        program.communicate()
    dead = type("Dead", (), {"marker": marker})
    assert eventually(lambda: not processes_of(dead))
    assert eventually(lambda: not any(map(os.path.exists, left)))


@cgroups
def test_a_group_that_cannot_be_made_is_an_isolation_error(sandbox, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("openenv.providers.sandbox.make", full)
    with pytest.raises(IsolationError, match="No space left on device"):
        sandbox().start()


def test_a_share_of_processors_needs_a_control_group(sandbox):
    with pytest.raises(IsolationError, match="cpus needs a control group"):
        sandbox(cpus=0.5, without={"cgroup"}).start()


# --- the real server ---------------------------------------------------------------------------------


@pytest.mark.parametrize("without", [(), ("namespaces",)])
@pytest.mark.parametrize("target", ["folder", "echo_env", "echo_env.server.app:app"])
def test_an_environment_is_served(target, without):
    target = str(HERE.parents[1] / "envs" / "echo_env") if target == "folder" else target
    with SandboxProvider(target, without=without, ready_timeout_s=60) as provider:
        answer = httpx.post(f"{provider.base_url}/reset", json={}, trust_env=False, verify=False, timeout=30)
    assert answer.status_code == 200


@pytest.mark.parametrize("without", [(), ("namespaces",)])
def test_an_environment_is_served_by_the_interpreter_of_another_virtual_environment(without, tmp_path):
    """The program's own interpreter is not visible in such a sandbox."""
    tmp_path.chmod(0o755)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (site_packages,) = tmp_path.glob("venv/lib/python*/site-packages")
    here = [path for path in sys.path if path.endswith("site-packages") or Path(path, "openenv").is_dir()]
    (site_packages / "libraries.pth").write_text("\n".join(here))
    python = str(tmp_path / "venv" / "bin" / "python")
    with SandboxProvider(
        HERE.parents[1] / "envs" / "echo_env", python=python, without=without, ready_timeout_s=60
    ) as provider:
        answer = httpx.post(f"{provider.base_url}/reset", json={}, trust_env=False, verify=False, timeout=30)
    assert answer.status_code == 200


def test_an_environment_is_served_on_a_unix_socket():
    with SandboxProvider("echo_env", uds=True, ready_timeout_s=60) as provider:
        assert provider.base_url.startswith("unix://")
