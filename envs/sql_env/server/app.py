"""The application that serves the SQL environment.

| variable | |
|---|---|
| `SQL_ENV_ENGINE` | `sqlite` (the default) or `postgres` |
| `SQL_ENV_DSN` | an existing PostgreSQL server, as an administrator; without it a server is started |
| `SQL_ENV_TASKS` | a folder of tasks |
"""

import os
from pathlib import Path

from openenv.errors import ConfigurationError
from openenv.server import create_app

from ..models import SqlAction, SqlObservation, SqlState
from .engines import Engine
from .sql_environment import SqlEnvironment
from .sqlite import SqliteEngine


def engine_named(name: str, dsn: str | None) -> Engine:
    """Return an engine.

    Raises:
        ConfigurationError: There is none of this name.
    """
    if name == "sqlite":
        return SqliteEngine()
    if name == "postgres":
        from .postgres_engine import PostgresEngine

        return PostgresEngine(dsn)
    raise ConfigurationError(f"SQL_ENV_ENGINE is {name!r}; it can be sqlite or postgres")


def make() -> SqlEnvironment:
    """Return an environment as the variables say."""
    engine = engine_named(os.environ.get("SQL_ENV_ENGINE", "sqlite"), os.environ.get("SQL_ENV_DSN"))
    folder = os.environ.get("SQL_ENV_TASKS")
    return SqlEnvironment(engine, tasks=Path(folder) if folder else None)


app = create_app(make, SqlAction, SqlObservation, env_name="sql_env", state_cls=SqlState)
