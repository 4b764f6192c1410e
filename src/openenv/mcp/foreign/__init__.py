"""Every MCP server is an environment: `MCPServerEnvironment`.

```
environment.py   episodes, rewards, what the agent sees          MCPServerEnvironment
sharing.py       who uses which connection                       acquire, release
connection.py    one conversation with a server, in a task       Connection
address.py       what a server is: a command or a URL            ServerAddress
child.py         the wire to a command                           ChildTransport
remote.py        the wires to a URL                              transports
results.py       what came back, as an observation               CallToolObservation
```

The conversation itself is the official SDK's, which is the extra `mcp`.
"""

from openenv.errors import ConfigurationError

try:
    import mcp

    mcp.Client  # noqa: B018 - version 1 has none
except (ImportError, AttributeError) as error:
    raise ConfigurationError(
        "MCP servers are spoken to with version 2 of the official SDK: pip install 'openenv[mcp]'"
    ) from error

from openenv.mcp.foreign.environment import MCPServerEnvironment

__all__ = ["MCPServerEnvironment"]
