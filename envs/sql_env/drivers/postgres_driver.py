"""A connection to a PostgreSQL database, in a process of its own: `python postgres_driver.py MEMORY_BYTES`.

It reads requests and writes answers, a JSON object in a line each, until there are no more requests; the first one
names the database. It speaks with the server by libpq alone, row by row, and
its memory is limited: a result, or a single value, that is too large for it costs this process and no other.
"""

import json
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from capping import Caps, Kept
from psycopg import errors, pq

SAMPLE = Caps(rows=3, bytes=2048, cell=100)
LOOK_S = 2.0
LONG_TEXT = 100_000
"""Digits of a number that are looked at; there may be more than a hundred thousand."""

_COPIES = {pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH}
_FAILED = {pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE}
_OPEN = {pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR}
_CHANGES_ROWS = ("INSERT", "UPDATE", "DELETE", "MERGE")

TABLES = """
SELECT c.oid, c.relname, CASE WHEN c.relkind IN ('v', 'm') THEN 'view' ELSE 'table' END
FROM pg_catalog.pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
ORDER BY c.relname LIMIT 100
"""
COLUMNS = """
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
  EXISTS (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = a.attrelid AND i.indisprimary
          AND a.attnum = ANY (i.indkey))
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
KEYS = """
SELECT a.attname || ' -> ' || r.relname || '.' || b.attname
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class r ON r.oid = k.confrelid
JOIN LATERAL unnest(k.conkey, k.confkey) AS p (mine, theirs) ON true
JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.mine
JOIN pg_catalog.pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = p.theirs
WHERE k.contype = 'f' AND k.conrelid = $1::oid
ORDER BY 1
"""


class Connection:
    """One connection, for an agent's statements and for looking at what they did."""

    def __init__(self, dsn: str) -> None:
        self._pg = pq.PGconn.connect(dsn.encode())
        if self._pg.status != pq.ConnStatus.OK:
            raise ConnectionError(self._pg.get_error_message())
        self._known: list[dict[str, Any]] | None = None

    def close(self) -> None:
        """Close it."""
        self._pg.finish()

    @property
    def lost(self) -> bool:
        """Whether the server has ended it."""
        return self._pg.status != pq.ConnStatus.OK

    def query(self, sql: str, caps: list[int], timeout_s: float) -> dict[str, Any]:
        """Run an agent's statement."""
        kept = Kept(Caps(*caps))
        self._limit(timeout_s)
        answer = self._run(sql, kept)
        tag = answer.pop("tag", "")
        answer |= {"rows": kept.rows, "more": kept.more, "cut": kept.cut}
        answer["timed_out"] = (answer.get("error") or {}).get("code") == "57014"
        answer["open"] = self._pg.transaction_status in _OPEN
        aborted = self._pg.transaction_status == pq.TransactionStatus.INERROR
        if not (answer["columns"] or tag.startswith(_CHANGES_ROWS) or answer.get("error") or aborted):
            known, tables = self._known, self.described()["tables"]
            if known is not None and _shape(known) != _shape(tables):
                answer["tables"] = tables
        return answer

    def contents(self, names: list[str], caps: list[int], timeout_s: float) -> dict[str, Any]:
        """Return all rows of tables, as they are without what is not committed; None for what is no table."""
        if self._pg.transaction_status in _OPEN:
            self._pg.exec_(b"ROLLBACK")
        return {name: self._content(name, Caps(*caps), timeout_s) for name in names}

    def described(self) -> dict[str, Any]:
        """Describe the tables and views."""
        self._limit(LOOK_S)
        self._known = [
            {
                "name": name,
                "kind": kind,
                "columns": [
                    dict(zip(("name", "type", "nullable", "primary_key"), column, strict=True))
                    for column in self._look(COLUMNS, oid)
                ],
                "foreign_keys": [key for (key,) in self._look(KEYS, oid)],
                "sample": self._sample(name) if kind == "table" else [],
            }
            for oid, name, kind in self._look(TABLES)
        ]
        return {"tables": self._known}

    def _sample(self, name: str) -> list[list[Any]]:
        kept = Kept(SAMPLE)
        if self._pg.transaction_status == pq.TransactionStatus.IDLE:  # an error would end the agent's transaction
            self._run(f"SELECT * FROM ONLY public.{self._quoted(name)} LIMIT {SAMPLE.rows}", kept)  # noqa: S608
        return kept.rows

    def _content(self, name: str, caps: Caps, timeout_s: float) -> list[list[Any]] | None:
        kept = Kept(caps)
        self._limit(timeout_s)
        answer = self._run(f"SELECT * FROM public.{self._quoted(name)}", kept)  # noqa: S608 - it is quoted
        return None if answer["error"] or kept.more or kept.cut else kept.rows

    # --- libpq -----------------------------------------------------------------------------------

    def _limit(self, timeout_s: float) -> None:
        """Set the time of a statement each time, for an agent may set it, too."""
        self._pg.exec_(b"SET statement_timeout = %d" % int(timeout_s * 1000))

    def _look(self, sql: str, *arguments: Any) -> list[list[Any]]:
        result = self._pg.exec_params(sql.encode(), [str(one).encode() for one in arguments])
        types = [result.ftype(column) for column in range(result.nfields)]
        return [
            [_value(result.get_value(row, column), kind) for column, kind in enumerate(types)]
            for row in range(result.ntuples)
        ]

    def _run(self, sql: str, kept: Kept) -> dict[str, Any]:
        """Run one statement; the extended protocol takes no more than that."""
        answer: dict[str, Any] = {"columns": [], "affected": None, "error": None}
        self._pg.send_query_params(sql.encode(), None)
        self._pg.set_single_row_mode()
        types: list[int] = []
        while (result := self._pg.get_result()) is not None:
            if result.status in _COPIES:
                self.close()  # there is no other way out of it that is safe
                answer["error"] = {
                    "type": "FeatureNotSupported",
                    "code": "0A000",
                    "message": "COPY from and to the client is not possible here; the connection was closed",
                }
                break
            if result.status in _FAILED:
                answer["error"] = _told(result)
                continue
            if result.nfields and not types:
                types = [result.ftype(column) for column in range(result.nfields)]
                answer["columns"] = [(result.fname(column) or b"").decode() for column in range(result.nfields)]
            for row in range(result.ntuples):  # one, or none at the end
                if not kept.more:
                    kept.add(_value(result.get_value(row, column), kind) for column, kind in enumerate(types))
            if result.status in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
                answer["tag"] = (result.command_status or b"").decode()
                answer["affected"] = result.command_tuples if answer["tag"].startswith(_CHANGES_ROWS) else None
        return answer

    def _quoted(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'


def _shape(tables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in table.items() if key != "sample"} for table in tables]


def _told(result: Any) -> dict[str, str]:
    def part(field: pq.DiagnosticField) -> str:
        return (result.error_field(field) or b"").decode("utf-8", "replace")

    code = part(pq.DiagnosticField.SQLSTATE)
    message = part(pq.DiagnosticField.MESSAGE_PRIMARY) or (result.error_message or b"").decode("utf-8", "replace")
    detail, hint = part(pq.DiagnosticField.MESSAGE_DETAIL), part(pq.DiagnosticField.MESSAGE_HINT)
    name = "DatabaseError"
    with suppress(KeyError):
        name = errors.lookup(code).__name__
    if not code:
        name = "OutOfMemory" if "memory" in message else "ConnectionLost"
    message = ". ".join(text.strip().rstrip(".") for text in (message, detail, hint) if text)
    return {"type": "QueryTimeout" if code == "57014" else name, "code": code, "message": message[:4000]}


# --- values, from the text that the server sends ---------------------------------------------------


def _number(text: str) -> Any:
    """Return an exact number as an integer or a float; as text, if it is not finite."""
    if len(text) > LONG_TEXT or text in ("NaN", "Infinity", "-Infinity"):
        return text
    return float(text) if "." in text else _integer(text)


def _integer(text: str) -> Any:
    return int(text) if len(text) < 20 else text


_READERS: dict[int, Callable[[str], Any]] = {
    16: lambda text: text == "t",
    **dict.fromkeys((20, 21, 23, 26), _integer),
    **dict.fromkeys((700, 701), float),
    1700: _number,
}


def _value(data: bytes | None, kind: int) -> Any:
    if data is None:
        return None
    text = data.decode("utf-8", "replace")
    reader = _READERS.get(kind)
    return text if reader is None else reader(text)


def serve() -> None:
    """Answer requests until there are no more."""
    connection: Connection | None = None
    for line in sys.stdin:
        request = json.loads(line)
        what = request.pop("do")
        if what == "connect":
            if connection is not None:
                connection.close()
            connection = Connection(request["dsn"])
            answer = connection.described()
        else:
            assert connection is not None
            answer = getattr(connection, what)(**request)
        print(json.dumps({**answer, "lost": connection.lost}), flush=True)


if __name__ == "__main__":
    most = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    serve()
