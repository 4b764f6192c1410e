"""`EnvClient`: one class for every way of calling.

The client has an async core that lives on one event loop. How it is entered decides which loop, and what a call
returns; see the table in `EnvClient`. Results can be awaited and give themselves, so the annotations are true
of all ways.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, cast

from typing_extensions import TypeVar as DefaultTypeVar

from openenv import settings
from openenv.client.copying import Copying
from openenv.client.core import Core
from openenv.client.faces import inside_loop, running_loop
from openenv.client.link import Link, LinkOptions, mcp_url, websocket_url
from openenv.client.progress import OnProgress
from openenv.client.session_link import SessionLink
from openenv.client.tool_results import TOOL_ACTIONS, fits
from openenv.client.tools import ToolCalls
from openenv.errors import ConfigurationError, InvalidRequestError, OpenEnvError
from openenv.models import Action, EnvironmentMetadata, Nothing, Observation, State, StepResult
from openenv.protocol.client_codec import ClientCodec, reply_data
from openenv.protocol.formats import JSON, MSGPACK, Format, Incoming
from openenv.protocol.generics import type_arguments
from openenv.protocol.messages import SchemaResponse, ServerCapacityStatus
from openenv.providers.source import Source

if TYPE_CHECKING:
    from openenv.client.fleet import AutoresetMode
    from openenv.client.launch import Launch
    from openenv.client.sync import SyncEnvClient
    from openenv.client.vector import VectorEnvClient
    from openenv.providers import Provider

T = TypeVar("T")
ActionT = DefaultTypeVar("ActionT", default=Action)
ObservationT = DefaultTypeVar("ObservationT", default=Observation)
StateT = DefaultTypeVar("StateT", default=State)


class EnvClient(Copying, ToolCalls, Generic[ActionT, ObservationT, StateT]):
    """A typed client of one environment, holding one session.

    ```python
    class EchoEnv(EnvClient[EchoAction, EchoObservation, State]): ...

    async with EchoEnv(base_url="http://localhost:8000") as env:      # async
        result = await env.reset(seed=1)

    with EchoEnv(base_url="http://localhost:8000") as env:            # blocking; `.sync()` is the same
        result = env.reset(seed=1)
    ```

    | entered by | a call returns |
    |---|---|
    | `async with`, `await client.connect()`, `await client` | a coroutine |
    | `with`, `.sync()` | the result |
    | not at all, no event loop running | the result |
    | not at all, inside a running event loop | something that can be awaited or used directly (`Pending`) |

    A client that is not entered connects with its first call; close it with `close()`.

    The types come from the type arguments, or from `action_types`, `observation_type` and `state_type`. Override
    `_step_payload`, `_parse_result` or `_parse_state` only for a wire form of your own.

    Args:
        base_url: Address of the server, `http://host:port`.
        connect_timeout_s: Seconds to get a connection.
        message_timeout_s: Seconds to get an answer, or to hear of progress.
        max_message_size_mb: Largest message in either direction, MiB.
        websocket_ping_interval_s: Seconds between keep-alive pings; None for none.
        websocket_ping_timeout_s: Seconds without an answer to a ping after which the connection counts as lost.
        provider: Starts the server when the client connects, and stops it when the client is closed.
        mode: `simulation` (default), or `production`: an agent's, which has only tools. `reset`, `step` and `state`
            raise ToolsOnlyError there; an episode begins with the first call of a tool.
        headers: HTTP headers of the handshake, such as `Authorization`.
        on_progress: Told how far a long reset or step is, if its environment says so; a function or a coroutine
            function, called on the client's event loop. Blocking callers get it on another thread than theirs.

    Raises:
        ConfigurationError: Neither address nor provider, or an unknown mode.
    """

    action_types: ClassVar[Sequence[Any]] = ()
    observation_type: ClassVar[Any] = None
    state_type: ClassVar[Any] = None
    _quick: ClassVar[bool] = True  # requests wait for nothing but futures

    def __init__(
        self,
        base_url: str | None = None,
        connect_timeout_s: float = 10.0,
        message_timeout_s: float = 60.0,
        max_message_size_mb: float = 100.0,
        websocket_ping_interval_s: float | None = 20.0,
        websocket_ping_timeout_s: float | None = 20.0,
        provider: Provider | None = None,
        mode: str | None = None,
        headers: Mapping[str, str] | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        if base_url is None and provider is None:
            raise ConfigurationError(f"{type(self).__name__} needs a base_url or a provider")
        mode = mode or settings.client_mode()
        if mode not in ("simulation", "production"):
            raise ConfigurationError(f"mode is simulation or production, not {mode!r}")
        self._options = LinkOptions(
            connect_timeout_s,
            message_timeout_s,
            max_message_size_mb,
            websocket_ping_interval_s,
            websocket_ping_timeout_s,
            dict(headers or {}),
            on_progress,
        )
        self._mode = mode
        self._provider = provider
        self._core = Core(_weakly(self._make_link), base_url, provider, Source.of(type(self)))
        self._codec = _codec_of(type(self))
        self._begin(self._core)
        self._forks = weakref.WeakSet()
        cls = type(self)
        self._typed_payload = cls._step_payload is EnvClient._step_payload
        self._typed_result = cls._parse_result is EnvClient._parse_result
        self._typed_state = cls._parse_state is EnvClient._parse_state

    # --- the three verbs -------------------------------------------------------------------------

    def reset(self, /, *, on_progress: OnProgress | None = None, **kwargs: Any) -> StepResult[ObservationT]:
        """Start a new episode.

        Args:
            on_progress: Told how far it is, instead of the client's own.
            **kwargs: `seed`, `episode_id`, and whatever else the environment's `reset` takes.

        Returns:
            The first observation. `info["warnings"]` names arguments the environment does not take.

        Raises:
            RequestError: The server refused it, or the environment failed.
        """
        return self._call(lambda: self._reset(kwargs, on_progress), quick=self._quick)

    def step(
        self,
        action: ActionT,
        *,
        timeout_s: float | None = None,
        on_progress: OnProgress | None = None,
        **kwargs: Any,
    ) -> StepResult[ObservationT]:
        """Execute one action.

        Args:
            action: A model, or a dictionary of its fields.
            timeout_s: Seconds this step may take. The server stops it then, as it does when its own step budget is
                used up; that budget, and `message_timeout_s`, are not made longer by it. A server that speaks
                version 1 only is not told: the step goes on there, and its answer is dropped.
            on_progress: Told how far it is, instead of the client's own.
            **kwargs: Accepted for older programs, and not sent: there is no place for them on the wire.

        Raises:
            NotResetError: There is no episode yet.
            EpisodeEndedError: The episode is over.
            ExecutionError: The environment raised; the message says what.
            BudgetExceededError: It took longer than it may.
            SessionLost: The connection was lost, and the episode with it. Never stepped on a new environment.
        """
        if timeout_s is None and on_progress is None:
            if self._home is not None and self._home is running_loop():  # as `_call` finds out too, more slowly
                return self._step(action)  # type: ignore[return-value]
            return self._call(lambda: self._step(action), quick=self._quick)
        return self._call(lambda: self._limited_step(action, timeout_s, on_progress), quick=self._quick)

    def state(self) -> StateT:
        """Return where the episode stands."""
        return self._call(self._state, quick=self._quick)

    def cancel(self) -> bool:
        """Stop a reset or step that is under way, from another task or thread.

        Its caller gets RequestCancelledError, and the episode is over: `reset()` starts the next one on a new
        environment. Abandoning a call, by `asyncio.wait_for` for example, does not stop it on the server; its
        answer is dropped when it comes and the episode goes on.

        Returns:
            Whether there was anything to stop; always False over version 1 and plain HTTP, which can not.
        """
        return self._call(self._core.cancel)

    # --- about the server ------------------------------------------------------------------------

    def schema(self) -> SchemaResponse:
        """Return the JSON Schemas of the environment's types."""
        return self._call(lambda: self._core.get("/schema", SchemaResponse, self._options.headers))

    def metadata(self) -> EnvironmentMetadata:
        """Return what the environment says about itself."""
        return self._call(lambda: self._core.get("/metadata", EnvironmentMetadata, self._options.headers))

    def capacity(self) -> ServerCapacityStatus:
        """Return how many sessions the server has and may have."""
        return self._call(lambda: self._core.get("/capacity", ServerCapacityStatus, self._options.headers))

    @property
    def base_url(self) -> str | None:
        """Address of the server; None until a provider has started it."""
        return self._core.base_url

    # --- beginning and end -----------------------------------------------------------------------

    def close(self) -> Nothing:
        """End the session, the connection, and the server if this client's provider started it.

        May be called more than once. Afterwards `reset()` would open a new session. In a fork it does nothing,
        for the connection is the parent's.
        """
        return super().close()

    def new_session(self) -> Self:
        """Return another client of the same server, with a session of its own.

        Raises:
            ConfigurationError: The provider has not started the server yet; connect this client first.
        """
        if self._core.base_url is None:
            raise ConfigurationError("There is no server yet that could hold another session; connect() first")
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._provider = None
        twin._core = Core(_weakly(twin._make_link), self._core.base_url)
        twin._begin(twin._core)
        twin._forks = weakref.WeakSet()
        twin.forked_at = None
        twin.last_result = None
        return twin

    def sync(self) -> SyncEnvClient[ActionT, ObservationT, StateT]:
        """Return the blocking face, in which every call returns its result."""
        from openenv.client.sync import SyncEnvClient

        return SyncEnvClient(self)

    # --- servers of its own ----------------------------------------------------------------------

    @classmethod
    def with_provider(cls, provider: Provider, **kwargs: Any) -> Launch[Self]:
        """Start servers by a provider, for the length of a `with` or `async with`.

        Args:
            provider: Starts them. If it was made without a target, it starts this class's own environment.
            **kwargs: Passed to each client.

        Returns:
            A context manager that gives a connected client, or a list of `provider.replicas` of them if
            there are several.
        """
        from openenv.client.launch import Launch

        return Launch(cls, provider, kwargs)

    @classmethod
    def vector(
        cls,
        base_url: str | None = None,
        num_envs: int = 64,
        connections: int | None = None,
        autoreset: AutoresetMode | str = "Disabled",
        **client_options: Any,
    ) -> VectorEnvClient[ActionT, ObservationT, StateT]:
        """Return many sessions as one object; see `VectorEnvClient`, whose arguments these are."""
        from openenv.client.vector import VectorEnvClient

        return VectorEnvClient(cls, base_url, num_envs, connections, autoreset, **client_options)

    @classmethod
    def from_docker_image(cls, image: str, provider: Provider | None = None, **kwargs: Any) -> Self:
        """Start a container and return its client; `await` it, call `.sync()` on it, or just use it.

        Args:
            image: Name of the image, such as `echo-env:latest`.
            provider: Starts it; the local Docker engine by default.
            **kwargs: Passed to the provider's `start`.
        """
        from openenv.providers import get_provider

        client = cls(provider=provider or get_provider("docker"))
        client._core.source = replace(Source.of(cls), image=image)
        client._core.start_options = kwargs
        if not inside_loop():  # nobody can await it, so the container is to be there when this returns
            try:
                client._call(client._connected)
            except BaseException:
                client.close()
                raise
        return client

    async def _abandon(self) -> None:
        """Give up the session, without a fault if it does not answer; a reset opens another."""
        for link in self._core.hand_over("The session was given up; reset() starts a new session"):
            with suppress(OpenEnvError):
                await link.close()

    # --- for a wire form of one's own ------------------------------------------------------------

    def _step_payload(self, action: ActionT) -> dict[str, Any]:
        """Return the dictionary to send for an action."""
        return self._codec.payload(action)

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[ObservationT]:
        """Return the result that `{"observation", "reward", "done", "metadata"?}` stands for."""
        return self._codec.parse_result(payload)

    def _parse_state(self, payload: dict[str, Any]) -> StateT:
        """Return the state that its JSON object stands for."""
        return cast("StateT", self._codec.parse_state(payload))

    def _make_link(self, base_url: str) -> Link:
        if self._mode == "production":
            from openenv.client.rpc_link import RpcLink

            return RpcLink(mcp_url(base_url), self._options, partial(fits, self._codec))
        return SessionLink(websocket_url(base_url), self._options, MSGPACK if self._codec.binary else JSON)

    @property
    def _base_url(self) -> str | None:
        return self._core.base_url

    @property
    def _ws_url(self) -> str | None:
        return websocket_url(self._core.base_url) if self._core.base_url else None

    @property
    def _ws(self) -> Any:
        return getattr(self._core.link, "socket", None)

    # --- the async core --------------------------------------------------------------------------

    async def _reset(self, arguments: dict[str, Any], on_progress: OnProgress | None) -> StepResult[ObservationT]:
        link = await self._core.live(again=True)
        self._forget_tools()
        data = link.format.pack(arguments, "reset arguments")
        reply = await link.request("reset", data, None, on_progress)
        return self._result(reply)

    async def _step(self, action: ActionT) -> StepResult[ObservationT]:
        if type(action) in TOOL_ACTIONS:
            return await self._tool_step(action)
        link = self._core.link
        if link is None:
            link = await self._core.live()
        # A link that is lost says so, every time.
        if self._typed_payload and self._typed_result:
            codec = self._codec
            return codec.answer(await link.request("step", codec.pack_action(action, link.format)))
        return self._result(await link.request("step", self._pack_action(action, link.format)))

    async def _limited_step(
        self, action: ActionT, timeout_s: float | None, on_progress: OnProgress | None
    ) -> StepResult[ObservationT]:
        if timeout_s is not None and not 0 < timeout_s < math.inf:
            raise InvalidRequestError(f"timeout_s is a number of seconds above 0, not {timeout_s!r}")
        limit = None if timeout_s is None else float(timeout_s)
        if type(action) in TOOL_ACTIONS:
            return await self._tool_step(action, limit, on_progress)
        link = await self._core.live()
        data = self._pack_action(action, link.format)
        return self._result(await link.request("step", data, limit, on_progress))

    def _pack_action(self, action: ActionT, form: Format) -> bytes:
        if self._typed_payload:
            return self._codec.pack_action(action, form)
        return form.pack(self._step_payload(action), "action")

    async def _state(self) -> StateT:
        link = await self._core.live()
        return self._read_state((await link.request("state")).raw)

    def _read_state(self, raw: bytes | dict[str, Any]) -> StateT:
        if self._typed_state:
            return cast("StateT", self._codec.state(raw))
        return self._parse_state(reply_data(raw))

    def _result(self, reply: Incoming) -> StepResult[ObservationT]:
        if self._typed_result:
            return self._codec.answer(reply)
        return self._parse_result(reply_data(reply.raw))

    async def _connected(self) -> Self:
        await self._core.connect()
        return self

    async def _closed(self) -> Nothing:
        await self._close_forks()
        await self._core.close()
        return Nothing()


def _weakly(make_link: Callable[[str], Link]) -> Callable[[str], Link]:
    """Return a method that does not keep its client alive, so that one nobody closed is found and ended."""
    method = weakref.WeakMethod(make_link)

    def call(base_url: str) -> Link:
        function = method()
        assert function is not None  # whoever connects holds the client
        return function(base_url)

    return call


_codecs: dict[type, ClientCodec] = {}


def _codec_of(cls: type[EnvClient[Any, Any, Any]]) -> ClientCodec:
    """Return the codec of a client class, made once."""
    if cls not in _codecs:
        arguments = dict(zip(("action", "observation", "state"), type_arguments(cls, EnvClient), strict=False))
        action = tuple(cls.action_types) or arguments.get("action")
        observation = cls.observation_type or arguments.get("observation") or Observation
        state = cls.state_type or arguments.get("state") or State
        _codecs[cls] = ClientCodec(action, observation, state)
    return _codecs[cls]
