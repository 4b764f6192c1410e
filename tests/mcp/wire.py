"""MCP by hand: requests as they are on the wire, for what no client would send."""

from typing import Any

import httpx

HEADERS = {"Accept": "application/json, text/event-stream"}


def message(method: str, id_: Any = 2, **params: Any) -> dict[str, Any]:
    """Return a request."""
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}


async def initialize(http: httpx.AsyncClient, query: str = "", revision: str = "2025-06-18") -> httpx.Response:
    """Shake hands."""
    params = {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    return await http.post(f"/mcp{query}", json=message("initialize", 1, **params), headers=HEADERS)


async def initialized(http: httpx.AsyncClient) -> str:
    """Shake hands and return the id of the session."""
    answer = await initialize(http)
    assert answer.status_code == 200, answer.text
    return answer.headers["mcp-session-id"]


async def post(http: httpx.AsyncClient, session: str, method: str, id_: Any = 2, **params: Any) -> httpx.Response:
    """Send a request in a session."""
    headers = {**HEADERS, "Mcp-Session-Id": session}
    return await http.post("/mcp", json=message(method, id_, **params), headers=headers)


async def call(http: httpx.AsyncClient, session: str, name: str, id_: Any = 2, **arguments: Any) -> dict[str, Any]:
    """Call a tool in a session and return the whole answer."""
    return (await post(http, session, "tools/call", id_, name=name, arguments=arguments)).json()
