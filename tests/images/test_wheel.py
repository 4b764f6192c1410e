"""The wheel of the running openenv, and the folder an image is built from."""

import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from openenv import __version__
from openenv.errors import ConfigurationError
from openenv.images.context import describe, fill
from openenv.images.wheel import checkout, write_wheel

ROOT = Path(__file__).parents[2]
ECHO = ROOT / "envs" / "echo_env"


def test_the_same_files_give_the_same_wheel(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = write_wheel(tmp_path / "one"), write_wheel(tmp_path / "two")
    assert one.name == two.name == f"openenv-{__version__}-py3-none-any.whl"
    assert one.read_bytes() == two.read_bytes()


def test_the_wheel_holds_the_package_and_says_what_it_needs(tmp_path):
    with zipfile.ZipFile(write_wheel(tmp_path)) as wheel:
        names = wheel.namelist()
        information = f"openenv-{__version__}.dist-info"
        metadata = message_from_string(wheel.read(f"{information}/METADATA").decode())
        assert b"openenv = openenv.cli.main:main" in wheel.read(f"{information}/entry_points.txt")
        assert wheel.read(f"{information}/RECORD").decode().count("\n") == len(names)
    assert {"openenv/__init__.py", "openenv/py.typed", "openenv_core/__init__.py"} <= set(names)
    assert "openenv/cli/template/Dockerfile.tmpl" in names
    assert not [name for name in names if "__pycache__" in name]
    assert metadata["Version"] == __version__
    required = metadata.get_all("Requires-Dist")
    assert any(line.startswith("fastapi") and "extra" not in line for line in required)
    assert any(line.startswith("hypothesis") and 'extra == "dev"' in line for line in required)


def test_pip_understands_the_wheel(tmp_path):
    wheel = write_wheel(tmp_path)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--no-index", "-qq"]
    subprocess.run([*pip, "--target", str(tmp_path / "site"), str(wheel)], check=True, timeout=120)
    assert (tmp_path / "site" / "openenv" / "__init__.py").is_file()


def test_the_tests_run_from_the_checkout():
    assert checkout() == ROOT


def test_the_context_has_the_folder_the_wheel_and_the_versions(tmp_path):
    fill(tmp_path / "context", describe(ECHO), released=False)
    context = tmp_path / "context"
    assert (context / "Dockerfile").read_text() == (ECHO / "Dockerfile").read_text()
    assert [path.suffix for path in (context / "wheels").iterdir()] == [".whl"]
    assert (context / "constraints.txt").read_text() == (ROOT / "constraints.txt").read_text()
    assert not list(context.rglob("__pycache__"))


def test_a_folder_that_has_its_own_versions_keeps_them(tmp_path):
    folder = tmp_path / "mine_env"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "constraints.txt").write_text("numpy==2.4.6\n")
    fill(tmp_path / "context", describe(folder), released=True)
    assert (tmp_path / "context" / "constraints.txt").read_text() == "numpy==2.4.6\n"
    assert not (tmp_path / "context" / "wheels").exists()


def test_without_a_checkout_the_versions_are_those_installed_here(tmp_path, monkeypatch):
    monkeypatch.setattr("openenv.images.context.checkout", lambda: None)
    folder = tmp_path / "mine_env"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "pyproject.toml").write_text('[project]\ndependencies = ["PyTest>=8", "not-installed-anywhere"]\n')
    fill(tmp_path / "context", describe(folder), released=True)
    lines = (tmp_path / "context" / "constraints.txt").read_text().splitlines()
    assert f"pytest=={pytest.__version__}" in lines
    assert any(line.startswith("pluggy==") for line in lines)
    assert not [line for line in lines if line.startswith(("not-installed", "openenv"))]


def test_an_image_is_called_as_the_providers_look_for_it():
    described = describe(ECHO)
    assert described.tag == "echo-env:latest"
    assert described.labels["openenv.image.version"] == "1.0.0"


def test_the_place_of_older_releases_for_a_dockerfile_is_known(tmp_path):
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "Dockerfile").write_text("FROM scratch\n")
    assert describe(tmp_path).dockerfile == "server/Dockerfile"


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_a_folder_that_has_no_dockerfile_is_told_what_to_do(tmp_path, place):
    with pytest.raises(ConfigurationError, match=r"openenv init|openenv\.yaml"):
        describe(tmp_path / place)
