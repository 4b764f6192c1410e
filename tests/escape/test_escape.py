"""Nothing gets out of a sandbox, and the same attempts do succeed where nothing stops them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.escape.host import Host
from tests.escape.subjects import CONTROL, SUBJECTS
from tests.escape.suite import CASES, OUTLIVE, run

from openenv import containment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is one of Linux"),
    pytest.mark.xdist_group("escape"),
]

ROOT = Path(__file__).parents[2]


def _skip_unless(*layers):
    missing = {name: why for name, why in containment.probe().items() if name in layers and why}
    if missing:
        pytest.skip(f"this machine has not: {missing}")


@pytest.mark.parametrize("name", SUBJECTS)
def test_nothing_gets_out(name):
    _skip_unless("seccomp", "namespaces" if name == "sandbox" else "landlock")
    subject = SUBJECTS[name]
    with Host() as host:
        results = list(run(subject.make, host, subject.limits))
    assert [f"{result.case.name}: {result.detail}" for result in results if result.escaped] == []
    applicable = [case for case in (*CASES, OUTLIVE) if case.arguments(host, subject.limits) is not None]
    assert [result.case for result in results if result.error == "SERVER_LOST" and not result.case.alone] == []
    assert len(results) == len(applicable)


def test_the_attempts_succeed_where_nothing_stops_them():
    cases = [case for case in CASES if not case.uncontrolled]
    with Host() as host:
        results = list(run(CONTROL.make, host, CONTROL.limits, cases))
    assert [f"{result.case.name}: {result.error} {result.detail}" for result in results if not result.escaped] == []


def test_nothing_gets_out_where_namespaces_are_really_refused():
    """Within bubblewrap that forbids further user namespaces, as a container does."""
    _skip_unless("namespaces", "landlock", "seccomp")
    refusing = [shutil.which("bwrap"), "--dev-bind", "/", "/", "--unshare-user", "--disable-userns"]
    ran = subprocess.run(
        [*refusing, "--", sys.executable, "-m", "tests.escape", "sandbox-fallback"],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    assert "without namespaces (bubblewrap fails" in ran.stderr
