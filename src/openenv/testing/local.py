"""An environment served inside the test's own process: the real sessions and the real wire, and no socket.

`LocalServer` is a server without its web framework. Its clients are real clients, so frames are encoded, decoded
and refused just as they are over a network; only the bytes are handed over by a call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Any, Self, TypeVar

from openenv.client.base import EnvClient
from openenv.client.calls import late
from openenv.client.progress import OnProgress
from openenv.environment.adapter import Shape
from openenv.errors import ConfigurationError, SessionLost
from openenv.mcp.actions import ActionTools
from openenv.models import State
from openenv.protocol.codec import ServerCodec
from openenv.protocol.encoding import frame
from openenv.protocol.formats import JSON, Incoming
from openenv.protocol.unions import members
from openenv.server.connection import Connection
from openenv.server.given import as_factory, concurrency
from openenv.server.manager import SessionManager
from openenv.settings import max_message_size

__all__ = ["LocalServer"]

ClientT = TypeVar("ClientT", bound=EnvClient[Any, Any, Any])


class LocalServer:
    """Serves an environment on the running event loop.

    ```python
    async with LocalServer(EchoEnvironment) as server, server.client(EchoEnv) as env:
        await env.reset(seed=1)
    ```

    Args:
        environment: An environment class, a function that makes one, or one instance.
        action: The action class or union; taken from the class if not given.
        observation: The observation class; likewise.
        state: The state class; likewise.
        max_concurrent_envs: Sessions at once; by default as many as the class allows in one process.
        strict: Refuse arguments that the environment does not declare, instead of warning.

    Raises:
        ConfigurationError: It can not be served, or its types are not known.
    """

    def __init__(
        self,
        environment: Any,
        *,
        action: Any = None,
        observation: Any = None,
        state: Any = None,
        max_concurrent_envs: int | None = None,
        strict: bool = False,
    ) -> None:
        factory, shared = as_factory(environment)
        cls = type(environment) if shared else environment
        shape = Shape.of(cls) if isinstance(cls, type) else None
        if shape is None and (action is None or observation is None):
            raise ConfigurationError("Give action and observation: a factory does not tell its types")
        self.action = action or (shape and shape.action)
        self.observation = observation or (shape and shape.observation)
        self.state = state or (shape.state if shape else State)
        self.codec = ServerCodec(self.action, self.observation, self.state)
        self.manager = SessionManager(
            factory,
            concurrency(environment, shared, None, max_concurrent_envs),
            shared=shared,
            strict=strict,
            tools=ActionTools(self.action, self.observation),
        )

    def client(self, client_class: type[ClientT] | None = None, **options: Any) -> ClientT:
        """Return a new client with a session of its own, to be entered with `async with`.

        It plays episodes; what is asked with plain HTTP, such as `client.schema()`, has nobody to answer it.

        Args:
            client_class: Its class; by default one with the environment's types.
            **options: Keyword arguments of the class.
        """
        cls = client_class or self._client_class()
        own_link = {"_make_link": lambda _client, _url: LocalLink(self)}
        local: type[ClientT] = type(cls.__name__, (cls,), own_link)
        return local("http://in.this.process", **options)

    async def close(self) -> None:
        """End all sessions and wait until their environments are closed."""
        await self.manager.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _client_class(self) -> Any:
        types = {
            "action_types": members(self.action),
            "observation_type": self.observation,
            "state_type": self.state,
        }
        return type("LocalClient", (EnvClient,), types)


class LocalLink:
    """The client's side of one connection to a `LocalServer`; a `Link`."""

    format = JSON

    def __init__(self, server: LocalServer) -> None:
        self.late_replies = 0
        self._server = server
        self._connection: Connection | None = None
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._last_words: bytes | None = None

    @property
    def connected(self) -> bool:
        """Whether requests can be sent, or an answer is there that nobody has got yet."""
        return self._connection is not None or self._last_words is not None

    async def connect(self) -> None:
        """See `Link.connect`."""
        self._connection = Connection(
            self._server.manager, self._server.codec, self._received, self._closed, max_size=max_message_size()
        )
        self._connection.opened()

    async def request(
        self,
        verb: str,
        data: bytes | None = None,
        timeout_s: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> Incoming:
        """See `Link.request`."""
        asked = frame(verb, data) if data is not None else b'{"type":"%s"}' % verb.encode()
        try:
            async with asyncio.timeout(timeout_s):
                return Incoming(None, verb, await self.send(asked))
        except TimeoutError:
            assert timeout_s is not None
            raise late(verb, timeout_s, own=True) from None

    async def send(self, raw: bytes | str) -> bytes:
        """Send a frame as it is, however wrong, and return the frame that answers it.

        Raises:
            SessionLost: The connection is closed.
        """
        if self._last_words is not None:
            answer, self._last_words = self._last_words, None
            return answer
        if self._connection is None:
            raise SessionLost("The connection was closed, and the session with it; reset() starts a new one")
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(reply)
        self._connection.received(raw)
        return await reply

    async def cancel(self) -> bool:
        """See `Link.cancel`: version 1 has no way to."""
        return False

    async def close(self) -> None:
        """See `Link.close`."""
        if self._connection is not None:
            self._connection.received('{"type":"close"}')

    def _received(self, raw: bytes) -> None:
        if not self._waiting:  # the server has ended the session unasked
            self._last_words = raw
            return
        reply = self._waiting.popleft()
        if reply.done():
            self.late_replies += 1
        else:
            reply.set_result(raw)

    def _closed(self, _code: int) -> None:
        self._connection = None
        for reply in self._waiting:
            if not reply.done():
                reply.set_exception(SessionLost("The server has closed the connection, and the session with it"))
        self._waiting.clear()
