"""The Model Context Protocol: every environment is an MCP server.

`Peer` is one client, whatever transport it comes by; `openenv.server.routes.mcp` and `openenv.cli.mcp` are the
transports. A call of a tool is a step of the peer's session; see design/010-tools-and-mcp.md.
"""

from openenv.server.mcp.peer import Peer

__all__ = ["Peer"]
