"""Workspaces of a server in a hardened container: no root, no capabilities, no namespaces to be had."""

import pytest
from tests.engines.images import build_nested
from tests.execution.nested import Nested

from openenv.providers import LocalDockerProvider


@pytest.fixture(scope="module")
def provider(docker_engine, echo_image, tmp_path_factory):
    """A container that serves the environment."""
    context = tmp_path_factory.mktemp("nested")
    image = build_nested(docker_engine, echo_image, "openenv-tests/nested:latest", context)
    with LocalDockerProvider(image) as provider:
        yield provider


class TestInAContainer(Nested):
    def test_what_is_missing_is_told(self, play):
        came = play(code="print(1)")
        assert set(came.absent) == {"namespaces", "uid", "cgroup"}
        assert came.weaknesses
