"""What a server says about itself: schemas, metadata, the API document."""

from typing import Literal

import httpx
import pytest
from tests.servers import Server
from tests.toys import Counter
from tests.wire.conftest import Connect
from tests.wire.raw import RESET

from openenv.environment import Environment
from openenv.models import Action, Observation, State


class Move(Action):
    """Go somewhere."""

    kind: Literal["move"] = "move"
    to: int


class Say(Action):
    """Say something."""

    kind: Literal["say"] = "say"
    words: str


class Seen(Observation):
    """A room."""

    room: int


class Heard(Observation):
    """An answer."""

    words: str


class Maze(Environment[Move | Say, Seen | Heard, State]):
    """Rooms, and somebody who listens."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self) -> Seen:
        return Seen(room=0)

    def step(self, action: Move | Say) -> Seen | Heard:
        return Seen(room=action.to) if isinstance(action, Move) else Heard(words=action.words.upper())

    @property
    def state(self) -> State:
        return State()


@pytest.fixture
def maze(shared) -> Server:
    return shared(Maze)


def titles(schema: dict) -> set[str]:
    """Return the names of the members of a union's schema."""
    members = schema.get("oneOf") or schema["anyOf"]
    resolved = [schema["$defs"][m["$ref"].rpartition("/")[2]] if "$ref" in m else m for m in members]
    return {m["title"] for m in resolved}


def test_the_schema_of_plain_types(shared, http: httpx.Client):
    schema = http.get(shared(Counter).url + "/schema").json()
    assert schema.keys() == {"action", "observation", "state", "reset_observation"}
    assert schema["action"]["properties"]["amount"]["type"] == "integer"
    assert {"total", "reward", "done", "metadata"} <= schema["observation"]["properties"].keys()
    assert {"total", "step_count", "episode_id"} <= schema["state"]["properties"].keys()


def test_the_schema_of_unions_names_every_member(maze: Server, http: httpx.Client):
    schema = http.get(f"{maze.url}/schema").json()
    assert titles(schema["action"]) == {"Move", "Say"}
    assert titles(schema["observation"]) == titles(schema["reset_observation"]) == {"Seen", "Heard"}


def test_an_action_of_a_union_is_taken_as_the_member_it_says(maze: Server, connect: Connect):
    ws = connect(maze)
    ws.ask(RESET)
    assert ws.ask('{"type":"step","data":{"kind":"move","to":3}}')["observation"]["room"] == 3
    assert ws.ask('{"type":"step","data":{"kind":"say","words":"hi"}}')["observation"]["words"] == "HI"


@pytest.mark.parametrize("data", ['{"kind":"fly"}', '{"to":3}', '{"kind":"move","words":"hi"}', "5", "{}"])
def test_an_action_of_no_member_is_a_validation_error(maze: Server, connect: Connect, data: str):
    ws = connect(maze)
    ws.ask(RESET)
    error = ws.refused(f'{{"type":"step","data":{data}}}')
    assert error["code"] == "VALIDATION_ERROR"
    assert error["errors"]
    assert ws.ask('{"type":"step","data":{"kind":"move","to":1}}')["observation"]["room"] == 1


@pytest.mark.parametrize("env", [Counter, Maze])
def test_the_api_document_describes_every_route(shared, http: httpx.Client, env: type):
    url = shared(env).url
    assert "swagger" in http.get(f"{url}/docs").text.lower()
    document = http.get(f"{url}/openapi.json").json()
    assert {
        "/reset",
        "/step",
        "/state",
        "/sessions",
        "/sessions/{session_id}",
        "/sessions/{session_id}/reset",
        "/sessions/{session_id}/step",
        "/sessions/{session_id}/state",
        "/health",
        "/metadata",
        "/schema",
        "/capacity",
    } <= document["paths"].keys()
    body = document["paths"]["/step"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "action" in body["properties"]
    assert "#/$defs/" not in http.get(f"{url}/openapi.json").text, "a reference nobody could follow"


def test_metadata_is_the_class_or_the_name_it_was_given(shared, serve, http: httpx.Client):
    metadata = http.get(shared(Maze).url + "/metadata").json()
    assert (metadata["name"], metadata["description"]) == ("Maze", "Rooms, and somebody who listens.")
    assert http.get(serve(Maze, env_name="maze_env").url + "/metadata").json()["name"] == "maze_env"
