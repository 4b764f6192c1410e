"""Servers made with the official SDK and with FastMCP, unmodified: over HTTP in a test, over stdio as a program."""

import sys
from dataclasses import dataclass

from mcp.server.mcpserver import Image, MCPServer


@dataclass
class Point:
    x: int
    y: int


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


def words(text: str) -> list[str]:
    """Split a text."""
    return text.split()


def point(x: int) -> Point:
    """Make a point."""
    return Point(x, 2 * x)


def table() -> dict[str, int]:
    """Give what looks wrapped and is not."""
    return {"result": 1}


def nothing() -> None:
    """Return nothing."""


def broken() -> int:
    """Raise."""
    raise LookupError("it is not there")


def sdk_server() -> MCPServer:
    server = MCPServer("sdk")
    for function in (add, words, point, table, nothing, broken, picture):
        server.tool()(function)
    return server


def picture() -> Image:
    """Draw a dot."""
    return Image(data=b"dot", format="png")


def fastmcp_server():
    from fastmcp import FastMCP

    server = FastMCP("fast")
    for function in (add, words, point, table, nothing, broken):
        server.tool(function)
    return server


if __name__ == "__main__":
    {"sdk": sdk_server, "fastmcp": fastmcp_server}[sys.argv[1]]().run()
