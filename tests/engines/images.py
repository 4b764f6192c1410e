"""Images for the engine tests, built as `openenv build` does, and a registry to push them to."""

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.engines.reach import Docker
from tests.escape.suite import PROBE_ENV
from tests.execution.nested import NESTED_ENV
from tests.servers import wait_until

from openenv import images

UP_S = 30.0
BUILD_S = 300.0

PROBES = """\
FROM {base}
COPY probe_env /srv/probe_env
CMD ["openenv", "serve", "/srv/probe_env", "--host", "0.0.0.0", "--port", "8000"]
"""

NESTED = """\
FROM {base}
COPY nested_env /srv/nested_env
CMD ["openenv", "serve", "/srv/nested_env", "--host", "0.0.0.0", "--port", "8000"]
"""

REGISTRY = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def build_image(engine: Docker, folder: Path, tag: str, **options: object) -> str:
    """Build the image of an environment's folder and return its tag; quick if nothing has changed."""
    return images.build_image(folder, tag=tag, engine=images.find_engine("docker", url=engine.url), **options).tag


def build_probes(engine: Docker, base: str, tag: str, context: Path) -> str:
    """Build an image of the environment whose actions are attempts to get out, and return its tag.

    Args:
        engine: Builds it.
        base: An image of any environment.
        tag: What it shall be called.
        context: An empty folder.
    """
    return _derived(engine, PROBES.format(base=base), PROBE_ENV, tag, context)


def build_nested(engine: Docker, base: str, tag: str, context: Path) -> str:
    """Build an image of the environment that opens workspaces, likewise."""
    return _derived(engine, NESTED.format(base=base), NESTED_ENV, tag, context)


def _derived(engine: Docker, dockerfile: str, env: Path, tag: str, context: Path) -> str:
    shutil.copytree(env, context / env.name, ignore=shutil.ignore_patterns("__pycache__"))
    (context / "Dockerfile").write_text(dockerfile)
    command = ["docker", "-H", engine.url, "build", "-q", "-t", tag, str(context)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S)
    assert built.returncode == 0, built.stderr
    return tag


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[str]:
    """A registry of its own on a loopback port, such as `127.0.0.1:41733`; what it is given is kept in a folder."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed; apt-get install docker-registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = folder / "config.yml"
    config.write_text(REGISTRY.format(folder=folder / "data", port=port))
    log = folder / "log"
    with log.open("w") as output:
        running = subprocess.Popen([program, "serve", str(config)], stdout=output, stderr=output)
        try:
            assert wait_until(lambda: _answers(port), UP_S), log.read_text()[-2000:]
            yield f"127.0.0.1:{port}"
        finally:
            running.terminate()
            running.wait(UP_S)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v2/", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
