"""PostgreSQL: a database and a role for each episode, copied from a template, dropped at its end.

The role may do what it wants in its own database and nothing else: it is no superuser, so files, programs and
extensions are closed to it, and it may connect nowhere else. Whatever looks into that database does so as that role,
for a view or a trigger of the agent's runs with the rights of whoever looks.
"""

import asyncio
import hashlib
import json
import secrets
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar

from openenv.errors import ConfigurationError, WorkspaceLostError

from .engines import DRIVERS, Answer, Database, Engine
from .postgres import PostgresServer

__all__ = ["PostgresEngine"]

GRACE_S = 2.0
CONNECT_S = 30.0
LINE_BYTES = 16 * 1024 * 1024
DRIVER_BYTES = 512 * 1024 * 1024
"""Address space of a driver; a result for which that is too little is an error of the statement."""
CONNECTIONS = 8
"""Connections that a role may have at one time: ours, and those that end slowly."""
OWNER = "sql_env_owner"
"""A role that cannot log in. It owns what a template has in it, and the role of an episode is a member."""


class PostgresEngine(Engine):
    """Makes databases on a server.

    Args:
        dsn: An existing server, as a role that may create databases and roles; None for a server of this process.

    Raises:
        ConfigurationError: The client library is not installed.
    """

    dialect = "postgres"
    _own: ClassVar[PostgresServer] = PostgresServer()

    def __init__(self, dsn: str | None = None) -> None:
        try:
            import psycopg  # noqa: F401
        except ImportError as error:
            raise ConfigurationError("PostgreSQL needs psycopg: pip install 'openenv-sql-env[postgres]'") from error
        self._dsn = dsn
        self._templates: dict[str, str] = {}
        self._lock = threading.Lock()

    async def open(self) -> Database:
        """See `Engine.open`."""
        await asyncio.to_thread(self.administrator)
        return PostgresDatabase(self)

    def administrator(self) -> str:
        """Return how an administrator connects; starts the server if need be."""
        return self._dsn or self._own.dsn()

    def execute(self, *statements: str, database: str | None = None) -> None:
        """Run statements as the administrator, each by itself.

        Raises:
            WorkspaceLostError: The server is gone, or refuses.
        """
        import psycopg

        named = {"dbname": database} if database else {}
        try:
            with psycopg.connect(self.administrator(), autocommit=True, **named) as connection:
                for statement in statements:
                    connection.execute(statement.encode())
        except psycopg.OperationalError as error:
            raise WorkspaceLostError(f"The PostgreSQL server does not do it: {error}") from error

    def template(self, script: str) -> str:
        """Return the name of a database that has what the script makes, made when it is first asked for.

        Raises:
            ConfigurationError: The script fails.
        """
        import psycopg

        with self._lock:
            server = self.administrator()
            key = hashlib.sha256(f"{server}\0{script}".encode()).hexdigest()
            if key not in self._templates:
                name = f"sql_env_template_{secrets.token_hex(8)}"
                self._make_owner()
                self.execute(f"CREATE DATABASE {name}", f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
                try:
                    self.execute(
                        f"ALTER SCHEMA public OWNER TO {OWNER}", f"SET ROLE {OWNER}", script, database=name
                    )
                except psycopg.Error as error:
                    self.execute(f"DROP DATABASE {name}")
                    raise ConfigurationError(f"The script of this task's database fails: {error}") from error
                self._templates[key] = name
            return self._templates[key]

    def _make_owner(self) -> None:
        import psycopg

        with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
            self.execute(f"CREATE ROLE {OWNER} NOLOGIN")

    def drop_templates(self) -> None:
        """Remove the templates of this engine; they are made again when they are needed."""
        with self._lock:
            self.execute(*(f"DROP DATABASE IF EXISTS {name}" for name in self._templates.values()))
            self._templates.clear()


class PostgresDatabase(Database):
    """A database and its role, of the same name.

    Args:
        engine: What it was made by.
    """

    def __init__(self, engine: PostgresEngine) -> None:
        self._engine = engine
        self._name = ""
        self._driver: Driver | None = None

    async def build(self, script: str) -> list[Answer]:
        """See `Database.build`."""
        await self.close()
        template = await asyncio.to_thread(self._engine.template, script)
        name = f"sql_env_{secrets.token_hex(8)}"
        self._name = name  # from here on there may be something to drop
        await asyncio.to_thread(
            self._engine.execute,
            f"CREATE ROLE {name} LOGIN CONNECTION LIMIT {CONNECTIONS} IN ROLE {OWNER}",
            f"CREATE DATABASE {name} TEMPLATE {template}",
            f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
            f"GRANT CONNECT, TEMPORARY ON DATABASE {name} TO {name}",
        )
        tables: list[Answer] = (await self._connected())["tables"]
        return tables

    async def ask(self, what: str, *, timeout_s: float, **fields: Any) -> Answer | None:
        """See `Database.ask`."""
        if self._driver is None:
            await self._connected()
        driver = self._driver
        assert driver is not None
        # The tables are looked at one after the other.
        seconds = timeout_s * max(1, len(fields.get("names", ()))) + GRACE_S
        answer = await driver.ask(seconds, do=what, timeout_s=timeout_s, **fields)
        if answer is None or (answer.get("error") or {}).get("type") == "ConnectionLost" or driver.ended:
            await self._disconnect()
        return answer

    async def close(self) -> None:
        """See `Database.close`."""
        await self._disconnect()
        name, self._name = self._name, ""
        if name:
            await asyncio.to_thread(
                self._engine.execute,
                f"DROP DATABASE IF EXISTS {name} WITH (FORCE)",
                f"DROP ROLE IF EXISTS {name}",
            )

    async def _connected(self) -> Answer:
        """Start a driver. The role begins with a new password and no settings, whatever the agent has made of it."""
        import psycopg
        from psycopg.conninfo import make_conninfo

        password = secrets.token_hex(16)
        await asyncio.to_thread(
            self._engine.execute,
            f"ALTER ROLE {self._name} PASSWORD '{password}'",
            f"ALTER ROLE {self._name} RESET ALL",
            f"ALTER ROLE {self._name} IN DATABASE {self._name} RESET ALL",
        )
        try:
            dsn = make_conninfo(
                self._engine.administrator(), user=self._name, dbname=self._name, password=password
            )
        except psycopg.Error as error:
            raise ConfigurationError(f"The DSN of the PostgreSQL server is wrong: {error}") from error
        self._driver = await Driver.start()
        answer = await self._driver.ask(CONNECT_S, do="connect", dsn=dsn)
        if answer is None:
            await self._disconnect()
            raise WorkspaceLostError("The PostgreSQL server takes no connection; its log says why")
        return answer

    async def _disconnect(self) -> None:
        """End the driver, and what it has under way in the server."""
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.end()
            await asyncio.to_thread(
                self._engine.execute,
                f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{self._name}'",
            )


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

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.returncode is not None

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
