"""Workspaces in containers: the contract of backends, what of it is the container's, and how both end."""

import asyncio
import json
import os
import subprocess
import sys

import pytest
from tests.engines.reach import Docker
from tests.execution.contract import LIMITS, BackendContract, processes_with, until

from openenv.errors import ConfigurationError, ImageNotFoundError, IsolationError, ProviderError
from openenv.execution import DockerExec

IMAGE = "python:3.11-slim"

KILLED = """
import asyncio, sys
from openenv.execution import DockerExec

async def main():
    workspace = await DockerExec(image={image!r}).open()
    print(workspace.folder, flush=True)
    await workspace.run("sleep 600; : {mark}")

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def image(docker_engine: Docker) -> str:
    """The name of an image that has a Python and nothing of this project."""
    try:
        docker_engine.run("image", "inspect", IMAGE)
    except Exception:
        pytest.skip(f"there is no image {IMAGE}")
    return IMAGE


def containers(engine: Docker) -> set[str]:
    """Return the ids of all containers of ours."""
    return set(engine.run("ps", "-aq", "--no-trunc", "--filter", "label=openenv.provider=docker").split())


@pytest.fixture
def running(docker_engine, image):
    """The id of a container as anybody would start it: root, with Docker's usual capabilities."""
    container = docker_engine.run("run", "-d", "--rm", "--network", "none", image, "sleep", "600").strip()
    yield container
    docker_engine.run("rm", "-f", container)


class TestStarted(BackendContract):
    """In a container that is started for it."""

    @pytest.fixture
    def backend(self, image):
        backend = DockerExec(LIMITS, image=image)
        yield backend
        asyncio.run(backend.close())


class TestFound(BackendContract):
    """In a container that is there, where every workspace is a user of its own."""

    @pytest.fixture
    def backend(self, running):
        backend = DockerExec(LIMITS, container=running)
        yield backend
        asyncio.run(backend.close())

    async def test_workspaces_are_users_of_their_own(self, backend):
        async with await backend.open() as one, await backend.open() as other:
            assert "uid" in one.layers.active
            ids = {(await workspace.run("id -u")).stdout for workspace in (one, other)}
            assert len(ids) == 2
            assert "0\n" not in ids

    async def test_it_is_left_as_it_was(self, backend, docker_engine, running):
        async with await backend.open() as workspace:
            await workspace.run("mkdir -p a/b; chmod 0 a")
        await backend.close()
        assert docker_engine.run("exec", running, "ls", "/tmp") == ""
        assert docker_engine.run("exec", running, "sh", "-c", "ls -d /proc/[0-9]*").split()[:1] == ["/proc/1"]

    async def test_folders_of_it_can_be_written_to(self, docker_engine, running):
        docker_engine.run("exec", running, "sh", "-c", "mkdir /app && chmod 777 /app")
        backend = DockerExec(LIMITS, container=running, write=["/app"])
        async with backend, await backend.open() as workspace:
            assert (await workspace.run("echo 1 > /app/one")).exit_code == 0
            assert (await workspace.run("echo 1 > /var/tmp/one")).exit_code != 0
        assert docker_engine.run("exec", running, "cat", "/app/one").strip() == "1"


async def test_the_container_is_held_in_and_says_whose_it_is(docker_engine, image):
    before = containers(docker_engine)
    async with DockerExec(image=image, memory="300m") as backend:
        assert backend.layers.active == ("namespaces", "landlock", "seccomp", "cgroup", "rlimits")
        assert backend.layers.weaknesses == ()
        (made,) = containers(docker_engine) - before
        found = json.loads(docker_engine.run("inspect", made))[0]
        assert found["HostConfig"]["CapDrop"] == ["ALL"]
        assert found["HostConfig"]["NetworkMode"] == "none"
        assert found["HostConfig"]["Memory"] == 300 * 2**20
        assert found["HostConfig"]["ReadonlyRootfs"]
        assert found["Config"]["User"] == "65534:65534"
        assert found["Config"]["Labels"]["openenv.expires"]
    assert made not in containers(docker_engine)
    await backend.close()


async def test_it_is_gone_when_the_program_is_killed(docker_engine, image):
    mark, before = os.urandom(8).hex(), containers(docker_engine)
    code = KILLED.format(image=image, mark=mark)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE, env=env)
    assert program.stdout is not None
    assert await program.stdout.readline()
    await until(lambda: len(processes_with(mark)) > 1)
    made = containers(docker_engine) - before
    assert made
    program.kill()
    await program.wait()
    await until(lambda: not processes_with(mark))
    await until(lambda: not made & containers(docker_engine), 30)


async def test_packages_of_the_image_can_be_imported(docker_engine, echo_image):
    async with DockerExec(image=echo_image) as backend, await backend.open() as workspace:
        assert (await workspace.python("import pydantic\nprint(pydantic.__name__)")).stdout == "pydantic\n"
        assert (await workspace.run(["python3", "-c", "import pydantic"])).exit_code == 0


async def test_what_cannot_be_is_told(docker_engine, image, running):
    with pytest.raises(ImageNotFoundError):
        await DockerExec(image="no-such-image").open()
    with pytest.raises(ProviderError, match="no-such-container"):
        await DockerExec(container="no-such-container").open()
    with pytest.raises(ConfigurationError, match="no-such-python"):
        await DockerExec(container=running, python="no-such-python").open()
    with pytest.raises(IsolationError, match="landlock"):
        await DockerExec(container=running, require=["landlock"], without=["landlock"]).open()
