"""Old path of the clients of tools; they live in `openenv.client`."""

from openenv.client.mcp import GenericMCPObservation, MCPClientBase, MCPToolClient

__all__ = ["GenericMCPObservation", "MCPClientBase", "MCPToolClient"]
