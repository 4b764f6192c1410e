"""What the tests of Docker share: a small image whose server is quick to start, and looks into the engine."""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.engines.reach import Docker

from openenv.providers import LocalDockerProvider, Provider

HERE = Path(__file__).parent
TAG = "openenv-tests/toy:latest"
BUILD_S = 300.0

# A server of the standard library: /health as a server of ours answers it, and a few requests that show the inside.
SERVER = HERE / "toy_server.py"
DOCKERFILE = """\
FROM python:3.11-slim
COPY toy_server.py /srv/toy_server.py
RUN mkdir -p /opt/bin && ln -s /usr/bin/timeout /opt/bin/timeout
LABEL com.example.kept="yes"
ENV GREETING="two words and a \\$sign"
EXPOSE 8000
CMD ["python3", "-I", "-S", "/srv/toy_server.py", "8000"]
"""


def build_toy(engine: Docker) -> str:
    """Build the image and return its tag; quick if nothing has changed."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Dockerfile").write_text(DOCKERFILE)
        (Path(folder) / SERVER.name).write_bytes(SERVER.read_bytes())
        command = ["docker", "-H", engine.url, "build", "-q", "-t", TAG, folder]
        built = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S)
        assert built.returncode == 0, built.stderr
    return TAG


def containers(engine: Docker, provider: Provider) -> list[str]:
    """Return the ids of the containers that the last start of a provider has in the engine."""
    label = f"label=openenv.name={provider.ownership.name}"
    return engine.run("ps", "-aq", "--no-trunc", "--filter", label).split()


def inspected(engine: Docker, provider: LocalDockerProvider) -> dict:
    """Return what the engine tells of the only container of a provider."""
    (container,) = containers(engine, provider)
    return json.loads(engine.run("inspect", container))[0]


def inside(engine: Docker, provider: LocalDockerProvider, program: str, arguments: Sequence[str] = ()) -> str:
    """Run a Python program in the only container of a provider and return what it prints, stripped."""
    (container,) = containers(engine, provider)
    return engine.run("exec", *arguments, container, "python3", "-I", "-S", "-c", program)
