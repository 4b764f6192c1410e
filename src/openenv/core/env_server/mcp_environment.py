"""Old path of environments of tools; they live in `openenv.mcp`."""

from openenv.mcp.environment import MCPEnvironment

__all__ = ["MCPEnvironment"]
