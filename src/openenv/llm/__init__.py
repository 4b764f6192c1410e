"""Models behind an endpoint: what is said to them, and what they answer."""

from openenv.llm.chat import Reply, ToolCall
from openenv.llm.endpoint import ChatEndpoint, Patience

__all__ = ["ChatEndpoint", "Patience", "Reply", "ToolCall"]
