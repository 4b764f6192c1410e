import pytest

from openenv.client import GenericEnvClient
from openenv.providers import ProcessProvider


@pytest.fixture(scope="module")
def corridor_url():
    yield from served("tests.integrations.games:corridor")


@pytest.fixture(scope="module")
def trouble_url():
    yield from served("openenv.testing.trouble:number")


def served(target):
    """Give the address of a server whose first session, which takes the longest, is over."""
    provider = ProcessProvider(target, max_concurrent_envs=32)
    url = provider.start()
    try:
        provider.wait_for_ready()
        with GenericEnvClient(url) as client:
            client.reset()
        yield url
    finally:
        provider.stop()
