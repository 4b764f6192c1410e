"""What articles print about containers, word for word, against a container of the real image."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engines.reach import Docker

from openenv.errors import ConnectionFailedError
from openenv.providers import LocalDockerProvider

ROOT = Path(__file__).parents[2]
PRINTED = ROOT / "docs_src" / "mission"
TAG = "echo-env:latest"


@pytest.fixture(scope="module")
def image(docker_engine: Docker, echo_image: str) -> Iterator[str]:
    """The image under the name that is printed; a name that was there before is left alone."""
    there = docker_engine.run("images", "-q", TAG)
    docker_engine.run("tag", echo_image, TAG)
    yield TAG
    if there:
        docker_engine.run("tag", there, TAG)
    else:
        docker_engine.run("rmi", "--no-prune", TAG)


def run_printed(name: str) -> dict[str, object]:
    path = PRINTED / name
    names: dict[str, object] = {"__name__": "printed"}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
    return names


def test_the_blocking_program_of_the_first_generation_prints_what_its_comments_say(image, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    client = run_printed("echo_blocking.py")["client"]
    assert capsys.readouterr().out.splitlines() == ["Echo environment ready!", "Hello, World!", "1.3"]
    with pytest.raises(ConnectionFailedError):  # `close` has ended the container
        type(client)(base_url=client.base_url).reset()


def test_a_client_of_an_image_can_be_awaited(image):
    from echo_env import EchoAction, EchoEnv

    async def main() -> None:
        client = await EchoEnv.from_docker_image(image)
        try:
            await client.reset()
            result = await client.step(EchoAction(message="Hello, World!"))
            assert result.observation.echoed_message == "Hello, World!"
        finally:
            await client.close()

    asyncio.run(main())


def test_a_client_of_an_image_can_be_used_blocking(image):
    from echo_env import EchoEnv

    with EchoEnv.from_docker_image(image, memory="512m").sync() as client:
        assert client.reset().observation.echoed_message == "Echo environment ready!"


def test_a_provider_without_an_image_takes_that_of_the_client_class(image):
    from echo_env import EchoEnv

    async def main() -> None:
        async with EchoEnv.with_provider(LocalDockerProvider(replicas=2)) as clients:
            results = await asyncio.gather(*(client.reset() for client in clients))
            assert [one.observation.echoed_message for one in results] == ["Echo environment ready!"] * 2

    asyncio.run(main())


def test_the_old_path_has_the_same_class():
    from openenv.core.containers.runtime import LocalDockerProvider as Old
    from openenv.core.containers.runtime.providers import LocalDockerProvider as Older

    assert Old is Older is LocalDockerProvider
