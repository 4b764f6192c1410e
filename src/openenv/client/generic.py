"""`GenericEnvClient`: a client of any environment, without its classes. Dictionaries in, dictionaries out."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from openenv.client.base import EnvClient
from openenv.models import Settled


class GenericAction(dict[str, Any]):
    """An action as keyword arguments: `GenericAction(message="hi")`."""

    def __repr__(self) -> str:
        return f"GenericAction({', '.join(f'{name}={value!r}' for name, value in self.items())})"


class GenericState(Settled, dict[str, Any]):
    """A state as a dictionary. Awaiting it gives itself, so that `state()` has one type in every way of calling."""


class GenericEnvClient(EnvClient[dict[str, Any], dict[str, Any], GenericState]):
    """A client of any environment: actions, observations and states are dictionaries.

    Arrays and bytes inside them are what they were on the server.

    ```python
    async with GenericEnvClient(base_url="http://localhost:8000") as env:
        result = await env.reset()
        result = await env.step({"message": "hi"})
        print(result.observation["echoed_message"])
    ```
    """

    state_type: ClassVar[Any] = dict[str, Any]

    def _read_state(self, raw: Any) -> GenericState:
        return GenericState(cast("dict[str, Any]", super()._read_state(raw)))
