"""The uv provider with the real uv, on a project folder and a repository of git."""

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from openenv.errors import ConfigurationError, PortTakenError, ProviderStartError
from openenv.providers import UVProvider
from openenv.providers.uv_tool import Uv, is_git
from openenv.testing import ProviderContract

HERE = Path(__file__).parent
PYPROJECT = """
[project]
name = "doubling-env"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["openenv-core>=0.2", "sortedcontainers"]
"""
APP = """
import sortedcontainers
from openenv.environment import Environment
from openenv.models import Action, Observation, State
from openenv.server import create_app

class Number(Action):
    value: int

class Doubled(Observation):
    value: int = 0

class Doubling(Environment[Number, Doubled, State]):
    def reset(self):
        return Doubled()

    def step(self, action):
        return Doubled(value=2 * action.value)

    @property
    def state(self):
        return State()

app = create_app(Doubling, Number, Doubled)
"""
DYING = 'raise SystemExit("the weights are missing")\n'
UNREADY = "import asyncio\n\nasync def app(scope, receive, send):\n    await asyncio.Event().wait()\n"


def write(folder: Path, **apps: str) -> Path:
    (folder / "server").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    for name in ("__init__", "server/__init__"):
        (folder / f"{name}.py").write_text("")
    for name, text in {"app": APP, **apps}.items():
        (folder / "server" / f"{name}.py").write_text(text)
    return folder


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """One environment for all tests of this process; they need what PyPI has."""
    if shutil.which("uv") is None and not Path(sys.executable).with_name("uv").is_file():
        pytest.skip("uv is not installed")
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def project(tmp_path):
    return write(tmp_path / "doubling_env", dying=DYING, unready=UNREADY)


@pytest.fixture
def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def members(group: int) -> list[int]:
    """Return the processes of a group, where the system tells."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if int(stat.read_text().rpartition(")")[2].split()[2]) == group:
                found.append(int(stat.parent.name))
    return found


def doubled(provider) -> int:
    with httpx.Client(base_url=provider.base_url, trust_env=False, verify=False, timeout=30) as client:
        client.post("/reset", json={}).raise_for_status()
        return client.post("/step", json={"action": {"value": 21}}).json()["observation"]["value"]


@pytest.mark.slow
@pytest.mark.xdist_group("uv")
class TestUVProvider(ProviderContract):
    @pytest.fixture(autouse=True)
    def _fixtures(self, project, cache, is_gone):
        self._project, self._cache, self._is_gone = project, cache, is_gone

    def _made(self, **settings):
        settings.setdefault("context_timeout_s", 120)
        return UVProvider(self._project, cache=self._cache, **settings)

    def make_provider(self):
        return self._made()

    def make_dying_provider(self):
        return self._made(app="server.dying:app")

    def make_unready_provider(self):
        return self._made(app="server.unready:app", context_timeout_s=0.2, stop_grace_s=0.5)

    def leftovers(self, provider):
        return [provider.pid] if provider.pid and not self._is_gone(provider.pid) else []

    def test_a_project_is_served_with_what_it_depends_on_and_left_as_it_is(self):
        before = files(self._project)
        with self._made() as provider:
            assert doubled(provider) == 42
            assert Path(provider.python).is_relative_to(self._cache)
        assert files(self._project) == before

    def test_the_old_spelling_takes_a_port_and_variables(self, unused_port):
        provider = self._made(env_vars={"A": "1"})
        try:
            url = provider.start(port=unused_port, env_vars={"B": "2"})
            provider.wait_for_ready(120)
            assert url == f"http://127.0.0.1:{unused_port}"
            variables = provider.environment()
        finally:
            provider.stop()
        assert (variables["A"], variables["B"]) == ("1", "2")

    def test_an_edit_of_the_code_needs_no_new_environment(self):
        with self._made() as provider:
            first = provider.python
        (self._project / "server" / "app.py").write_text(APP.replace("2 * action", "4 * action"))
        with self._made() as provider:
            assert doubled(provider) == 84
            assert provider.python == first

    def test_a_repository_is_fetched_at_a_tag_and_at_its_newest(self, tmp_path):
        url = repository(tmp_path, self._project)
        with UVProvider(f"git+{url}@v1", cache=self._cache, context_timeout_s=120) as provider:
            assert doubled(provider) == 42
        with UVProvider(f"{url}#subdirectory=inner", cache=self._cache, context_timeout_s=120) as provider:
            assert doubled(provider) == 84

    def test_what_cannot_be_installed_is_told_in_uvs_words_and_nothing_is_kept(self):
        description = self._project / "pyproject.toml"
        description.write_text(PYPROJECT.replace('"sortedcontainers"', '"nothing @ file:///no/such/folder"'))
        made = self._cache / "uv"
        before = {path.name for path in made.iterdir() if path.is_dir()} if made.exists() else set()
        with pytest.raises(ProviderStartError, match="Could not install"):
            self._made().start()
        assert {path.name for path in made.iterdir() if path.is_dir()} == before

    def test_sigkill_of_the_program_leaves_no_process(self, eventually):
        """Neither the server nor its workers."""
        program = subprocess.Popen(
            [sys.executable, str(HERE / "doomed_uv.py"), self._project, self._cache],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            group = int(program.stdout.readline())
            processes = {group, *members(group)}
            assert not any(map(self._is_gone, processes))
        finally:
            program.kill()
            program.communicate()
        assert eventually(lambda: all(map(self._is_gone, processes)))

    def test_a_port_that_is_taken_is_told(self):
        with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(PortTakenError):
            self._made(port=other.getsockname()[1]).start()


def repository(folder: Path, project: Path) -> str:
    """Make a repository whose tag v1 is the project, and whose newest commit has another one in a folder."""
    place = folder / "repository.git"
    shutil.copytree(project, place)
    inner = write(place / "inner")
    (inner / "server" / "app.py").write_text(APP.replace("2 * action", "4 * action"))
    author = ["-c", "user.name=n", "-c", "user.email=n@example.com"]
    for command in (
        ["init", "--quiet"],
        ["add", "pyproject.toml", "server", "__init__.py"],
        [*author, "commit", "--quiet", "-m", "one"],
        [*author, "tag", "-a", "v1", "-m", "one"],
        ["add", "."],
        [*author, "commit", "--quiet", "-m", "two"],
    ):
        subprocess.run(["git", *command], cwd=place, check=True)
    return place.as_uri()


# --- without installing anything -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://host/owner/env.git", True),
        ("https://host/owner/env.git@v1#subdirectory=a/b", True),
        ("git+https://host/owner/env", True),
        ("git@host:owner/env", True),
        ("file:///srv/env", True),
        ("envs/echo_env", False),
        ("my.git/env", False),
    ],
)
def test_a_git_url_is_told_from_a_folder(text, expected):
    assert is_git(text) is expected


def test_a_folder_without_a_project_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"no pyproject\.toml"):
        UVProvider(tmp_path)


def test_a_missing_uv_names_the_extra(project, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"openenv\[uv\]"):
        UVProvider(project, cache=tmp_path / "cache").start()


def test_a_repository_that_is_not_there_is_told(cache, tmp_path):
    with pytest.raises(ProviderStartError, match="Could not ask"):
        UVProvider((tmp_path / "none.git").as_uri(), cache=tmp_path).start()


def test_an_installation_that_takes_too_long_names_the_budget(cache, project, tmp_path):
    with pytest.raises(ProviderStartError, match=r"create budget of 0\.001 s.*create_timeout_s"):
        UVProvider(project, cache=tmp_path / "cache", create_timeout_s=0.001).start()


def test_a_second_program_waits_for_the_first(cache, tmp_path):
    tool = Uv(tmp_path, 0.2, {})
    folder = tmp_path / "uv" / "key"
    folder.parent.mkdir()
    with open(folder.with_name("key.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ProviderStartError, match="another program"), tool._made_once(folder):
            pass
    with tool._made_once(folder) as missing:
        assert missing
    with tool._made_once(folder) as missing:
        assert not missing


def test_reload_watches_one_server(project, tmp_path):
    with pytest.raises(ConfigurationError, match="reload"):
        UVProvider(project, cache=tmp_path, reload=True).start(workers=2)


def git(folder: Path, *arguments: str) -> None:
    author = ["-c", "user.name=n", "-c", "user.email=n@example.com"]
    subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def refs(cache, tmp_path):
    """Gives what is fetched from a repository, and from a clone of it with a commit of its own, by `@REF`.

    The repository has branches main, release/main and both, and tags annotated, light and both.
    """
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    origin.mkdir()
    git(origin, "init", "--quiet", "--initial-branch", "main")

    def commit(folder, what):
        (folder / "pyproject.toml").write_text(what)
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", what)

    for what in ("old", "annotated", "light", "both"):
        commit(origin, what)
        git(origin, "tag", *(["-m", what, "-a"] if what == "annotated" else []), what)
    git(origin, "update-ref", "refs/odd/refs/heads/main", "old")
    commit(origin, "main")
    git(origin, "branch", "both")
    git(origin, "checkout", "--quiet", "-b", "release/main")
    commit(origin, "release")
    git(origin, "checkout", "--quiet", "main")
    git(tmp_path, "clone", "--quiet", str(origin), str(clone))
    commit(clone, "local")

    def fetched(ref="", folder=origin):
        return (Uv(tmp_path / "cache", 60, {}).fetched(folder.as_uri() + ref) / "pyproject.toml").read_text()

    fetched.origin, fetched.clone = origin, clone
    return fetched


@pytest.mark.parametrize(
    ("ref", "expected"),
    [("", "main"), ("@main", "main"), ("@annotated", "annotated"), ("@light", "light"), ("@both", "both")],
)
def test_a_ref_is_what_has_its_whole_name_a_tag_before_a_branch(refs, ref, expected):
    assert refs(ref) == expected


def test_without_a_ref_it_is_the_head_of_the_repository_and_not_of_what_that_was_cloned_from(refs):
    assert refs(folder=refs.clone) == "local"
    assert refs("@main", folder=refs.clone) == "local"


@pytest.mark.parametrize("length", [8, 40])
def test_a_ref_may_be_a_commit(refs, length):
    commit = subprocess.check_output(["git", "rev-parse", "light"], cwd=refs.origin, text=True)
    assert refs(f"@{commit[:length]}") == "light"


@pytest.mark.parametrize("ref", ["none", "origin", "--upload-pack=false", "ma*"])
def test_a_ref_that_is_not_there_is_told(refs, ref):
    with pytest.raises(ProviderStartError, match=r"Could not find .* no tag, branch or commit"):
        refs(f"@{ref}")


class Shell(UVProvider):
    """Runs a shell script in place of a server that uv would install."""

    script = "echo my token is $API_TOKEN; exit 3"
    prepares = True

    def _prepare(self):
        if not self.prepares:
            raise ProviderStartError("no uv today")

    def command(self, fd):
        return ["/bin/sh", "-c", self.script]


def test_secrets_given_for_one_start_are_hidden_and_gone_with_it(project):
    provider = Shell(project, env_vars={"A": "1"})
    provider.start(env_vars={"API_TOKEN": "sesame-opens-42"})
    with pytest.raises(ProviderStartError, match=r"my token is \*\*\*") as caught:
        provider.wait_for_ready(30)
    assert "sesame" not in str(caught.value) + provider.logs()
    provider.stop()
    assert "sesame" not in provider.logs()
    provider.prepares = False
    with pytest.raises(ProviderStartError, match="today"):
        provider.start()
    assert "sesame" not in provider.logs()
    provider.prepares = True
    provider.start()
    assert provider.environment()["A"] == "1"
    assert "API_TOKEN" not in provider.environment()
    provider.stop()


def test_what_leads_to_our_own_packages_is_not_inherited(project, monkeypatch):
    monkeypatch.setitem(os.environ, "PYTHONPATH", "/somewhere")
    assert "PYTHONPATH" not in UVProvider(project).environment()
