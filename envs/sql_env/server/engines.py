"""The databases of episodes, and what is asked of them: one protocol for SQLite and PostgreSQL.

A statement of an agent is run by a driver in a process of its own, so a result that is too large, or a call that
never returns, is no matter for the server: the driver is ended and another one goes on.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openenv.errors import ConfigurationError

from ..drivers.capping import Caps

__all__ = ["DRIVERS", "GRADED", "Answer", "Database", "Engine", "built", "drivers_share", "lost"]

LONGEST_SHARE_S = 0.5
DRIVERS = Path(__file__).parent.parent / "drivers"

GRADED = Caps(rows=10_000, bytes=256 * 1024, cell=64 * 1024)
"""How large a result can be that is compared. It fits a message of the execution service with room to spare."""

Answer = dict[str, Any]


class Database(ABC):
    """The database of one episode after another."""

    @abstractmethod
    async def build(self, script: str) -> list[Answer]:
        """Make it anew from a script, whatever it was before, and describe its tables.

        Raises:
            ConfigurationError: The script fails.
            WorkspaceLostError: It cannot be done.
        """

    @abstractmethod
    async def ask(self, what: str, *, timeout_s: float, **fields: Any) -> Answer:
        """Ask the driver. If it had to be ended, or has ended, the answer is that of `lost`.

        Args:
            what: A method of the driver's connection.
            timeout_s: Seconds until it is ended.
            **fields: Arguments of the method.

        Raises:
            WorkspaceLostError: There is no database.
        """

    @abstractmethod
    async def close(self) -> None:
        """Remove it, and end its driver. May be called more than once."""

    async def query(self, sql: str, caps: Caps, timeout_s: float) -> Answer:
        """Run a statement. What it does never raises."""
        return await self.ask("query", sql=sql, caps=list(caps), timeout_s=timeout_s)

    async def contents(self, names: Sequence[str], timeout_s: float) -> Answer:
        """Return the committed rows of tables by name; None for what is no table, or has too many."""
        answer = await self.ask("contents", names=list(names), caps=list(GRADED), timeout_s=timeout_s)
        return {name: answer.get(name) for name in names}


class Engine(ABC):
    """Makes databases.

    Attributes:
        dialect: The name of its SQL.
    """

    dialect: str

    @abstractmethod
    async def open(self) -> Database:
        """Return a database that is still to be built.

        Raises:
            ConfigurationError: Something that it needs is not installed.
        """


def drivers_share(timeout_s: float) -> float:
    """Return after how many seconds a driver is to give up by itself, which costs less than to end it."""
    return timeout_s - min(LONGEST_SHARE_S, timeout_s / 5)


def lost(*, late: bool) -> Answer:
    """Return the answer to a statement that has cost the connection.

    Args:
        late: Whether that was because its time was up.
    """
    why = "the statement did not end in time" if late else "the statement needed too much memory, or ended it"
    error = {"type": "ConnectionLost", "message": f"{why}: the connection was closed"}
    return {"error": error, "timed_out": late, "lost": True}


def built(answer: Answer) -> list[Answer]:
    """Return the tables that a driver has built, or raise what it says.

    Raises:
        ConfigurationError: The script fails.
    """
    if answer.get("error"):
        raise ConfigurationError(f"The script of this task's database fails: {answer['error']}")
    tables: list[Answer] = answer["tables"]
    return tables
