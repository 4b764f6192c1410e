"""Servers that misbehave, for providers that are given `module:app`."""

import os
import sys
from typing import Any


async def unready(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer everything with 503."""
    if scope["type"] == "http":
        await _answer(send, 503, b"")


async def mortal(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Be healthy, and end on `POST /die`."""
    if scope["type"] != "http":
        return
    await _answer(send, 200, b'{"status":"healthy"}')
    if scope["path"] == "/die":
        print("so long", flush=True)
        os._exit(7)


async def _answer(send: Any, status: int, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body})


def __getattr__(name: str) -> object:
    """Make the two that end before they serve."""
    if name == "dying":
        print("the weights are missing", file=sys.stderr, flush=True)
    elif name == "telling":
        print("the token is", os.environ["ODD_TOKEN"], file=sys.stderr, flush=True)
    else:
        raise AttributeError(name)
    sys.exit(3)
