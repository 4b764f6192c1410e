"""The sandbox within a container that has nothing: no capabilities, no root, no namespaces to be had."""

import os
import site
import subprocess
import sys
from pathlib import Path

import pytest
from tests.engines.reach import Docker

ROOT = Path(__file__).parents[2]
IMAGE = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
BOUND_S = 900


def docker(engine: Docker, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *arguments],
        env={**os.environ, "DOCKER_HOST": engine.url},
        capture_output=True,
        text=True,
        timeout=BOUND_S,
    )


def test_nothing_gets_out_of_the_sandbox_in_a_container(docker_engine: Docker) -> None:
    """Landlock and seccomp alone, as nobody; the libraries are those of this interpreter."""
    if docker(docker_engine, "image", "inspect", IMAGE).returncode:
        pytest.skip(f"there is no image {IMAGE}, whose Python could use the libraries of this one")
    libraries = site.getsitepackages()[0]
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "envs"), str(ROOT), libraries])
    ran = docker(
        docker_engine,
        *("run", "--rm", "--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *(
            "--user",
            "65534:65534",
            "--tmpfs",
            "/tmp:mode=1777",
            "--env",
            "HOME=/tmp",
            "--env",
            f"PYTHONPATH={path}",
        ),
        *("--volume", f"{ROOT}:{ROOT}:ro", "--volume", f"{libraries}:{libraries}:ro", "--workdir", str(ROOT)),
        *(IMAGE, "python", "-m", "tests.escape", "sandbox-fallback"),
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    assert "held by landlock, seccomp" in ran.stderr
    assert "0 escapes" in ran.stdout
