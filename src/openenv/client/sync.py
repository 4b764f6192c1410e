"""`SyncEnvClient`: the blocking face of a client, with types that say so."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, cast

from openenv.client.base import ActionT, ObservationT, StateT
from openenv.client.copying import SnapshotId
from openenv.client.progress import OnProgress
from openenv.mcp.types import Tool
from openenv.models import EnvironmentMetadata, EpisodePoint, StepResult
from openenv.protocol.messages import SchemaResponse, ServerCapacityStatus

if TYPE_CHECKING:
    from openenv.client.base import EnvClient


class SyncEnvClient(Generic[ActionT, ObservationT, StateT]):
    """A client whose every call blocks and returns its result. Get one by `client.sync()`.

    Attributes and methods that a client class adds are found here too.

    Args:
        client: The client to call.
    """

    def __init__(self, client: EnvClient[ActionT, ObservationT, StateT]) -> None:
        client._block()
        self._client = client

    @property
    def async_client(self) -> EnvClient[ActionT, ObservationT, StateT]:
        """The client behind this face."""
        return self._client

    def reset(self, /, *, on_progress: OnProgress | None = None, **kwargs: Any) -> StepResult[ObservationT]:
        """Start a new episode; see `EnvClient.reset`."""
        return self._client.reset(on_progress=on_progress, **kwargs)

    def step(
        self,
        action: ActionT,
        *,
        timeout_s: float | None = None,
        on_progress: OnProgress | None = None,
        **kwargs: Any,
    ) -> StepResult[ObservationT]:
        """Execute one action; see `EnvClient.step`."""
        return self._client.step(action, timeout_s=timeout_s, on_progress=on_progress, **kwargs)

    def state(self) -> StateT:
        """Return where the episode stands."""
        return self._client.state()

    def snapshot(self) -> SnapshotId:
        """Keep the state of the episode; see `EnvClient.snapshot`."""
        return self._client.snapshot()

    def restore(self, snapshot_id: str) -> EpisodePoint:
        """Put the session into a state that was kept; see `EnvClient.restore`."""
        return self._client.restore(snapshot_id)

    def fork(
        self, count: int = 1, *, seeds: Sequence[int] | None = None
    ) -> list[SyncEnvClient[ActionT, ObservationT, StateT]]:
        """Return the blocking faces of sessions that go on from here; see `EnvClient.fork`."""
        return [fork.sync() for fork in self._client.fork(count, seeds=seeds)]

    def list_tools(self, use_cache: bool = True) -> list[Tool]:
        """Return the tools of the environment; see `EnvClient.list_tools`."""
        return self._client.list_tools(use_cache)

    def get_tool(self, name: str) -> Tool | None:
        """Return the tool of a name, or None."""
        return cast("Tool | None", self._client.get_tool(name))

    def has_tool(self, name: str) -> bool:
        """Return whether there is a tool of a name."""
        return cast("bool", self._client.has_tool(name))

    def call_tool(self, name: str, /, **arguments: Any) -> Any:
        """Call a tool, which is a step, and return what it returned; see `EnvClient.call_tool`."""
        return self._client.call_tool(name, **arguments)

    @property
    def last_result(self) -> StepResult[Any] | None:
        """The result of the last tool called; None before the first."""
        return self._client.last_result

    def openai_tools(self) -> list[dict[str, Any]]:
        """Return the tools as the `tools` of a request to OpenAI's API."""
        return self._client.openai_tools()

    def anthropic_tools(self) -> list[dict[str, Any]]:
        """Return the tools as the `tools` of a request to Anthropic's API."""
        return self._client.anthropic_tools()

    def schema(self) -> SchemaResponse:
        """Return the JSON Schemas of the environment's types."""
        return self._client.schema()

    def metadata(self) -> EnvironmentMetadata:
        """Return what the environment says about itself."""
        return self._client.metadata()

    def capacity(self) -> ServerCapacityStatus:
        """Return how many sessions the server has and may have."""
        return self._client.capacity()

    def connect(self) -> Self:
        """Connect now rather than with the first call."""
        self._client.connect()
        return self

    def disconnect(self) -> None:
        """Do what `close` does."""
        self._client.close()

    def close(self) -> None:
        """End the session and the connection; see `EnvClient.close`."""
        self._client.close()

    def new_session(self) -> SyncEnvClient[ActionT, ObservationT, StateT]:
        """Return the blocking face of another session on the same server."""
        return self._client.new_session().sync()

    def __enter__(self) -> Self:
        return self.connect()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name == "_client":  # a copy that is being made has none yet
            raise AttributeError(name)
        return getattr(self._client, name)
