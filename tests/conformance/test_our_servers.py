"""Our own server does what the protocol says, on each carrier and wherever the environment runs."""

from typing import Any

import pytest
from tests.conformance.conftest import Conform
from tests.servers import Host
from tests.toys import Add, AsyncCounter, Count, Counter, InlineCounter
from tests.wire.conftest import CARRIERS

from openenv.server.app import create_app
from openenv.validation.checks import Result, Verdict
from openenv.validation.conformance import checks_of


def told(results: list[Result], verdict: Verdict) -> list[str]:
    """Return what is to be said of the checks that came out in one way."""
    return [f"{r.name}: {r.why or f'expected {r.expected}, got {r.got}'}" for r in results if r.verdict is verdict]


@pytest.mark.parametrize(
    ("carrier", "env"),
    [
        ("fast", InlineCounter),
        ("asgi", Counter),
        pytest.param("fast", Counter, marks=pytest.mark.slow),
        pytest.param("fast", AsyncCounter, marks=pytest.mark.slow),
        pytest.param("asgi", InlineCounter, marks=pytest.mark.slow),
        pytest.param("asgi", AsyncCounter, marks=pytest.mark.slow),
    ],
)
def test_every_check_holds_on_every_carrier(host: Host, conform: Conform, carrier: str, env: Any):
    results = conform(host.run(create_app(env), **CARRIERS[carrier]))
    assert told(results, Verdict.FAILED) == []
    assert told(results, Verdict.SKIPPED) == []
    assert len(results) > 100


@pytest.mark.slow
def test_every_check_holds_where_each_environment_has_a_process(host: Host, conform: Conform):
    results = conform(host.serve(Counter, isolation="process"))
    assert told(results, Verdict.FAILED) == []
    assert told(results, Verdict.SKIPPED) == []


def test_a_server_of_one_slot_is_not_at_fault_and_is_as_free_afterwards(serve, conform: Conform):
    server = serve(InlineCounter, max_concurrent_envs=1)
    results = conform(server)
    assert told(results, Verdict.FAILED) == []
    skipped = [r.name for r in results if r.verdict is Verdict.SKIPPED]
    assert "v2.batch" in skipped
    assert "http.old_routes" in skipped
    assert "v2.resume" not in skipped
    assert server.on_loop(server.manager.capacity).active_sessions == 0


class Reporting(Counter):
    """Says in every step how far it is."""

    def step(self, action: Add) -> Count:
        self.progress(0.5, "counting")
        return super().step(action)


def test_a_server_may_tell_of_progress(serve, conform: Conform):
    results = conform(serve(Reporting))
    assert told(results, Verdict.FAILED) == []


def test_a_version_is_checked_by_itself():
    groups = {version: {check.group for check in checks_of(version)} for version in ("1", "2")}
    assert groups == {"1": {"v1", "http"}, "2": {"v2", "msgpack", "http"}}
