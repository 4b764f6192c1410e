"""What the administrator does on a PostgreSQL server: the templates, databases and roles of episodes.

Whatever is made is named for the run of the process that made it, and each run holds a lock in the server for as
long as the process lives. So what a process has left behind that was killed is known, and the next one removes it.
"""

import atexit
import hashlib
import os
import secrets
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, ClassVar

import psycopg

from openenv.errors import ConfigurationError, WorkspaceLostError

from .postgres import PostgresServer

__all__ = ["Cluster"]

PREFIX = "sql_env_"
OWNER = "sql_env_owner"
"""A role that cannot log in. It owns what a template has in it, and the role of an episode is a member."""
SETTINGS = ("temp_file_limit = '256MB'", "idle_in_transaction_session_timeout = '10min'")
CONNECTIONS = 8
"""Connections that a role may have at one time: ours, and those that end slowly."""


class Cluster:
    """A server, as its administrator sees it. All of this blocks.

    Args:
        dsn: An existing server, as a role that may create databases and roles; None for a server of this process.
    """

    _known: ClassVar[dict[tuple[int, str | None], "Cluster"]] = {}

    def __init__(self, dsn: str | None) -> None:
        self._dsn = dsn
        self._server = PostgresServer()
        self._lock = threading.Lock()
        self._begun = ""
        self._run = ""
        self._held: psycopg.Connection[Any] | None = None
        self._templates: dict[str, str] = {}

    @classmethod
    def of(cls, dsn: str | None) -> "Cluster":
        """Return that of this process for a server."""
        return cls._known.setdefault((os.getpid(), dsn), cls(dsn))

    def administrator(self) -> str:
        """Return how the administrator connects; starts the server if need be.

        Raises:
            ConfigurationError: PostgreSQL is not installed, or the DSN is wrong.
            WorkspaceLostError: It cannot be reached, or started.
        """
        with self._lock:
            dsn = self._dsn or self._server.dsn()
            if dsn != self._begun:
                self._begin(dsn)
            return dsn

    def execute(self, *statements: str, database: str | None = None) -> None:
        """Run statements, each by itself.

        Raises:
            WorkspaceLostError: The server is gone, or refuses.
        """
        _execute(self.administrator(), statements, database)

    def make(self, script: str) -> str:
        """Make a database and a role of the same name, and return it.

        Raises:
            ConfigurationError: The script fails.
            WorkspaceLostError: The server is gone, or refuses.
        """
        template = self._template(self.administrator(), script)
        name = self._name()
        try:
            self.execute(
                f"CREATE ROLE {name} LOGIN CONNECTION LIMIT {CONNECTIONS} IN ROLE {OWNER}",
                f"CREATE DATABASE {name} TEMPLATE {template}",
                f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
                _may_connect(name),
            )
        except BaseException:
            self.drop(name)
            raise
        return name

    def password(self, name: str) -> str:
        """End a role's connections, and return a new password for it; its settings and rights are ours again."""
        password = secrets.token_hex(16)
        self.execute(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{name}'",  # noqa: S608
            f"ALTER ROLE {name} PASSWORD '{password}'",
            f"ALTER ROLE {name} RESET ALL",
            f"ALTER ROLE {name} IN DATABASE {name} RESET ALL",
            *(f"ALTER ROLE {name} SET {setting}" for setting in SETTINGS),
            _may_connect(name),
        )
        return password

    def drop(self, *names: str) -> None:
        """Remove databases and the roles of the same names, whoever is connected."""
        self.execute(*_removal(names))

    def close(self) -> None:
        """Remove all that this process has made, and end its own server. May be called more than once."""
        with self._lock:
            held, self._held, self._begun = self._held, None, ""
            self._templates.clear()
            if held is not None:
                with suppress(psycopg.Error), held:
                    if self._dsn is not None:
                        _remove_runs(held, [self._run])
            self._server.close()

    # --- the run ---------------------------------------------------------------------------------

    def _begin(self, dsn: str) -> None:
        """Take the lock of this run, and remove what runs that have ended have left."""
        self._run = secrets.token_hex(4)
        self._templates.clear()
        if self._held is not None:
            self._held.close()
        try:
            self._held = held = psycopg.connect(dsn, autocommit=True)
            held.execute("SELECT pg_advisory_lock(%s)", [int(self._run, 16)])
            others = {name.split("_")[2] for name in _names(held)}
            _remove_runs(held, [run for run in others if _has_ended(held, run)])
            with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                held.execute(f"CREATE ROLE {OWNER} NOLOGIN")
        except psycopg.ProgrammingError as error:
            raise ConfigurationError(f"The PostgreSQL server cannot be used: {error}") from error
        except psycopg.Error as error:
            raise WorkspaceLostError(f"The PostgreSQL server cannot be used: {error}") from error
        self._begun = dsn
        atexit.register(self.close)

    def _name(self) -> str:
        return f"{PREFIX}{self._run}_{secrets.token_hex(8)}"

    def _template(self, dsn: str, script: str) -> str:
        key = hashlib.sha256(script.encode()).hexdigest()
        with self._lock:
            if key not in self._templates:
                name = self._name()
                _execute(dsn, [f"CREATE DATABASE {name}", f"REVOKE ALL ON DATABASE {name} FROM PUBLIC"])
                try:
                    _execute(dsn, [f"ALTER SCHEMA public OWNER TO {OWNER}", f"SET ROLE {OWNER}", script], name)
                except psycopg.Error as error:
                    _execute(dsn, _removal([name]))
                    raise ConfigurationError(f"The script of this task's database fails: {error}") from error
                self._templates[key] = name
            return self._templates[key]


def _execute(dsn: str, statements: Iterable[str], database: str | None = None) -> None:
    named = {"dbname": database} if database else {}
    try:
        with psycopg.connect(dsn, autocommit=True, **named) as connection:
            for statement in statements:
                connection.execute(statement.encode())
    except psycopg.OperationalError as error:
        raise WorkspaceLostError(f"The PostgreSQL server does not do it: {error}") from error


def _may_connect(name: str) -> str:
    return f"GRANT CONNECT, TEMPORARY ON DATABASE {name} TO {name}"


def _removal(names: Iterable[str]) -> list[str]:
    return [
        statement
        for name in names
        for statement in (f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"DROP ROLE IF EXISTS {name}")
    ]


def _names(connection: "psycopg.Connection[Any]") -> list[str]:
    """Return the databases and roles of all runs."""
    found = connection.execute(
        "SELECT datname FROM pg_database WHERE datname ~ %(ours)s "
        "UNION SELECT rolname FROM pg_roles WHERE rolname ~ %(ours)s",
        {"ours": f"^{PREFIX}[0-9a-f]{{8}}_[0-9a-f]{{16}}$"},
    )
    return [name for (name,) in found]


def _has_ended(connection: "psycopg.Connection[Any]", run: str) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [int(run, 16)]).fetchone()
    return bool(row and row[0])


def _remove_runs(connection: "psycopg.Connection[Any]", runs: Iterable[str]) -> None:
    for run in runs:
        for statement in _removal(name for name in _names(connection) if name.split("_")[2] == run):
            connection.execute(statement.encode())
        connection.execute("SELECT pg_advisory_unlock(%s)", [int(run, 16)])
