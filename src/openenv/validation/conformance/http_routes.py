"""Checks of the HTTP routes."""

from __future__ import annotations

from typing import Any

from openenv.validation.checks import Checks, CheckSkipped
from openenv.validation.conformance.dialects import counts_steps
from openenv.validation.conformance.expectation import ANY, NUMBER, TEXT, expect
from openenv.validation.conformance.server import ServerUnderTest, body

__all__ = ["CHECKS"]

CHECKS = Checks[ServerUnderTest]("http")

RESULT = {"observation": dict, "reward": (*NUMBER, bool, None), "done": bool}


def answer(server: ServerUnderTest, method: str, path: str, **content: Any) -> dict[str, Any]:
    """Return the status and the body of an answer."""
    response = server.request(method, path, **content)
    return {"status": response.status_code, "body": body(response) if response.content else None}


def session_path(server: ServerUnderTest) -> str:
    """Open a session over HTTP, which is closed after the check, and return its path."""
    opened = answer(server, "POST", "/sessions")
    if opened["status"] in (404, 405):
        raise CheckSkipped("POST /sessions is not served")
    if opened["status"] == 503:
        server.need_room(opened["body"], 1)
    expect({"status": 201, "body": {"session_id": TEXT}}, opened, "in answer to POST /sessions")
    path = f"/sessions/{opened['body']['session_id']}"
    server.after(lambda: server.request("DELETE", path))
    return path


@CHECKS.check
def health(server: ServerUnderTest) -> None:
    """GET /health says that the server is healthy."""
    expect({"status": 200, "body": {"status": "healthy"}}, answer(server, "GET", "/health"))


@CHECKS.check
def metadata(server: ServerUnderTest) -> None:
    """GET /metadata names the environment."""
    expect({"status": 200, "body": {"name": TEXT}}, answer(server, "GET", "/metadata"))


@CHECKS.check
def schema(server: ServerUnderTest) -> None:
    """GET /schema has the JSON Schemas of actions, observations and states."""
    expected = {"action": dict, "observation": dict, "state": dict}
    expect({"status": 200, "body": expected}, answer(server, "GET", "/schema"))


@CHECKS.check
def capacity(server: ServerUnderTest) -> None:
    """GET /capacity says how many sessions there are and may be."""
    expected = {"active_sessions": int, "max_sessions": int}
    expect({"status": 200, "body": expected}, answer(server, "GET", "/capacity"))


@CHECKS.check
def session(server: ServerUnderTest) -> None:
    """A session of one's own: opened, reset, stepped, asked for its state, closed, and then gone."""
    path = session_path(server)
    expect({"status": 200, "body": {"phase": TEXT}}, answer(server, "GET", path), f"in answer to GET {path}")
    expect({"status": 200, "body": {**RESULT, "done": False}}, answer(server, "POST", f"{path}/reset", json={}))
    stepped = answer(server, "POST", f"{path}/step", json={"action": server.action})
    expect({"status": 200, "body": RESULT}, stepped, "in answer to a step")
    expect({"status": 200, "body": dict}, answer(server, "GET", f"{path}/state"))
    expect({"status": 204}, answer(server, "DELETE", path), "in answer to DELETE")
    gone = answer(server, "GET", f"{path}/state")
    expect({"status": (404, 410), "body": {"code": ("SESSION_NOT_FOUND", "SESSION_LOST")}}, gone, "after DELETE")


@CHECKS.check
def step_before_reset(server: ServerUnderTest) -> None:
    """A step in a session that was never reset is refused with 409 NOT_RESET.

    Skip it where the environment says that it may be stepped without a reset.
    """
    path = session_path(server)
    refused = answer(server, "POST", f"{path}/step", json={"action": server.action})
    expect({"status": 409, "body": {"code": "NOT_RESET", "message": TEXT, "detail": ANY}}, refused)


@CHECKS.check
def bad_action(server: ServerUnderTest) -> None:
    """An action that does not validate is refused with 422 and the fields at fault, and the session goes on."""
    path = session_path(server)
    expect({"status": 200}, answer(server, "POST", f"{path}/reset", json={}), "in answer to a reset")
    refused = answer(server, "POST", f"{path}/step", json={"action": server.bad_action})
    errors = {"code": "VALIDATION_ERROR", "message": TEXT, "errors": list, "detail": ANY}
    expect({"status": 422, "body": errors}, refused, "in answer to a bad action")
    stepped = answer(server, "POST", f"{path}/step", json={"action": server.action})
    expect({"status": 200}, stepped, "in answer to a step after it")


@CHECKS.check
def bad_body(server: ServerUnderTest) -> None:
    """A body that is not JSON is refused with 422."""
    path = session_path(server)
    refused = answer(server, "POST", f"{path}/reset", content=b"{not json")
    expect({"status": 422, "body": {"code": "INVALID_JSON", "message": TEXT}}, refused)


@CHECKS.check
def unknown_session(server: ServerUnderTest) -> None:
    """A session that does not exist is 404 SESSION_NOT_FOUND."""
    if answer(server, "POST", "/sessions/no-such-session/reset", json={})["body"] == {"detail": "Not Found"}:
        raise CheckSkipped("POST /sessions/{id}/reset is not served")
    for method, path in (("GET", ""), ("POST", "/reset"), ("GET", "/state"), ("DELETE", "")):
        refused = answer(server, method, f"/sessions/no-such-session{path}")
        about = f"in answer to {method} /sessions/no-such-session{path}"
        expect({"status": 404, "body": {"code": "SESSION_NOT_FOUND", "message": TEXT}}, refused, about)


@CHECKS.check
def old_routes(server: ServerUnderTest) -> None:
    """POST /reset, POST /step and GET /state play one episode that all callers without a session id share."""
    if server.max_sessions == 1:
        raise CheckSkipped("the shared session would keep the server's only slot")
    counted = counts_steps(server)
    begun = answer(server, "POST", "/reset", json={})
    server.need_room(begun["body"], 1)
    expect({"status": 200, "body": {**RESULT, "done": False}}, begun, "in answer to POST /reset")
    before = answer(server, "GET", "/state")
    expect({"status": 200, "body": dict}, before, "in answer to GET /state")
    stepped = answer(server, "POST", "/step", json={"action": server.action})
    expect({"status": 200, "body": RESULT}, stepped, "in answer to POST /step")
    after = answer(server, "GET", "/state")
    if counted:
        count = before["body"].get("step_count") + 1
        expect({"status": 200, "body": {"step_count": count}}, after, "in answer to GET /state after one step")
