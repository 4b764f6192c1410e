"""Production mode: an agent at work gets no reset, step or state by any route, and no inside of the environment."""

from typing import Any

import httpx
import pytest
from tests.servers import Server
from tests.toys import Add, Count, Counter
from tests.wire.conftest import Connect, Serve
from tests.wire.environments import Unbuildable
from websockets.exceptions import InvalidStatus

FORBIDDEN = [
    ("POST", "/reset"),
    ("POST", "/step"),
    ("GET", "/state"),
    ("POST", "/sessions"),
    ("GET", "/sessions/x"),
    ("DELETE", "/sessions/x"),
    ("POST", "/sessions/x/reset"),
    ("POST", "/sessions/x/step"),
    ("GET", "/sessions/x/state"),
]


@pytest.fixture
def server(serve_on: Serve) -> Server:
    return serve_on(Counter, mode="production")


def test_no_verb_is_served_over_http(server: Server, http: httpx.Client):
    statuses = {(verb, path): http.request(verb, server.url + path).status_code for verb, path in FORBIDDEN}
    assert statuses == dict.fromkeys(FORBIDDEN, 404)
    paths = http.get(f"{server.url}/openapi.json").json()["paths"]
    assert not [p for p in paths if any(verb in p for verb in ("reset", "step", "state", "sessions"))]
    assert http.get(f"{server.url}/capacity").json()["active_sessions"] == 0


@pytest.mark.parametrize("query", ["", "?session_id=x"])
def test_no_websocket_is_accepted(server: Server, connect: Connect, query: str):
    with pytest.raises(InvalidStatus, match="403"):
        connect(server, query)


def test_the_server_still_says_what_it_is(server: Server, http: httpx.Client):
    assert http.get(f"{server.url}/health").json() == {"status": "healthy"}
    assert http.get(f"{server.url}/metadata").json()["name"] == "Counter"


def test_the_mode_can_be_told_by_the_environment(serve, http: httpx.Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENENV_MODE", "production")
    assert http.post(f"{serve(Counter).url}/reset").status_code == 404


@pytest.mark.parametrize(("mode", "told"), [("simulation", True), ("production", False)])
def test_why_an_environment_cannot_be_made_is_for_the_trainer_only(
    serve, http: httpx.Client, caplog: pytest.LogCaptureFixture, mode: str, told: bool
):
    def factory() -> Any:
        return Unbuildable()

    server = serve(factory, action_cls=Add, observation_cls=Count, mode=mode)
    response = http.get(f"{server.url}/metadata")  # a factory does not tell its class, so one is made
    assert (response.status_code, response.json()["code"]) == (500, "FACTORY_ERROR")
    assert ("no board" in response.text) == told
    assert response.json()["error_id"] in caplog.text
    assert "no board" in caplog.text
