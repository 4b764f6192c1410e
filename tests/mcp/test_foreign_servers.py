"""Servers that others have made, by command and by URL."""

import asyncio
import socket
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from tests.mcp import sdk_server

from openenv.errors import EnvironmentDiedError
from openenv.mcp import CallToolAction, ToolErrorType
from openenv.mcp.foreign import MCPServerEnvironment


def call(tool: str, **arguments):
    return CallToolAction(tool_name=tool, arguments=arguments)


def stdio(kind: str) -> list[str]:
    return [sys.executable, str(Path(sdk_server.__file__)), kind]


@pytest.fixture
def run(host):
    """A maker of servers of an application that end with the test."""
    made = []

    def start(app, **options):
        made.append(host.run(app, **options))
        return made[-1]

    yield start
    for server in made:
        server.stop(wait=False)


@pytest.fixture(
    params=["sdk over stdio", "fastmcp over stdio", "sdk over http", "fastmcp over http", "sdk over sse"]
)
def server(request, run):
    match request.param.split(" over "):
        case kind, "stdio":
            return stdio(kind)
        case "sdk", "http":
            return run(sdk_server.sdk_server().streamable_http_app()).url + "/mcp"
        case "fastmcp", "http":
            return run(sdk_server.fastmcp_server().http_app(path="/mcp")).url + "/mcp"
    return run(sdk_server.sdk_server().sse_app()).url + "/sse"


async def test_an_unmodified_server_is_played(server):
    env = MCPServerEnvironment(server)
    try:
        tools = {tool.name: tool for tool in (await env.reset()).observation.tools}
        assert tools["add"].description == "Add two numbers."
        assert tools["add"].input_schema["required"] == ["a"]
        seen = {
            name: (await env.step(call(name, **arguments))).observation
            for name, arguments in {
                "add": {"a": 1},
                "words": {"text": "one two"},
                "point": {"x": 3},
                "table": {},
                "nothing": {},
                "broken": {},
            }.items()
        }
        results = {name: observation.result for name, observation in seen.items()}
        assert results == {
            "add": 2,
            "words": ["one", "two"],
            "point": {"x": 3, "y": 6},
            "table": {"result": 1},
            "nothing": None,
            "broken": None,
        }
        assert seen["broken"].error.error_type == ToolErrorType.EXECUTION_ERROR
        wrong = (await env.step(call("add", a="one"))).observation.error
        assert wrong.error_type == ToolErrorType.INVALID_ARGS
        assert "a" in wrong.message
        await env.reset()
        assert (await env.step(call("add", a=1, b=2))).observation.result == 3
    finally:
        await env.close()


async def test_a_picture_is_base64(run):
    env = MCPServerEnvironment(run(sdk_server.sdk_server().streamable_http_app()).url + "/mcp")
    await env.reset()
    blocks = (await env.step(call("picture"))).observation.result
    assert blocks == [{"type": "image", "data": "ZG90", "mimeType": "image/png"}]
    await env.close()


async def test_a_server_that_speaks_only_events_is_found_by_trying(run):
    env = MCPServerEnvironment(run(sdk_server.sdk_server().sse_app(sse_path="/events")).url + "/events")
    await env.reset()
    assert (await env.step(call("add", a=1))).observation.result == 2
    await env.close()


async def test_headers_go_with_every_request(run):
    app, seen = sdk_server.sdk_server().streamable_http_app(), []

    async def guarded(scope, receive, send):
        if scope["type"] == "http":
            seen.append(dict(scope["headers"]).get(b"authorization"))
            if seen[-1] != b"Bearer x":
                await PlainTextResponse("who are you?", 401)(scope, receive, send)
                return
        await app(scope, receive, send)

    url = run(guarded).url + "/mcp"
    env = MCPServerEnvironment(url, headers={"Authorization": "Bearer x"})
    await env.reset()
    assert (await env.step(call("add", a=1))).observation.result == 2
    await env.close()
    assert set(seen) == {b"Bearer x"}
    with pytest.raises(EnvironmentDiedError, match="401"):
        await MCPServerEnvironment(url).reset()


async def test_an_address_where_nothing_listens_is_told():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/mcp"
        with pytest.raises(EnvironmentDiedError, match="can not be reached: ConnectError"):
            await MCPServerEnvironment(url).reset()


async def test_an_address_that_takes_connections_and_never_answers_is_given_up():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/mcp"
        with pytest.raises(EnvironmentDiedError, match=r"did not answer initialize within 0\.2 s"):
            await MCPServerEnvironment(url, start_timeout_s=0.2).reset()


async def test_a_web_page_is_no_mcp_server(run):
    page = Starlette(routes=[Route("/", lambda request: PlainTextResponse("hello"), methods=["GET", "POST"])])
    url = run(page).url
    with pytest.raises(EnvironmentDiedError, match="does not begin a session"):
        await MCPServerEnvironment(url).reset()
    with pytest.raises(EnvironmentDiedError, match=r"does not begin a session.*404"):
        await MCPServerEnvironment(url + "/elsewhere").reset()


async def test_a_server_at_a_url_that_goes_away_is_a_lost_server(run):
    server = run(sdk_server.sdk_server().streamable_http_app())
    env = MCPServerEnvironment(server.url + "/mcp")
    await env.reset()
    await asyncio.to_thread(server.vanish)
    for _ in range(2):
        with pytest.raises(EnvironmentDiedError, match="was lost"):
            await env.step(call("add", a=1))
    with pytest.raises(EnvironmentDiedError, match="can not be reached"):
        await env.reset()
    await env.close()


async def test_a_session_that_the_server_has_forgotten_is_a_lost_server(run):
    server = run(sdk_server.sdk_server().streamable_http_app())
    env = MCPServerEnvironment(server.url + "/mcp")
    await env.reset()
    port = int(server.url.rpartition(":")[2])
    await asyncio.to_thread(server.vanish)
    await asyncio.to_thread(run, sdk_server.sdk_server().streamable_http_app(), port=port)
    with pytest.raises(EnvironmentDiedError, match="was lost"):
        await env.step(call("add", a=1))
    await env.reset()
    assert (await env.step(call("add", a=1))).observation.result == 2
    await env.close()
