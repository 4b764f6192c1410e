"""Workspaces of a server that is held itself: in a sandbox with namespaces, and in one without."""

import sys
from pathlib import Path

import pytest
from tests.execution.nested import NESTED_ENV, Nested

from openenv.containment import probe
from openenv.providers import SandboxProvider

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("nested"),
    pytest.mark.skipif(sys.platform != "linux", reason="workspaces are of Linux"),
    pytest.mark.skipif(probe()["landlock"] is not None, reason=f"Landlock: {probe()['landlock']}"),
]

KINDS = {
    "namespaces": frozenset[str](),
    "without namespaces": frozenset({"namespaces"}),
    "as an ordinary user": frozenset({"namespaces", "uid", "cgroup"}),
}


@pytest.fixture(scope="module", params=KINDS)
def provider(request):
    """A sandbox of each kind, which serves the environment."""
    if request.param == "namespaces" and probe()["namespaces"] is not None:
        pytest.skip(f"namespaces: {probe()['namespaces']}")
    with SandboxProvider(NESTED_ENV, without=KINDS[request.param]) as provider:
        yield provider


class TestInSandboxes(Nested):
    def test_nothing_is_left_in_the_folder_for_temporary_files(self, play):
        folders = play(backend="WarmFork", command="touch left; mkdir -p a/b; chmod 0 a").folders
        assert folders
        assert not [folder for folder in folders if Path(folder).parent.exists()]
