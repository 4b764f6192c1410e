"""What is not MCP, or not allowed, is answered by its error; a session is never lost by it."""

import asyncio
import contextlib
import json
from typing import Any

import httpx
import pytest
import websockets
from tests.mcp.shops import Guessing, Shop
from tests.mcp.wire import HEADERS, call, initialize, initialized, message, post
from tests.servers import Server


@pytest.fixture
def shop(serve) -> Server:
    return serve(Shop, env_name="shop")


@pytest.fixture
def agents(serve) -> Server:
    return serve(Shop, env_name="shop", mode="production")


@contextlib.asynccontextmanager
async def talking(server: Server):
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        yield http


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
async def test_the_revision_of_the_client_is_spoken(shop: Server, revision: str):
    async with talking(shop) as http:
        assert (await initialize(http, revision=revision)).json()["result"]["protocolVersion"] == revision


async def test_a_client_of_an_unknown_revision_is_offered_the_newest_and_refused_if_it_insists(shop: Server):
    async with talking(shop) as http:
        answer = await initialize(http, revision="1999-01-01")
        assert answer.json()["result"]["protocolVersion"] == "2025-11-25"
        headers = {"MCP-Protocol-Version": "1999-01-01", "Mcp-Session-Id": answer.headers["mcp-session-id"]}
        refused = await http.post("/mcp", json=message("tools/list"), headers=headers)
        assert refused.status_code == 400
        assert "2025-11-25" in refused.json()["error"]["data"]["supported"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", -32700),
        ('{"jsonrpc":"2.0","id":1e999}', -32700),
        ("5", -32600),
        ("null", -32600),
        ("[]", -32600),
        ('{"id":1,"method":"ping"}', -32600),
        ('{"jsonrpc":"2.0","id":[1],"method":"ping"}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":5}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}', -32602),
        ('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":5}}', -32602),
        ('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"buy","arguments":5}}', -32602),
        ('{"jsonrpc":"2.0","id":1,"method":"resources/read"}', -32002),
        ('{"jsonrpc":"2.0","id":1,"method":"prompts/get"}', -32602),
        ('{"jsonrpc":"2.0","id":1,"method":"server/discover"}', -32601),
        ('{"jsonrpc":"2.0","id":1,"method":"reset"}', -32601),
        ("[" * 100_000, -32700),
    ],
)
async def test_what_is_no_request_is_answered_by_its_error_and_the_session_goes_on(
    shop: Server, body: str, code: int
):
    async with talking(shop) as http:
        session = await initialized(http)
        answer = await http.post("/mcp", content=body, headers={**HEADERS, "Mcp-Session-Id": session})
        assert answer.json()["error"]["code"] == code
        assert (await call(http, session, "buy"))["result"]["structuredContent"] == {"result": 2}


async def test_notifications_and_answers_are_taken_without_an_answer(shop: Server):
    async with talking(shop) as http:
        headers = {**HEADERS, "Mcp-Session-Id": await initialized(http)}
        for body in (
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            {"jsonrpc": "2.0", "method": "notifications/of/another/world"},
            {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 99}},
            {"jsonrpc": "2.0", "id": 1, "result": {}},
        ):
            answer = await http.post("/mcp", json=body, headers=headers)
            assert (answer.status_code, answer.content) == (202, b"")


async def test_a_batch_is_answered_by_a_list(shop: Server):
    async with talking(shop) as http:
        headers = {**HEADERS, "Mcp-Session-Id": await initialized(http)}
        batch = [message("ping", 1), {"jsonrpc": "2.0", "method": "notifications/x"}, message("nothing", 3)]
        answers = (await http.post("/mcp", json=batch, headers=headers)).json()
        assert [(one["id"], "error" in one) for one in answers] == [(1, False), (3, True)]


async def test_an_id_that_is_under_way_is_not_taken_again(shop: Server):
    async with talking(shop) as http:
        session = await initialized(http)
        slow = asyncio.create_task(post(http, session, "tools/call", 7, name="dawdle", arguments={}))
        while not shop.on_loop(lambda: shop.manager.get(session).peer.is_asked(7)):
            await asyncio.sleep(0.01)
        assert (await call(http, session, "buy", 7))["error"]["code"] == -32600
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
        await http.post("/mcp", json=cancel, headers={**HEADERS, "Mcp-Session-Id": session})
        assert (await slow).json()["error"]["data"]["code"] == "CANCELLED"


async def test_an_unknown_or_ended_session_has_to_be_begun_anew(shop: Server):
    async with talking(shop) as http:
        session = await initialized(http)
        headers = {**HEADERS, "Mcp-Session-Id": session}
        assert (await http.delete("/mcp", headers=headers)).status_code == 204
        for name in (session, "nobody's"):
            answer = await post(http, name, "tools/list")
            assert (answer.status_code, "initialize" in answer.text or "closed" in answer.text) == (404, True)
        assert (await http.delete("/mcp", headers=headers)).status_code == 404
        assert (await http.delete("/mcp")).status_code == 405
        assert (await http.get("/mcp", headers=HEADERS)).status_code == 405


async def test_a_server_without_room_says_so_and_has_room_again_when_a_client_leaves(serve):
    server = serve(Shop, max_concurrent_envs=1)
    async with talking(server) as http:
        session = await initialized(http)
        full = await initialize(http)
        assert (full.status_code, full.json()["error"]["data"]["code"]) == (503, "CAPACITY_REACHED")
        await http.delete("/mcp", headers={"Mcp-Session-Id": session})
        assert (await initialize(http)).status_code == 200


async def test_pages_of_other_sites_are_refused_and_those_of_this_machine_are_not(shop: Server):
    async with talking(shop) as http:
        for origin, status in (
            ("https://evil.example", 403),
            ("null", 403),
            (f"http://evil.example:{httpx.URL(shop.url).port}", 403),
            ("http://localhost:5173", 200),
            ("http://127.0.0.1", 200),
        ):
            answer = await http.post("/mcp", json=message("tools/list"), headers={"Origin": origin})
            assert answer.status_code == status, origin
        # A name that an attacker has made lead here: page and host agree, but this server is on loopback.
        rebound = {"Origin": "http://evil.example", "Host": "evil.example"}
        assert (await http.post("/mcp", json=message("tools/list"), headers=rebound)).status_code == 403
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(shop.url.replace("http", "ws") + "/mcp", origin="https://evil.example")


async def test_the_answers_to_calls_without_a_handshake_are_those_that_older_programs_read(shop: Server):
    async with talking(shop) as http:

        async def rpc(method: str, **params: Any) -> dict[str, Any]:
            answer = await http.post("/mcp", json=message(method, 1, **params))
            assert answer.status_code == 200
            return answer.json()

        assert "buy" in {one["name"] for one in (await rpc("tools/list"))["result"]["tools"]}
        bought = (await rpc("tools/call", name="buy", arguments={"count": 1}))["result"]
        assert (bought["data"], bought["structured_content"], bought["is_error"]) == (2, {"result": 2}, False)
        assert bought["content"][0] == {"type": "text", "text": "2"}
        assert (await rpc("tools/call", name="buy"))["result"]["data"] == 1  # all such callers share an episode
        unknown = (await rpc("tools/call", name="nope", arguments={}))["error"]
        assert (unknown["code"], "nope" in unknown["message"]) == (-32603, True)
        session = (await rpc("openenv/session/create"))["result"]["session_id"]
        own = await rpc("tools/call", name="buy", arguments={"count": 1}, session_id=session)
        assert own["result"]["data"] == 2
        assert (await rpc("tools/list", session_id=session))["result"]["tools"]
        closed = (await rpc("openenv/session/close", session_id=session))["result"]
        assert closed == {"session_id": session, "closed": True}
        for lost in (session, "nope"):
            error = (await rpc("tools/call", name="buy", session_id=lost))["error"]
            assert (error["code"], error["message"]) == (-32602, f"Unknown session_id: {lost}")
        assert (await rpc("bad/method"))["error"]["code"] == -32601
        assert (await rpc("initialize"))["error"]["code"] == -32602


async def test_a_session_opened_by_the_old_call_can_be_attached_to_by_its_trainer(shop: Server):
    async with talking(shop) as http:
        created = await http.post("/mcp", json=message("openenv/session/create", 1))
        session = created.json()["result"]["session_id"]
        async with websockets.connect(f"{shop.url.replace('http', 'ws')}/ws?session_id={session}") as ws:
            await ws.send(json.dumps({"type": "reset", "data": {}}))
            await ws.recv()
            call_frame = {"type": "call_tool", "tool_name": "buy", "arguments": {"count": 2}}
            await ws.send(json.dumps({"type": "step", "data": call_frame}))
            assert json.loads(await ws.recv())["data"]["reward"] == 2.0
        body = message("tools/call", 2, name="buy", arguments={}, session_id=session)
        assert (await http.post("/mcp", json=body)).json()["result"]["data"] == 0


async def test_over_a_websocket_a_client_has_a_session_for_its_connection(shop: Server):
    async with websockets.connect(shop.url.replace("http", "ws") + "/mcp") as ws:

        async def ask(text: str) -> Any:
            await ws.send(text)
            return json.loads(await ws.recv())

        assert (await ask("{"))["error"]["code"] == -32700
        assert (await ask(json.dumps(message("tools/list"))))["result"]["tools"]
        bought = await ask(json.dumps(message("tools/call", 3, name="buy", arguments={"count": 1})))
        assert bought["result"]["data"] == 2
        named = await ask(json.dumps(message("openenv/session/create", 4)))
        other = named["result"]["session_id"]
        body = message("tools/call", 5, name="buy", arguments={"count": 2}, session_id=other)
        assert (await ask(json.dumps(body)))["result"]["data"] == 1
        assert shop.on_loop(lambda: len(shop.manager.sessions())) == 2
    async with asyncio.timeout(15):
        while shop.on_loop(lambda: len(shop.manager.sessions())) > 1:
            await asyncio.sleep(0.01)


async def test_tools_by_json_rpc_in_the_frames_of_version_1_are_steps(shop: Server):
    async with websockets.connect(shop.url.replace("http", "ws") + "/ws") as ws:

        async def ask(kind: str, data: Any = None) -> Any:
            await ws.send(json.dumps({"type": kind} if data is None else {"type": kind, "data": data}))
            return json.loads(await ws.recv())

        assert (await ask("mcp", message("tools/list")))["data"]["result"]["tools"]
        bought = await ask("mcp", message("tools/call", 3, name="buy", arguments={"count": 1}))
        assert (bought["type"], bought["data"]["id"], bought["data"]["result"]["data"]) == ("mcp", 3, 2)
        assert (await ask("state"))["data"]["coins"] == 2
        assert (await ask("reset", {}))["type"] == "observation"
        assert (await ask("state"))["data"]["coins"] == 3


async def test_any_environment_takes_the_call_of_a_tool_as_a_step(serve):
    server = serve(Guessing)
    async with websockets.connect(server.url.replace("http", "ws") + "/ws") as ws:

        async def ask(kind: str, data: Any) -> Any:
            await ws.send(json.dumps({"type": kind, "data": data}))
            return json.loads(await ws.recv())

        await ask("reset", {"seed": 1})
        asked = await ask("step", {"type": "call_tool", "tool_name": "ask", "arguments": {}})
        assert (asked["data"]["reward"], asked["data"]["observation"]["tries_left"]) == (-0.5, 6)
        unknown = await ask("step", {"type": "call_tool", "tool_name": "steal", "arguments": {}})
        assert (unknown["data"]["code"], "guess" in unknown["data"]["message"]) == ("VALIDATION_ERROR", True)
        wrong = await ask("step", {"type": "call_tool", "tool_name": "guess", "arguments": {"number": -1}})
        assert "number" in wrong["data"]["message"]
        assert (await ask("step", {"number": 1}))["data"]["observation"]["tries_left"] == 5
    async with talking(server) as http:
        await http.post("/reset", json={})
        body = {"action": {"type": "call_tool", "tool_name": "ask", "arguments": {}}}
        assert (await http.post("/step", json=body)).json()["reward"] == -0.5


# --- production ------------------------------------------------------------------------------------


async def test_in_production_tools_are_the_only_door(agents: Server):
    async with talking(agents) as http:
        for method, path in (
            ("POST", "/reset"),
            ("POST", "/step"),
            ("GET", "/state"),
            ("POST", "/sessions"),
            ("GET", "/sessions"),
            ("GET", "/web"),
            ("POST", "/web/reset"),
            ("POST", "/web/step"),
            ("GET", "/web/state"),
        ):
            assert (await http.request(method, path)).status_code == 404, path
        for verb in ("reset", "step", "state", "close", "openenv/reset"):
            answer = await http.post("/mcp", json=message(verb))
            assert answer.json()["error"]["code"] == -32601
            answer = await http.post("/mcp", json=message("tools/call", name=verb, arguments={}))
            assert "error" in answer.json()
        session = await initialized(http)
        assert "state" not in {
            one["name"] for one in (await post(http, session, "resources/list")).json()["result"]["resources"]
        }
        state = await post(http, session, "resources/read", uri="openenv://state")
        assert state.json()["error"]["code"] == -32002
        lent = await initialize(http, f"?session_id={session}")
        assert lent.status_code == 404
    for path in ("/ws", "/ws/ui"):
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(agents.url.replace("http", "ws") + path)


async def test_in_production_a_tool_needs_no_reset_and_nobody_is_told_the_reward(agents: Server):
    async with talking(agents) as http:
        session = await initialized(http)
        answer = (await call(http, session, "buy", count=2))["result"]
        assert answer["structuredContent"] == {"result": 1}
        assert answer["_meta"]["openenv/result"] == {"done": False}
        observation = await post(http, session, "resources/read", uri="openenv://observation")
        assert "reward" not in observation.json()["result"]["contents"][0]["text"]


async def test_tools_of_a_mode_are_had_in_that_mode_only(agents: Server, shop: Server):
    for server, text in ((agents, "real money"), (shop, "play money")):
        async with talking(server) as http:
            session = await initialized(http)
            assert (await call(http, session, "pay"))["result"]["content"][0]["text"] == text
