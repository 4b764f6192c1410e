"""`EnvPool`: sessions on several servers, lent out one at a time.

A lease ends with its `with` block: the client it gave can do nothing more, and its session is reset before somebody
else gets it, so no lease ever sees the episode of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self

from openenv.client.faces import Faces
from openenv.client.lender import ClientT, Lender, PoolMetrics
from openenv.client.members import ServerStatus
from openenv.errors import ConfigurationError
from openenv.models import Nothing

if TYPE_CHECKING:
    from openenv.providers import Provider

__all__ = ["EnvPool", "Lease", "PoolMetrics", "ServerStatus"]

WAIT_S = 30.0
"""Seconds a lease waits for a free session by default."""


class EnvPool(Faces, Generic[ClientT]):
    """Lends sessions on several servers.

    ```python
    async with EnvPool(EchoEnv, urls=["http://a:8000", "http://b:8000"]) as pool:
        async with pool.lease() as env:
            result = await env.reset(seed=1)
    ```

    It can be entered in every way an `EnvClient` can; the clients it lends are called the same way. A lease gets
    the session of an earlier one if there is one, or else a new one on the server with the most room. Servers that
    fail are left out and tried again later.

    Args:
        client_class: The class of the clients.
        urls: Addresses of servers.
        providers: Start further servers when the pool is entered or first used, and stop them when it is closed.
        wait_s: Seconds a lease waits for a free session.
        reuse: Reset sessions that come back, and lend them again. Otherwise each lease has a session of its own.
        **client_options: Those of the client class, such as `message_timeout_s` or `headers`.

    Raises:
        ConfigurationError: There is neither an address nor a provider, or an option is wrong.
    """

    def __init__(
        self,
        client_class: type[ClientT],
        urls: Sequence[str] = (),
        *,
        providers: Sequence[Provider] = (),
        wait_s: float = WAIT_S,
        reuse: bool = True,
        **client_options: Any,
    ) -> None:
        if isinstance(urls, str) or not (urls or providers):
            raise ConfigurationError("A pool needs a list of urls or of providers")
        self._wait_s = wait_s
        self._lender = Lender(client_class, urls, providers, reuse, client_options)
        self._begin(self._lender)

    def lease(self, wait_s: float | None = None) -> Lease[ClientT]:
        """Return a context manager, for `async with` or `with`, that gives a client with a session of its own.

        Args:
            wait_s: Seconds to wait for a free session; by default those of the pool.

        Raises:
            SessionCapacityError: On entering: there was none in time. The message says how each server stands.
            OpenEnvError: On entering: a server has refused a session for another reason, or the pool was closed.
        """
        return Lease(self, self._wait_s if wait_s is None else wait_s)

    @property
    def metrics(self) -> PoolMetrics:
        """What the pool has done so far, and how its servers stand."""
        return self._lender.metrics()

    def sync(self) -> Self:
        """Return this pool for blocking calls."""
        self._block()
        return self

    async def _connected(self) -> Self:
        await self._lender.start()
        return self

    async def _closed(self) -> Nothing:
        await self._lender.close()
        return Nothing()


class Lease(Generic[ClientT]):
    """One loan of a session; see `EnvPool.lease`.

    Args:
        pool: Whose.
        wait_s: Seconds to wait for a free session.
    """

    def __init__(self, pool: EnvPool[ClientT], wait_s: float) -> None:
        self._pool = pool
        self._wait_s = wait_s
        self._client: ClientT | None = None

    async def __aenter__(self) -> ClientT:
        self._pool._settle_here()
        return self._entered(await self._pool._run(self._take))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        client = self._left()
        await self._pool._run(lambda: self._give_back(client))
        await client._run(client._closed)

    def __enter__(self) -> ClientT:
        self._pool._block()
        return self._entered(self._pool._start(self._take))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        client = self._left()
        self._pool._start(lambda: self._give_back(client))
        client.close()

    def _entered(self, client: ClientT) -> ClientT:
        client._settle_with(self._pool)
        self._client = client
        return client

    def _left(self) -> ClientT:
        assert self._client is not None, "a lease is entered once"
        client, self._client = self._client, None
        return client

    async def _take(self) -> ClientT:
        return await self._pool._lender.take(self._wait_s)

    async def _give_back(self, client: ClientT) -> None:
        self._pool._lender.give_back(client)
