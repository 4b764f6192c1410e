"""Images for the engine tests: an environment's folder and a wheel of this checkout, built with Docker."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.engines.reach import Docker

ROOT = Path(__file__).parents[2]
BUILD_S = 600.0


def build_image(engine: Docker, folder: Path, tag: str) -> str:
    """Build the image of an environment's folder and return its tag; quick if nothing has changed."""
    with tempfile.TemporaryDirectory() as temporary:
        context = Path(temporary) / "context"
        shutil.copytree(folder, context, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
        wheel = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "-w", str(context / "wheels"), str(ROOT)]
        subprocess.run(wheel, check=True, timeout=BUILD_S)
        built = subprocess.run(
            ["/usr/bin/docker", "-H", engine.url, "build", "-q", "-t", tag, str(context)],
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
            capture_output=True,
            text=True,
            timeout=BUILD_S,
        )
        assert built.returncode == 0, built.stderr
    return tag
