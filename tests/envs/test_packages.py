"""Every environment of the project is a package like those that `openenv init` makes."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from openenv.cli.init import render
from openenv.client import EnvClient
from openenv.models import Action, Observation

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for path in (ROOT / "envs").glob("*/openenv.yaml"))

every_environment = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def test_no_environment_is_without_a_manifest():
    packages = {path.parent for path in (ROOT / "envs").glob("*/__init__.py")}
    assert packages == set(FOLDERS)


@every_environment
def test_it_has_the_files_of_a_new_environment(folder):
    made = {str(place).replace(folder.name, "*") for place in render(folder.name)}
    assert [place for place in made if not list(folder.glob(place))] == []


DEBIAN_PACKAGES = re.compile(r"^RUN apt-get update (?:.*\\\n)*.*\n", re.MULTILINE)
"""The one thing that it may have besides: programs that it cannot do without."""


@every_environment
def test_its_container_is_made_like_that_of_a_new_environment(folder):
    made = render(folder.name)
    for name in ("Dockerfile", ".dockerignore"):
        text = (folder / name).read_text(encoding="utf-8")
        assert DEBIAN_PACKAGES.sub("", text) == made[Path(name)]


@every_environment
def test_its_project_file_and_its_manifest_agree(folder):
    made = tomllib.loads(render(folder.name)[Path("pyproject.toml")])
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    manifest = yaml.safe_load((folder / "openenv.yaml").read_text(encoding="utf-8"))
    assert project["project"]["name"] == made["project"]["name"]
    built, usual = project["tool"]["setuptools"], made["tool"]["setuptools"]
    assert set(built) == set(usual)
    assert built["package-dir"] == usual["package-dir"]
    assert set(built["packages"]) >= set(usual["packages"])  # it may have more folders, and more files in them
    assert set(built["package-data"][folder.name]) >= set(usual["package-data"][folder.name])
    assert "openenv>=1.0" in project["project"]["dependencies"]
    assert manifest["name"] == folder.name
    for key in ("version", "description"):
        assert manifest[key] == project["project"][key]


@every_environment
def test_its_package_exports_a_client_and_what_the_manifest_names(folder):
    package = importlib.import_module(folder.name)
    manifest = yaml.safe_load((folder / "openenv.yaml").read_text(encoding="utf-8"))
    exported = [getattr(package, name) for name in package.__all__]
    assert any(issubclass(each, EnvClient) for each in exported)
    assert issubclass(getattr(package, manifest["action"]), Action)
    assert issubclass(getattr(package, manifest["observation"]), Observation)


@every_environment
def test_its_readme_tells_what_a_trainer_has_to_know(folder):
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for row in ("| action |", "| observation |", "| reward |", "| ends |", "| seed |"):
        assert row in readme
    assert "openenv serve" in readme


@every_environment
def test_its_tests_inherit_the_contract(folder):
    bases = [
        ast.unparse(base)
        for file in (folder / "tests").glob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
    ]
    assert "EnvironmentContract" in bases


# --- installed ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the environments, for building leaves files beside them."""
    root = tmp_path_factory.mktemp("checkout")
    built = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    shutil.copytree(ROOT / "envs", root / "envs", ignore=built)
    return root


def run(*command: str | Path, **variables: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    ran = subprocess.run(
        [str(part) for part in command],
        env={**clean, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, f"{command} failed:\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@pytest.mark.slow
@pytest.mark.xdist_group("install")
def test_installed_in_editable_mode_they_are_imported_from_the_checkout_by_both_names(checkout, tmp_path):
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    folders = [argument for folder in FOLDERS for argument in ("-e", checkout / "envs" / folder.name)]
    run(python, "-m", "pip", "install", "-qq", "--no-deps", *folders)
    # After the environment's own packages, since ours may hold the finder of another checkout by the same name.
    own = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    libraries = [place for place in sys.path if place.endswith("site-packages")]
    Path(own, "zz_libraries.pth").write_text("\n".join(libraries) + "\n")
    for folder in FOLDERS:
        name = folder.name
        program = (
            f"import {name}, {name}.server.app, envs.{name}.server.app\n"
            f"assert envs.{name} is {name} and envs.{name}.server.app is {name}.server.app\n"
            f"print({name}.__file__)"
        )
        path = os.pathsep.join([str(ROOT / "src"), str(checkout)])
        place = run(python, "-W", "error", "-c", program, PYTHONPATH=path)
        assert Path(place.strip()) == checkout / "envs" / name / "__init__.py"


@pytest.mark.slow
@pytest.mark.xdist_group("install")
@every_environment
def test_its_wheel_holds_all_that_a_server_needs(folder, checkout, tmp_path):
    run(sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "-w", tmp_path, checkout / "envs" / folder.name)
    (wheel,) = tmp_path.glob("*.whl")
    held = {Path(name) for name in zipfile.ZipFile(wheel).namelist()}
    files = [path.relative_to(folder.parent) for path in (folder / "server").glob("*.py")]
    files += [Path(folder.name) / name for name in ("__init__.py", "client.py", "models.py", "openenv.yaml")]
    assert set(files) <= held
    assert not any(path.parts[1] == "tests" for path in held)  # those of tasks are another thing
