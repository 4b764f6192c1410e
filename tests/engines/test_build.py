"""`openenv build` with a real Docker: what it makes of each environment, and what it says when that fails."""

import importlib
import json
import shutil
import uuid
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from tests.engines.images import build_image, registry
from tests.servers import wait_until

from openenv import images
from openenv.cli.build import build
from openenv.cli.init import init
from openenv.client import EnvClient
from openenv.errors import ConfigurationError, ImageBuildError
from openenv.providers import LocalDockerProvider, ProcessProvider, Provider

ROOT = Path(__file__).parents[2]
PLAYED = sorted(path.parent.name for path in (ROOT / "envs").glob("*/policies.py"))
ENVIRONMENTS = sorted(path.parent for path in (ROOT / "envs").glob("*/openenv.yaml"))
READY_S = 60.0
MOST_MEGABYTES = 75  # on top of the base image, where an environment needs no more than openenv
MORE_MEGABYTES = {  # git and its Perl; ipykernel; numpy, pandas, emulators and engines; Chromium
    "git_env": 100,
    "jupyter_env": 60,
    "atari_env": 90,
    "chess_env": 60,
    "finrl_env": 170,
    "gymnasium_env": 90,
    "openspiel_env": 280,
    "textarena_env": 200,
    "browsergym_env": 1200,
}


@pytest.fixture(scope="session")
def built(docker_engine, tmp_path_factory):
    """A giver of images, each built once: of a folder in `envs`, or of one that `openenv init` makes now."""
    made: dict[str, str] = {}

    def give(name: str) -> str:
        if name not in made:
            folder = ROOT / "envs" / name
            if not folder.is_dir():
                parent = tmp_path_factory.mktemp("made")
                assert CliRunner().invoke(init, [name, "-o", str(parent)]).exit_code == 0
                folder = parent / name
            made[name] = build_image(docker_engine, folder, f"openenv-tests/{name.replace('_', '-')}:latest")
        return made[name]

    return give


every_environment = pytest.mark.parametrize("name", [*(folder.name for folder in ENVIRONMENTS), "brand_new_env"])


@pytest.fixture
def container(docker_engine):
    """A starter of containers, which are removed with the test."""
    names = []

    def start(image: str, *options: str) -> str:
        names.append(f"openenv-tests-{uuid.uuid4().hex[:12]}")
        docker_engine.run("run", "--detach", "--name", names[-1], *options, image)
        return names[-1]

    yield start
    for name in names:
        docker_engine.run("rm", "--force", name)


@every_environment
def test_the_image_of_every_environment_serves_and_says_that_it_is_healthy(built, container, docker_engine, name):
    started = container(built(name), "--publish", "127.0.0.1::8000", "--health-interval", "0.5s")
    address = docker_engine.run("port", started, "8000/tcp")
    assert wait_until(lambda: healthy(f"http://{address}"), READY_S), docker_engine.run("logs", started)
    state = ["inspect", "--format", "{{.State.Health.Status}}", started]
    assert wait_until(lambda: docker_engine.run(*state) == "healthy", READY_S)
    assert httpx.get(f"http://{address}/metadata", trust_env=False).json()["name"] == name


@every_environment
def test_the_image_is_small_and_holds_no_compiler_and_no_root(built, docker_engine, name):
    def size(image: str) -> int:
        return int(docker_engine.run("image", "inspect", "--format", "{{.Size}}", image))

    assert (size(built(name)) - size("python:3.11-slim")) / 1e6 <= MOST_MEGABYTES + MORE_MEGABYTES.get(name, 0)
    look = "id -u; command -v gcc cc make uv || true; ls /venv/bin | grep -c '^pip' || true"
    shown = docker_engine.run("run", "--rm", "--network", "none", built(name), "sh", "-c", look).splitlines()
    assert shown == ["1000", "0"]


@pytest.mark.parametrize("name", PLAYED)
def test_the_policies_of_an_environment_score_in_a_container_what_they_score_anywhere(built, docker_engine, name):
    package, policies = importlib.import_module(name), importlib.import_module(f"{name}.policies")
    [client] = [one for one in vars(package).values() if isinstance(one, type) and issubclass(one, EnvClient)]
    episode = getattr(policies, "EXAMPLE", {})

    def scores(provider: Provider) -> tuple[float, float]:
        with client.with_provider(provider) as env:
            return policies.oracle(env, **episode), policies.null(env, **episode)

    anywhere = (
        scores(ProcessProvider(ROOT / "envs" / name)) if episode else (policies.MAX_RETURN, policies.MIN_RETURN)
    )
    provider = LocalDockerProvider(built(name), base_url=docker_engine.url, ready_timeout_s=READY_S)
    assert scores(provider) == pytest.approx(anywhere)


def test_the_image_says_what_it_is(built, docker_engine):
    labels = json.loads(
        docker_engine.run("image", "inspect", "--format", "{{json .Config.Labels}}", built("echo_env"))
    )
    assert labels["openenv.image.name"] == labels["org.opencontainers.image.title"] == "echo_env"
    assert labels["openenv.image.version"] == "1.0.0"
    assert labels["openenv.image.protocol"] == "1 2"
    assert not {"openenv.name", "openenv.provider", "openenv.owner"} & set(labels)


def test_the_versions_in_it_are_those_of_the_constraints(built, docker_engine):
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, equals, version = line.partition("==")
        if equals:
            pinned[name.lower()] = version
    program = (
        "import json; from importlib.metadata import distributions as all; "
        "print(json.dumps({one.metadata['Name'].lower(): one.version for one in all()}))"
    )
    inside = json.loads(docker_engine.run("run", "--rm", built("echo_env"), "python", "-c", program))
    for name in ("fastapi", "pydantic", "uvicorn", "httpx"):
        assert inside[name] == pinned[name]


def test_a_second_build_is_the_same_image_and_the_folder_is_untouched(built, docker_engine, tmp_path):
    def identity(image: str) -> str:
        return docker_engine.run("image", "inspect", "--format", "{{.Id}}", image)

    folder = tmp_path / "echo_env"
    shutil.copytree(ROOT / "envs" / "echo_env", folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    again = build_image(docker_engine, folder, "openenv-tests/echo-env-again")
    try:
        assert identity(again) == identity(built("echo_env"))
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    finally:
        docker_engine.run("rmi", again)


def test_a_pushed_image_can_be_pulled(built, docker_engine, tmp_path):
    built("echo_env")
    with registry(tmp_path) as address:
        engine = images.find_engine("docker", url=docker_engine.url)
        made = images.build_image(
            ROOT / "envs" / "echo_env", tag="openenv-tests/echo-env", engine=engine, push=f"{address}/team"
        )
        assert made.pushed == f"{address}/team/openenv-tests/echo-env:latest"
        docker_engine.run("rmi", made.pushed)
        docker_engine.run("pull", made.pushed)
        docker_engine.run("rmi", made.pushed)


def test_a_registry_that_is_not_there_is_named(built, docker_engine):
    tag = built("echo_env")
    with pytest.raises(ImageBuildError, match=r"could not push 127\.0\.0\.1:1/openenv-tests") as caught:
        build_image(docker_engine, ROOT / "envs" / "echo_env", tag, push="127.0.0.1:1")
    docker_engine.run("rmi", f"127.0.0.1:1/{tag}")
    assert "refused" in caught.value.log_tail


def test_a_step_that_fails_is_shown_with_its_last_lines_and_without_secrets(docker_engine, tmp_path):
    (tmp_path / "openenv.yaml").write_text("name: broken_env\n")
    (tmp_path / "Dockerfile").write_text(
        "FROM python:3.11-slim\nARG API_TOKEN\nRUN echo the token is $API_TOKEN; echo no such rocket >&2; exit 3\n"
    )
    with pytest.raises(ImageBuildError, match=r"failed at step .*: RUN echo the token") as caught:
        build_image(docker_engine, tmp_path, "openenv-tests/broken", build_args={"API_TOKEN": "s3cret-value"})
    assert "no such rocket" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert "s3cret-value" not in str(caught.value)


def test_the_command_tells_the_steps_and_the_size(built, docker_engine, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", docker_engine.url)
    built("echo_env")
    arguments = [str(ROOT / "envs" / "echo_env"), "--tag", "openenv-tests/echo-env", "--engine", "docker"]
    result = CliRunner().invoke(build, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "Building openenv-tests/echo-env:latest with docker" in result.output
    assert "RUN python -m venv" in result.output
    assert " MB, in " in result.output


def test_a_name_that_no_image_can_have_is_refused_before_anything_is_built():
    with pytest.raises(ConfigurationError, match="echo-env:latest"):
        images.build_image(ROOT / "envs" / "echo_env", tag="Not A Name")


def healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).json() == {"status": "healthy"}
    except (httpx.HTTPError, ValueError):
        return False
