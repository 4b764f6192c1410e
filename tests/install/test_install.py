"""What someone gets who installs the wheel and then makes an environment package of their own.

Nothing of the checkout is importable here: all runs use an empty virtual environment and no PYTHONPATH.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("install")]

ROOT = Path(__file__).parents[2]
MOST_PACKAGES = 45
MOST_MEGABYTES = 80
MOST_MODULES = 400


@dataclass
class Installation:
    """A virtual environment that holds the wheel and what it depends on."""

    folder: Path
    site_packages: Path
    brought_along: set[str]
    """What was in site-packages before: pip, and setuptools where venv still adds it."""

    def run(self, *command: str, cwd: Path | None = None) -> str:
        """Run a program of the environment and return what it printed."""
        program, *arguments = command
        ran = subprocess.run(
            [str(self.folder / "bin" / program), *arguments],
            cwd=cwd or self.folder,
            env=clean_environ(),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ran.returncode == 0, f"{command} failed:\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def install(self, *what: str) -> None:
        """Have pip install something, in the versions of constraints.txt."""
        self.run("python", "-m", "pip", "install", "-qq", "-c", str(ROOT / "constraints.txt"), *what)


def clean_environ() -> dict[str, str]:
    """Return this process's environment without what would make the checkout importable."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    wheels, folder = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--wheel-dir", str(wheels), str(ROOT)]
    subprocess.run(pip, check=True, env=clean_environ(), timeout=300)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=300)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    made = Installation(folder, site_packages, {entry.name for entry in site_packages.iterdir()})
    (wheel,) = wheels.glob("openenv-*.whl")
    made.install(str(wheel))
    return made


def test_the_base_install_is_small(installation):
    new = [entry for entry in installation.site_packages.iterdir() if entry.name not in installation.brought_along]
    packages = [entry.name for entry in new if entry.name.endswith(".dist-info")]
    assert len(packages) <= MOST_PACKAGES, sorted(packages)
    files = [file for entry in new for file in ([entry] if entry.is_file() else entry.rglob("*")) if file.is_file()]
    assert sum(file.stat().st_size for file in files) / 1e6 <= MOST_MEGABYTES


def test_the_command_runs(installation):
    assert "serve" in installation.run("openenv", "--help")
    assert installation.run("openenv", "--version") == installation.run("python", "-m", "openenv", "--version")


def test_importing_the_client_is_light_and_reaches_no_web_framework(installation):
    program = "import json, sys; from openenv.client import EnvClient; print(json.dumps(sorted(sys.modules)))"
    modules = json.loads(installation.run("python", "-c", program))
    assert "openenv.client.base" in modules  # the package itself loads nothing before it is asked to
    assert len(modules) <= MOST_MODULES
    packages = {name.partition(".")[0] for name in modules}
    assert not packages & {"fastapi", "starlette", "uvicorn", "gradio", "mcp", "fastmcp", "pandas"}


def test_a_new_environment_installs_serves_and_passes_its_tests_without_an_edit(installation, tmp_path):
    installation.run("openenv", "init", "fresh-env", cwd=tmp_path)
    installation.install("-e", f"{tmp_path / 'fresh_env'}[dev]")
    closing = installation.run("python", "-m", "pytest", cwd=tmp_path / "fresh_env").strip().splitlines()[-1]
    assert "4 passed" in closing
    episode = (
        "from fresh_env import FreshAction, FreshEnv\n"
        "from openenv.providers import ProcessProvider\n"
        "with FreshEnv.with_provider(ProcessProvider()) as env:\n"
        "    result = env.reset(seed=1)\n"
        "    for guess in range(1, 8):\n"
        "        result = env.step(FreshAction(guess=guess))\n"
        "        if result.done: break\n"
        "    print(result.done)\n"
    )
    assert installation.run("python", "-c", episode) == "True\n"
