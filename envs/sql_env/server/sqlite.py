"""SQLite: a file in the workspace of an episode, and a driver in its interpreter."""

import asyncio
from typing import Any

from openenv.execution import Limits, WarmFork, Workspace

from .engines import DRIVERS, Answer, Database, Engine, built, drivers_share, lost

__all__ = ["SqliteEngine"]

BUILD_S = 30.0
MIB = 1024 * 1024
LIMITS = Limits(
    memory_bytes=512 * MIB,
    processes=4,
    files=64,
    file_bytes=128 * MIB,
    disk_bytes=256 * MIB,
    output_bytes=4096,
)
IMPORT = f"import sys; sys.path.append({str(DRIVERS)!r}); import sqlite_driver"
CONNECT = "sqlite_driver.connect()"
HANDLE = "answer(sqlite_driver.handle(request()))"


class SqliteEngine(Engine):
    """Makes databases in workspaces of a `WarmFork`, one for all episodes of the process."""

    dialect = "sqlite"
    _backend: WarmFork | None = None

    async def open(self) -> Database:
        """See `Engine.open`."""
        cls = type(self)
        if cls._backend is None:
            cls._backend = await asyncio.to_thread(
                WarmFork, LIMITS, preload=("sqlite3", "json"), read=[str(DRIVERS)]
            )
        return SqliteDatabase(await cls._backend.open())


class SqliteDatabase(Database):
    """A SQLite database.

    Args:
        workspace: Where it is; it belongs to this object from now on.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._runs = False
        self._fresh = True

    async def build(self, script: str) -> list[Answer]:
        """See `Database.build`."""
        if not self._fresh:
            await self._workspace.reset()
        self._fresh = self._runs = False
        await self._workspace.python(IMPORT, timeout_s=BUILD_S)
        return built(await self._asked("build", BUILD_S, {"script": script}))

    async def ask(self, what: str, *, timeout_s: float, **fields: Any) -> Answer:
        """See `Database.ask`."""
        if not self._runs:
            await self._workspace.python(f"{IMPORT}; {CONNECT}", timeout_s=BUILD_S)
        return await self._asked(what, timeout_s, {"timeout_s": drivers_share(timeout_s), **fields})

    async def _asked(self, what: str, timeout_s: float, fields: dict[str, Any]) -> Answer:
        answers: list[Answer] = []
        self._runs = False  # until it has answered
        functions = {"request": lambda: {"do": what, **fields}, "answer": answers.append}
        ran = await self._workspace.python(HANDLE, timeout_s=timeout_s, functions=functions)
        self._runs = bool(answers)
        return answers[-1] if answers else lost(late=ran.timed_out)

    async def close(self) -> None:
        """See `Database.close`."""
        await self._workspace.close()
