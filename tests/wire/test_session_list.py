"""`GET /sessions`: what anybody may know of all sessions, which is not their ids."""

import hashlib

import httpx
from tests.servers import wait_until
from tests.sessions.wire import Wire
from tests.toys import AsyncCounter, Counter

from openenv.server.app import create_app


def names(*ids: str) -> set[str]:
    """Return the public names of sessions, as the protocol says they are made."""
    return {hashlib.sha256(one.encode()).hexdigest()[:16] for one in ids}


def test_every_session_is_listed_with_how_it_stands(serve, http: httpx.Client):
    server = serve(Counter)
    url = f"{server.url}/sessions"
    assert http.get(url).json() == []
    over_http = http.post(url).json()["session_id"]
    with Wire(server.url) as wire:
        wire.ask("hello", version=2)
        played, fresh = wire.play(), wire.open()[0]
        played.send("reset", {"episode_id": "e1"})
        played.seen(played.send("step", {"amount": 2}))
        assert wait_until(lambda: {one["phase"] for one in http.get(url).json()} == {"ready", "running"})
        listed = {one["session"]: one for one in http.get(url).json()}
        assert listed.keys() == names(over_http, played.id, fresh.id)
        [name] = names(played.id)
        running = listed.pop(name)
        assert running["held"] == "attached"
        assert running["lease_left_s"] is None
        assert (running["episode_id"], running["step_count"], running["runs"]) == ("e1", 1, "thread")
        assert (running["environment_type"], running["busy"]) == ("Counter", False)
        assert running["age_s"] >= running["idle_s"] >= 0
        assert {one["held"] for one in listed.values()} == {"attached", "http"}
        wire.drop()
        assert wait_until(lambda: [one["held"] for one in http.get(url).json()].count("detached") == 2)
        leases = [one["lease_left_s"] for one in http.get(url).json()]
        assert sorted(lease is None for lease in leases) == [False, False, True]
        assert all(0 < lease <= 60 for lease in leases if lease is not None)


def test_the_list_gives_no_right_to_any_session(serve, http: httpx.Client):
    server = serve(AsyncCounter)
    session = http.post(f"{server.url}/sessions").json()["session_id"]
    http.post(f"{server.url}/sessions/{session}/reset")
    [listed] = http.get(f"{server.url}/sessions").json()
    assert listed["runs"] == "inline"
    assert session not in str(listed)
    for use in ("reset", "step"):
        assert http.post(f"{server.url}/sessions/{listed['session']}/{use}").status_code in (404, 422)
    assert http.delete(f"{server.url}/sessions/{listed['session']}").status_code == 404
    assert http.delete(f"{server.url}/sessions/{session}").status_code == 204


def test_the_list_is_described():
    document = create_app(Counter).openapi()
    answer = document["paths"]["/sessions"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["items"]["$ref"].endswith("/SessionListing")
    fields = document["components"]["schemas"]["SessionListing"]["properties"]
    assert fields.keys() >= {"session", "phase", "held", "runs", "episode_id", "step_count", "lease_left_s"}
