"""A connection to a SQLite database, in the contained interpreter of a workspace.

The database is a file, so that it survives the end of the process that a statement has brought about. SQL comes as
data, and an authorizer refuses what would leave the file. Time is watched here, from within SQLite's machine; what
escapes that (a long call of one function) is ended by the workspace.
"""

import contextlib
import sqlite3
import time
from typing import Any

from capping import Caps, Kept

FILE = "database.sqlite"
MIB = 1024 * 1024
MOST_PAGES = 64 * MIB // 4096
HEAP_BYTES = 128 * MIB
SAMPLE = Caps(rows=3, bytes=2048, cell=100)
MOST_TABLES = 100

# What may be asked of the database about itself. All else is refused: some write files, some undo the limits.
PRAGMAS = {
    *("table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo"),
    *("foreign_key_list", "foreign_key_check", "integrity_check", "quick_check", "database_list"),
    *("collation_list", "function_list", "compile_options"),
}
REFUSED = {
    sqlite3.SQLITE_ATTACH,
    sqlite3.SQLITE_DETACH,
    sqlite3.SQLITE_CREATE_VTABLE,
    sqlite3.SQLITE_DROP_VTABLE,
}
LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 2 * MIB,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: MIB,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 50,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
OPERATIONS = 10_000
"""Steps of SQLite's machine between two looks at the clock."""


class Connection:
    """One connection, for an agent's statements and for looking at what they did."""

    def __init__(self) -> None:
        # No cache: a statement of ours, which nothing is refused, must not be found again by the agent.
        self._sql = sqlite3.connect(FILE, isolation_level=None, cached_statements=0)
        self._sql.text_factory = lambda data: data.decode("utf-8", "replace")
        for limit, value in LIMITS.items():
            self._sql.setlimit(limit, value)
        for pragma in (
            "synchronous = OFF",  # a process may be killed here, the machine is not
            "temp_store = MEMORY",
            "foreign_keys = ON",
            "trusted_schema = OFF",
            f"max_page_count = {MOST_PAGES}",
            f"hard_heap_limit = {HEAP_BYTES}",
        ):
            self._sql.execute(f"PRAGMA {pragma}")
        self._deadline = 0.0
        self._late = False
        self._guarded = False
        self._sql.set_authorizer(self._authorized)
        self._sql.set_progress_handler(self._is_late, OPERATIONS)

    def close(self) -> None:
        """Close it; what is not committed is undone."""
        self._sql.close()

    def query(self, sql: str, caps: list[int], timeout_s: float) -> dict[str, Any]:
        """Run an agent's statement."""
        self._begin(timeout_s)
        before = self._sql.execute("PRAGMA schema_version").fetchone()
        kept = Kept(Caps(*caps))
        answer: dict[str, Any] = {"rows": kept.rows, "columns": [], "affected": None, "error": None}
        self._guarded = True
        try:
            with contextlib.closing(self._sql.execute(sql)) as cursor:
                answer["columns"] = [name for name, *_ in cursor.description or ()]
                for row in cursor:
                    if not kept.add(row):
                        break
                answer["affected"] = cursor.rowcount if cursor.rowcount >= 0 else None
        except (sqlite3.Error, sqlite3.Warning, MemoryError, OverflowError, ValueError) as error:
            answer["error"] = _told(error, self._late)
        finally:
            self._guarded = False
        answer |= {"more": kept.more, "cut": kept.cut, "timed_out": self._late}
        self._begin(timeout_s)
        answer["open"] = self._sql.in_transaction
        if self._sql.execute("PRAGMA schema_version").fetchone() != before:
            answer["tables"] = self.described()
        return answer

    def contents(self, names: list[str], caps: list[int], timeout_s: float) -> dict[str, Any]:
        """Return all rows of tables, as they are without what is not committed; None for what is no table."""
        self._begin(timeout_s)
        if self._sql.in_transaction:
            self._sql.execute("ROLLBACK")
        self._guarded = True  # it may be a view that the agent has made
        found = {name: self._content(name, Caps(*caps)) for name in names}
        self._guarded = False
        return found

    def _content(self, name: str, caps: Caps) -> list[list[Any]] | None:
        kept = Kept(caps)
        try:
            for row in self._sql.execute(f"SELECT * FROM main.{_quoted(name)}"):  # noqa: S608 - it is quoted
                if not kept.add(row):
                    break
        except (sqlite3.Error, MemoryError):
            return None
        return None if kept.more or kept.cut else kept.rows

    def described(self) -> list[dict[str, Any]]:
        """Describe the tables and views."""
        listed = self._sql.execute(
            "SELECT type, name FROM main.sqlite_master WHERE type IN ('table', 'view') "
            "AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY name LIMIT ?",
            (MOST_TABLES,),
        ).fetchall()
        return [self._table(kind, name) for kind, name in listed]

    def _table(self, kind: str, name: str) -> dict[str, Any]:
        described: dict[str, Any] = {"name": name, "kind": kind}
        with contextlib.suppress(sqlite3.Error, MemoryError):  # a view of what is gone, or that never ends
            described["columns"] = [
                {"name": column, "type": declared, "nullable": not (required or key), "primary_key": bool(key)}
                for _, column, declared, required, _, key in self._rows(f"PRAGMA main.table_info({_quoted(name)})")
            ]
            described["foreign_keys"] = [
                f"{key[3]} -> {key[2]}.{key[4] or key[3]}"
                for key in self._rows(f"PRAGMA main.foreign_key_list({_quoted(name)})")
            ]
            if kind == "table":
                kept = Kept(SAMPLE)
                for row in self._rows(f"SELECT * FROM main.{_quoted(name)} LIMIT {SAMPLE.rows}"):  # noqa: S608
                    kept.add(row)
                described["sample"] = kept.rows
        return described

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._sql.execute(sql).fetchall()

    def _begin(self, timeout_s: float) -> None:
        self._deadline, self._late = time.monotonic() + timeout_s, False

    def _is_late(self) -> bool:
        self._late = self._late or time.monotonic() > self._deadline
        return self._late

    def _authorized(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if not self._guarded:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA:
            return sqlite3.SQLITE_OK if (first or "").lower() in PRAGMAS else sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() == "load_extension":
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_DENY if action in REFUSED else sqlite3.SQLITE_OK


def _told(error: Exception, late: bool) -> dict[str, str]:
    if late:
        return {"type": "QueryTimeout", "code": "SQLITE_INTERRUPT", "message": "the statement took too long"}
    code = getattr(error, "sqlite_errorname", "")
    return {"type": type(error).__name__, "code": code, "message": str(error) or "out of memory"}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_connection: Connection | None = None


def connect() -> None:
    """Open the file, once more if need be."""
    global _connection
    if _connection is not None:
        with contextlib.suppress(sqlite3.Error):
            _connection.close()
    _connection = Connection()


def handle(request: dict[str, Any]) -> Any:
    """Do what is asked for and return the answer, which JSON can have."""
    what = request.pop("do")
    if what == "build":
        return _build(request["script"])
    assert _connection is not None
    return getattr(_connection, what)(**request)


def _build(script: str) -> dict[str, Any]:
    try:
        with contextlib.closing(sqlite3.connect(FILE)) as made:
            made.executescript(script)
        connect()
    except sqlite3.Error as error:
        return {"error": f"{type(error).__name__}: {error}"}
    assert _connection is not None
    return {"tables": _connection.described()}
