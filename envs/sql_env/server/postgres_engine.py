"""PostgreSQL: a database and a role for each episode, copied from a template, dropped at its end.

The role may do what it wants in its own database and nothing else: it is no superuser, so files, programs and
extensions are closed to it, and it may connect nowhere else. Whatever looks into that database does so as that
role, for a view or a trigger of the agent's runs with the rights of whoever looks.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from openenv.environment import unforkable
from openenv.errors import ConfigurationError, WorkspaceLostError

from .engines import DRIVERS, Answer, Database, Engine, built, drivers_share, lost

if TYPE_CHECKING:
    from .cluster import Cluster

__all__ = ["PostgresEngine"]

CONNECT_S = 30.0
LINE_BYTES = 16 * 1024 * 1024
DRIVER_BYTES = 512 * 1024 * 1024
"""Address space of a driver; a result for which that is too little is an error of the statement."""


class PostgresEngine(Engine):
    """Makes databases on a server.

    Args:
        dsn: An existing server, as a role that may create databases and roles; None for a server of this process.

    Raises:
        ConfigurationError: The client library is not installed.
    """

    dialect = "postgres"

    def __init__(self, dsn: str | None = None) -> None:
        try:
            from .cluster import Cluster
        except ImportError as error:
            raise ConfigurationError("PostgreSQL needs psycopg: pip install 'openenv-sql-env[postgres]'") from error
        self.cluster = Cluster.of(dsn)

    async def open(self) -> Database:
        """See `Engine.open`."""
        await asyncio.to_thread(self.cluster.administrator)
        return PostgresDatabase(self.cluster)


class PostgresDatabase(Database):
    """A database and its role, of the same name.

    Args:
        cluster: The server.
    """

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._name = ""
        self._driver: Driver | None = None
        self._connected = False
        self._held = ExitStack()
        self._held.enter_context(unforkable.holding("a connection to PostgreSQL"))

    async def build(self, script: str) -> list[Answer]:
        """See `Database.build`."""
        await self._drop()
        self._name = await asyncio.to_thread(self._cluster.make, script)
        return built(await self._connect())

    async def ask(self, what: str, *, timeout_s: float, **fields: Any) -> Answer:
        """See `Database.ask`."""
        if not self._connected:
            await self._connect()
        # The tables are looked at one after the other.
        within_s = timeout_s * max(1, len(fields.get("names", ())))
        share_s = drivers_share(timeout_s)
        answer = await self._driver_asked(within_s, do=what, timeout_s=share_s, **fields)
        self._connected = not answer["lost"]
        return answer

    async def close(self) -> None:
        """See `Database.close`."""
        self._held.close()
        await self._end_driver()
        await self._drop()

    async def _drop(self) -> None:
        name, self._name, self._connected = self._name, "", False
        if name:
            await asyncio.to_thread(self._cluster.drop, name)

    async def _connect(self) -> Answer:
        """Connect as the role, with a new password and no settings, whatever the agent has made of them."""
        from psycopg.conninfo import make_conninfo

        password = await asyncio.to_thread(self._cluster.password, self._name)
        administrator = await asyncio.to_thread(self._cluster.administrator)
        dsn = make_conninfo(administrator, user=self._name, dbname=self._name, password=password)
        answer = await self._driver_asked(CONNECT_S, do="connect", dsn=dsn)
        if answer["lost"]:
            raise WorkspaceLostError("The PostgreSQL server takes no connection; its log says why")
        self._connected = True
        return answer

    async def _driver_asked(self, within_s: float, **request: Any) -> Answer:
        if self._driver is None:
            self._driver = await Driver.start()
        started = time.monotonic()
        answer = await self._driver.ask(within_s, **request)
        if answer is None:
            await self._end_driver()
            return lost(late=time.monotonic() - started >= within_s)
        return answer

    async def _end_driver(self) -> None:
        driver, self._driver, self._connected = self._driver, None, False
        if driver is not None:
            await driver.end()


class Driver:
    """A process that holds a connection.

    Args:
        process: The process; it belongs to this object.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> "Driver":
        """Start one."""
        command: Sequence[str] = (sys.executable, str(DRIVERS / "postgres_driver.py"), str(DRIVER_BYTES))
        return cls(
            await asyncio.create_subprocess_exec(
                *command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                limit=LINE_BYTES,
                cwd="/",
            )
        )

    async def ask(self, within_s: float, **request: Any) -> Answer | None:
        """Ask something; None if there is no answer in time, or it has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(TimeoutError, ConnectionError, ValueError):
            async with asyncio.timeout(within_s):
                self._process.stdin.write(json.dumps(request).encode() + b"\n")
                await self._process.stdin.drain()
                line = await self._process.stdout.readline()
                return json.loads(line) if line.endswith(b"\n") else None
        return None

    async def end(self) -> None:
        """End it and wait until it is gone."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
