"""`GenericEnvClient`: a client of any environment, without its classes. Dictionaries in, dictionaries out."""

from __future__ import annotations

from typing import Any

from openenv.client.base import EnvClient


class GenericAction(dict[str, Any]):
    """An action as keyword arguments: `GenericAction(message="hi")`."""

    def __repr__(self) -> str:
        return f"GenericAction({', '.join(f'{name}={value!r}' for name, value in self.items())})"


class GenericEnvClient(EnvClient[dict[str, Any], dict[str, Any], dict[str, Any]]):
    """A client of any environment: actions, observations and states are dictionaries.

    Arrays and bytes inside them are what they were on the server.

    ```python
    async with GenericEnvClient(base_url="http://localhost:8000") as env:
        result = await env.reset()
        result = await env.step({"message": "hi"})
        print(result.observation["echoed_message"])
    ```
    """
