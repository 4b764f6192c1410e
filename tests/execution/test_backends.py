"""The backends that this machine has, each by the same tests; and which of them is taken."""

import asyncio
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.execution.contract import LIMITS, BackendContract, processes_with, until

from openenv.containment import probe
from openenv.errors import ConfigurationError, IsolationError
from openenv.execution import Backend, Bubblewrap, DockerExec, WarmFork, backend

linux = pytest.mark.skipif(sys.platform != "linux", reason="workspaces are of Linux")
MISSING = {name: why for name, why in probe().items() if why and name in ("landlock", "namespaces")}
both = pytest.mark.skipif(bool(MISSING), reason=f"not to be had here: {MISSING}")


def groups_of(mark: str) -> set[str]:
    """Return the names of the control groups of workspaces that processes with a mark are in."""
    found = set()
    for pid in processes_with(mark):
        found |= set(re.findall(r"openenv-work-[0-9a-f]+", Path(f"/proc/{pid}/cgroup").read_text()))
    return found


async def texts_are_hashed_with_one_seed(backend: Backend) -> None:
    code = "print(hash('up'))"
    expected = subprocess.check_output([sys.executable, "-c", code], env={"PYTHONHASHSEED": "0"}, text=True)
    async with await backend.open() as workspace:
        assert (await workspace.python(code)).stdout == expected


def there(groups: set[str]) -> bool:
    """Return whether one of these control groups is there."""
    return any(groups & set(folders) for _, folders, _ in os.walk("/sys/fs/cgroup"))


@pytest.mark.skipif(probe()["landlock"] is not None, reason=f"Landlock: {probe()['landlock']}")
class TestWarmFork(BackendContract):
    @pytest.fixture
    def backend(self):
        return WarmFork(LIMITS)

    async def test_the_same_code_goes_through_its_sets_in_the_same_order_everywhere(self, backend):
        await texts_are_hashed_with_one_seed(backend)

    async def test_close_leaves_no_folder(self, backend):
        async with await backend.open() as workspace:
            await workspace.run("mkdir -p a/b; chmod 0 a; ln -s / root")
            assert Path(workspace.folder).exists()
        assert not Path(workspace.folder).parent.exists()


@pytest.mark.skipif(probe()["namespaces"] is not None, reason=f"Namespaces: {probe()['namespaces']}")
class TestBubblewrap(BackendContract):
    @pytest.fixture
    def backend(self):
        return Bubblewrap(LIMITS)

    async def test_the_same_code_goes_through_its_sets_in_the_same_order_everywhere(self, backend):
        await texts_are_hashed_with_one_seed(backend)

    async def test_its_folder_is_nowhere_outside(self, backend):
        async with await backend.open() as workspace:
            assert not Path(workspace.folder).exists()
            (entry,) = (await workspace.run("df -k --output=size .")).stdout.split()[1:]
            assert int(entry) * 1024 == LIMITS.disk_bytes

    async def test_a_control_group_ends_with_its_workspace(self, backend):
        mark = os.urandom(8).hex()
        async with await backend.open() as workspace:
            await workspace.shell(f"sh -c 'sleep 600; : {mark}' &")
            await until(lambda: processes_with(mark))
            made = groups_of(mark)
            assert there(made) == ("cgroup" in workspace.layers.active)
        assert not there(made)

    async def test_its_keeper_cannot_be_killed_from_within(self, backend):
        async with await backend.open() as workspace:
            await workspace.python("import os, signal\nx = 1")
            found = await workspace.python("os.kill(1, signal.SIGKILL)")
            assert found.error is None or found.error.type == "PermissionError"
            assert (await workspace.python("print(x)")).stdout == "1\n"

    async def test_packages_are_hidden_unless_they_are_named(self):
        look = "try:\n    import numpy\n    print('numpy')\nexcept ImportError:\n    print('none')"
        pytest.importorskip("numpy")
        async with await Bubblewrap(LIMITS).open() as workspace:
            assert (await workspace.python(look)).stdout == "none\n"
        async with await Bubblewrap(LIMITS, packages=["numpy"]).open() as workspace:
            assert (await workspace.python(look)).stdout == "numpy\n"
            assert not (await workspace.python("import pytest")).ok

    @pytest.mark.parametrize("missing", ["landlock", "cgroup", "uid", "seccomp"])
    async def test_it_does_without_a_layer(self, missing):
        held = Bubblewrap(LIMITS, without={missing})
        assert missing not in held.layers.active
        async with await held.open() as workspace:
            assert (await workspace.python("print(1)")).stdout == "1\n"
            assert (await workspace.run("ls | cat")).exit_code == 0
            found = await workspace.python("import os\nopen(f'/proc/{os.getppid()}/mem', 'rb')")
            assert found.error is not None
            assert found.error.type == "PermissionError"
            await workspace.run("touch /tmp/left")
            await workspace.reset()
            assert not (await workspace.run("ls /tmp/left")).ok


KILLED = """
import asyncio, sys
from openenv.execution import {kind}

async def main():
    workspace = await {kind}().open()
    print(workspace.folder, flush=True)
    await workspace.run("sleep 600; : {mark}")

asyncio.run(main())
"""


@linux
@pytest.mark.parametrize(("kind", "layer"), [("WarmFork", "landlock"), ("Bubblewrap", "namespaces")])
async def test_all_ends_when_the_program_is_killed(kind, layer):
    if probe()[layer] is not None:
        pytest.skip(f"{layer}: {probe()[layer]}")
    mark = os.urandom(8).hex()
    code = KILLED.format(kind=kind, mark=mark)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE, env=env)
    assert program.stdout is not None
    folder = (await program.stdout.readline()).decode().strip()
    await until(lambda: len(processes_with(mark)) > 1)
    made = groups_of(mark)
    program.kill()
    await program.wait()
    await until(lambda: not processes_with(mark))
    await until(lambda: not Path(folder).exists())
    await until(lambda: not there(made))


@both
def test_the_quickest_is_taken_where_programs_can_spoil_nothing_of_the_server_s_user(monkeypatch):
    monkeypatch.setenv("OPENENV_OWN_USER", "1")
    assert type(backend(LIMITS, without={"uid"})) is WarmFork
    assert type(backend(LIMITS, without={"uid", "landlock"})) is Bubblewrap
    monkeypatch.delenv("OPENENV_OWN_USER")
    assert type(backend(LIMITS, without={"uid"})) is Bubblewrap
    assert type(backend(LIMITS, without={"uid", "namespaces"})) is WarmFork


@both
async def test_what_was_left_behind_and_takes_all_processes_is_ended_when_one_is_needed():
    async with await Bubblewrap(replace(LIMITS, processes=16)).open() as workspace:  # its keeper is counted, too
        await workspace.python("import subprocess\nwhile True: subprocess.Popen(['sleep', '1005'])")
        ran = await workspace.run("echo fine")
        after = await workspace.python("'subprocess' in globals()")
        again = await workspace.python("1")
    assert ran.stdout == "fine\n"
    assert (after.value, after.context_lost) == ("False", True)
    assert not again.context_lost


@linux
def test_nothing_is_run_where_nothing_holds_it():
    with pytest.raises(IsolationError, match="apt-get install bubblewrap") as told:
        backend(LIMITS, without={"landlock", "namespaces"})
    assert "WarmFork: " in str(told.value)
    assert "Bubblewrap: " in str(told.value)


def test_docker_wants_a_container_or_an_image():
    with pytest.raises(ConfigurationError, match="a container that runs or an image"):
        DockerExec()
    with pytest.raises(ConfigurationError, match="a container that runs or an image"):
        DockerExec(container="a", image="b")
    with pytest.raises(ConfigurationError, match="memory"):
        DockerExec(container="a", memory="1g")
