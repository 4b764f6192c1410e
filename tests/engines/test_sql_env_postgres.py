"""sql_env on a real PostgreSQL: the same tasks and rewards, and an agent that gets no further than its database."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openenv.errors import ConfigurationError, WorkspaceLostError
from openenv.models import StepResult
from openenv.providers import ProcessProvider
from openenv.testing import EnvironmentContract, LocalServer
from sql_env import SqlAction, SqlEnv, SqlObservation, policies
from sql_env.server.grading import same
from sql_env.server.sql_environment import SqlEnvironment
from sql_env.server.tasks import load

TASKS = sorted(load())
WAIT_S = 30.0


@pytest.fixture(scope="session", autouse=True)
def postgres() -> Iterator[Any]:
    """A PostgreSQL server of these tests, as an existing one that is named by its address."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")
    from sql_env.server.postgres import PostgresServer, programs

    try:
        programs()
    except ConfigurationError as error:
        pytest.skip(str(error))
    server = PostgresServer()
    yield server
    server.close()


def environment(dsn: str | None = None, **settings: Any) -> SqlEnvironment:
    from sql_env.server.postgres_engine import PostgresEngine

    return SqlEnvironment(PostgresEngine(dsn), **settings)


def with_environment(
    main: Callable[[SqlEnvironment], Awaitable[Any]], dsn: str | None = None, **settings: Any
) -> Any:
    async def run() -> Any:
        made = environment(dsn, **settings)
        try:
            return await main(made)
        finally:
            await made.close()

    return asyncio.run(run())


def play(*queries: str | SqlAction, task: str = "shop-cities", **settings: Any) -> list[StepResult]:
    async def episode(made: SqlEnvironment) -> list[StepResult]:
        await made.reset(task_id=task)
        actions = [each if isinstance(each, SqlAction) else SqlAction(query=each) for each in queries]
        return [await made.step(action) for action in actions]

    return with_environment(episode, **settings)


def seen(*queries: str, **settings: Any) -> SqlObservation:
    return play(*queries, **settings)[-1].observation


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def names_on(dsn: str) -> set[str]:
    import psycopg

    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT datname FROM pg_database UNION SELECT rolname FROM pg_roles").fetchall()
    return {name for (name,) in rows if name.startswith("sql_env_")}


def processes() -> dict[int, str]:
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found[int(path.parent.name)] = path.read_text().replace("\0", " ")
        except OSError:
            continue
    return found


class TestContract(EnvironmentContract):
    environment = staticmethod(environment)
    actions = (
        SqlAction(query="SELECT * FROM customers"),
        SqlAction(query="CREATE TABLE mine (a INTEGER PRIMARY KEY, b TEXT)"),
        SqlAction(query="no SQL at all"),
        SqlAction(query=""),
        SqlAction(query="SELECT 1", submit=True),
    )
    steps = 5


# --- tasks and rewards -----------------------------------------------------------------------------------


def test_on_both_databases_the_oracle_scores_the_most_and_the_null_policy_the_least():
    async def main(made: SqlEnvironment) -> None:
        for name, task in load().items():
            for statements, score in ((task.reference, 1.0), (["SELECT 'nothing'"], 0.0)):
                await made.reset(task_id=name)
                *before, last = statements
                for statement in before:
                    assert (await made.step(SqlAction(query=statement))).observation.error is None
                assert (await made.step(SqlAction(query=last, submit=True))).reward == score, name

    with_environment(main)


def test_both_databases_give_the_same_answers():
    async def main(made: SqlEnvironment) -> None:
        other = SqlEnvironment()
        for task in load().values():
            ours, theirs = await made._answer_to(task), await other._answer_to(task)
            if task.changes:
                assert all(same(ours[name], theirs[name], ordered=False) for name in task.changes), task.id
            else:
                assert same(ours["rows"], theirs["rows"], ordered=task.ordered), task.id

    with_environment(main)


def test_what_is_not_committed_does_not_count():
    change = load()["shop-restock"].reference[0]
    assert play("BEGIN", SqlAction(query=change, submit=True), task="shop-restock")[-1].reward == 0.0
    committed = play("BEGIN", change, SqlAction(query="COMMIT", submit=True), task="shop-restock")
    assert committed[-1].reward == 1.0


def test_tables_are_looked_at_with_the_rights_of_the_agent():
    made = (
        "CREATE FUNCTION who() RETURNS integer LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO seen VALUES (current_user); RETURN 1; END $$"
    )
    view = SqlAction(query="CREATE VIEW products AS SELECT who()")
    steps = ["CREATE TABLE seen (who TEXT)", made, "ALTER TABLE products RENAME TO p"]

    async def main(environment: SqlEnvironment) -> None:
        await environment.reset(task_id="shop-restock")
        for query in steps:
            assert (await environment.step(SqlAction(query=query))).observation.error is None
        assert (await environment.step(view)).observation.error is None
        await environment._database.contents(["products"], 5.0)
        looked = await environment.step(SqlAction(query="SELECT DISTINCT who = current_user FROM seen"))
        assert looked.observation.rows == [[True]]

    with_environment(main)


# --- what is seen ----------------------------------------------------------------------------------------


def test_the_tables_are_told_at_the_reset_and_when_they_have_changed():
    async def main(made: SqlEnvironment) -> tuple[Any, ...]:
        first = await made.reset(task_id="shop-cities")
        made_new = await made.step(SqlAction(query="CREATE TABLE mine AS SELECT 1 AS a, 'x' AS b"))
        filled = await made.step(SqlAction(query="INSERT INTO mine VALUES (2, 'y')"))
        return first, made_new.observation, filled.observation

    first, made_new, filled = with_environment(main)
    items = first.tables[1]
    assert (items.name, items.foreign_keys) == (
        "order_items",
        ["order_id -> orders.id", "product_id -> products.id"],
    )
    assert [(each.name, each.type, each.primary_key) for each in items.columns][:2] == [
        ("order_id", "integer", True),
        ("product_id", "integer", True),
    ]
    assert len(items.sample) == 3
    assert "mine" in [table.name for table in made_new.tables]
    assert (filled.tables, filled.rows_affected) == (None, 1)


def test_values_that_json_does_not_have_come_as_text():
    observation = seen(
        "SELECT 'Infinity'::float8, 'NaN'::numeric, '\\x00ff'::bytea, date 'infinity', NULL, true, 1.50, "
        "9223372036854775807, 10::numeric ^ 30, ARRAY[1, 2], '{\"a\": 1}'::jsonb"
    )
    assert observation.rows[0][:8] == ["Infinity", "NaN", "\\x00ff", "infinity", None, True, 1.5, 2**63 - 1]
    assert observation.rows[0][9:] == ["{1,2}", '{"a": 1}']


def test_a_long_result_is_cut_and_says_so():
    observation = seen("SELECT * FROM generate_series(1, 100000)")
    assert observation.rows == [[number] for number in range(1, 101)]
    assert observation.note == "Only the first 100 rows are shown; there are more."


def test_a_transaction_that_has_failed_is_told_and_can_be_rolled_back():
    *_, failed, refused, back, fine = play(
        "BEGIN", "DELETE FROM order_items", "SELEC", "SELECT 1", "ROLLBACK", "SELECT 1"
    )
    assert failed.observation.error.type == "SyntaxError"
    assert refused.observation.error.type == "InFailedSqlTransaction"
    assert refused.observation.in_transaction
    assert not back.observation.in_transaction
    assert fine.observation.rows == [[1]]


# --- what fails, and what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "type_"),
    [
        ("SELEC 1", "SyntaxError"),
        ("SELECT * FROM nowhere", "UndefinedTable"),
        ("INSERT INTO products SELECT * FROM products", "UniqueViolation"),
        ("SELECT 1; DROP TABLE orders", "SyntaxError"),
        ("SELECT 1 / 0", "DivisionByZero"),
        ("SELECT 'a\0b'", "InvalidQuery"),
        ("SELECT '\ud800'", "InvalidQuery"),
        ("SELECT $1", "ProtocolViolation"),
        ("COPY customers TO STDOUT", "FeatureNotSupported"),
        ("COPY customers FROM STDIN", "FeatureNotSupported"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "ConnectionLost"),
        ("CREATE TABLE big AS SELECT repeat('x', 900) || g FROM generate_series(1, 1000000) g", "InternalError_"),
        ("COPY customers TO '/tmp/stolen'", "InsufficientPrivilege"),
        ("COPY customers TO PROGRAM 'id'", "InsufficientPrivilege"),
        ("COPY customers FROM PROGRAM 'id'", "InsufficientPrivilege"),
        ("COPY customers FROM '/etc/passwd'", "InsufficientPrivilege"),
        ("SELECT pg_read_file('/etc/passwd')", "InsufficientPrivilege"),
        ("SELECT pg_ls_dir('/')", "InsufficientPrivilege"),
        ("SELECT lo_import('/etc/passwd')", "InsufficientPrivilege"),
        ("SELECT lo_export(1, '/tmp/stolen')", "InsufficientPrivilege"),
        ("CREATE EXTENSION dblink", "InsufficientPrivilege"),
        ("CREATE EXTENSION pg_trgm", "InsufficientPrivilege"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc', 'getpid'", "InsufficientPrivilege"),
        ("LOAD '/tmp/x.so'", "InsufficientPrivilege"),
        ("CREATE ROLE other SUPERUSER", "InsufficientPrivilege"),
        ("ALTER ROLE CURRENT_USER SUPERUSER", "InsufficientPrivilege"),
        ("ALTER ROLE CURRENT_USER CREATEDB", "InsufficientPrivilege"),
        ("SET ROLE openenv", "InsufficientPrivilege"),
        ("SET SESSION AUTHORIZATION openenv", "InsufficientPrivilege"),
        ("GRANT pg_read_server_files TO CURRENT_USER", "InsufficientPrivilege"),
        ("CREATE DATABASE other", "InsufficientPrivilege"),
        ("DROP DATABASE postgres", "InsufficientPrivilege"),
        ("ALTER SYSTEM SET fsync = on", "InsufficientPrivilege"),
        ("SET temp_file_limit = -1", "InsufficientPrivilege"),
        ("SELECT * FROM pg_authid", "InsufficientPrivilege"),
        ("SELECT pg_reload_conf()", "InsufficientPrivilege"),
        (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'openenv'",
            "InsufficientPrivilege",
        ),
        ("CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw", "UndefinedObject"),
        ("CREATE SUBSCRIPTION s CONNECTION 'host=localhost' PUBLICATION p", "InsufficientPrivilege"),
    ],
)
def test_what_fails_or_is_refused_is_a_typed_observation_and_the_next_statement_works(query, type_):
    failed, fine = play(query, "SELECT COUNT(*) FROM products")
    assert failed.observation.error is not None
    assert failed.observation.error.type == type_, failed.observation.error
    assert fine.observation.rows == [[12]]


@pytest.mark.parametrize(
    "query",
    [
        "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT COUNT(*) FROM c",
        "SELECT COUNT(*) FROM orders a, orders b, orders c, orders d, orders e, orders f",
        "SELECT pg_sleep(100)",
        "DO $$ BEGIN LOOP END LOOP; END $$",
        "DO $$ BEGIN SET LOCAL statement_timeout = 0; PERFORM pg_sleep(100); END $$",
        "SELECT x FROM generate_series(1, 10000000000) AS x",
    ],
)
def test_a_statement_that_never_ends_is_ended_whatever_limit_the_agent_has_set(query):
    set_, role, late, fine = play(
        "SET statement_timeout = 0",
        "ALTER ROLE CURRENT_USER SET statement_timeout = 0",
        query,
        "SELECT COUNT(*) FROM products",
        statement_timeout_s=0.5,
    )
    assert (set_.observation.error, role.observation.error) == (None, None)
    assert late.observation.timed_out or late.observation.error.type == "ConfigurationLimitExceeded"
    assert fine.observation.rows == [[12]]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT repeat('x', 1000000000)",
        "SELECT repeat('x', 200000000), repeat('y', 200000000), repeat('z', 200000000)",
        "SELECT array_agg(repeat('x', 1000000)) FROM generate_series(1, 100000)",
        "SELECT a.id FROM orders a, orders b, orders c, orders d, orders e ORDER BY random()",
    ],
)
def test_a_result_of_a_gigabyte_is_an_error_and_no_memory_of_the_server(query):
    before = _peak_bytes()
    failed, fine = play(query, "SELECT COUNT(*) FROM products", statement_timeout_s=20.0)
    assert failed.observation.error is not None
    assert fine.observation.rows == [[12]]
    assert _peak_bytes() - before < 100 * 1024 * 1024


def _peak_bytes() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


# --- what is left ------------------------------------------------------------------------------------------


def test_eight_sessions_at_once_do_not_see_one_another():
    async def episode(server: LocalServer, number: int) -> tuple[Any, ...]:
        async with server.client(SqlEnv) as env:
            await env.reset(task_id="shop-cities")
            await env.step(SqlAction(query=f"CREATE TABLE mine AS SELECT {number} AS secret"))
            mine = await env.step(SqlAction(query="SELECT secret FROM mine"))
            others = "SELECT COUNT(*) FROM pg_stat_activity WHERE query LIKE '%secret%' AND usename <> current_user"
            return mine.observation.rows, (await env.step(SqlAction(query=others))).observation.rows

    async def main() -> None:
        async with LocalServer(environment, action=SqlAction, observation=SqlObservation) as server:
            found = await asyncio.gather(*(episode(server, number) for number in range(8)))
        assert found == [([[number]], [[0]]) for number in range(8)]

    asyncio.run(main())


def test_a_reset_and_a_close_drop_the_database_the_role_and_the_driver():
    async def main() -> None:
        made = environment()
        await made.reset(task_id="shop-cities")
        database = made._database
        dsn, first, driver = database._cluster.administrator(), database._name, database._driver._process.pid
        assert first in names_on(dsn)
        await made.reset(task_id="shop-cities")
        second = database._name
        assert first not in names_on(dsn)
        assert second in names_on(dsn)
        await made.close()
        assert second not in names_on(dsn)
        assert driver not in processes()

    asyncio.run(main())


def test_a_driver_that_is_killed_costs_the_statement_and_what_was_not_committed():
    async def main(made: SqlEnvironment) -> list[SqlObservation]:
        await made.reset(task_id="shop-cities")
        for query in ("DELETE FROM order_items", "BEGIN", "DELETE FROM products CASCADE"):
            await made.step(SqlAction(query=query))
        os.kill(made._database._driver._process.pid, signal.SIGKILL)
        queries = ("SELECT 1", "SELECT COUNT(*) FROM products", "SELECT COUNT(*) FROM order_items")
        return [(await made.step(SqlAction(query=query))).observation for query in queries]

    lost, products, items = with_environment(main)
    assert lost.error.type == "ConnectionLost"
    assert "not committed" in lost.note
    assert (products.rows, items.rows) == ([[12]], [[0]])


def test_an_agent_that_drops_all_it_has_can_still_connect():
    for query in (
        "DROP OWNED BY CURRENT_USER",
        "ALTER ROLE CURRENT_USER PASSWORD 'mine'",
        "DROP SCHEMA public CASCADE",
    ):
        *_, lost, fine = play(query, "SELECT pg_terminate_backend(pg_backend_pid())", "SELECT 1")
        assert lost.observation.error.type == "ConnectionLost"
        assert fine.observation.rows == [[1]], query


PLAY_AND_WAIT = """
import asyncio, sys
from sql_env.server.sql_environment import SqlEnvironment
from sql_env.server.postgres_engine import PostgresEngine
from sql_env import SqlAction

async def main():
    environment = SqlEnvironment(PostgresEngine(sys.argv[1] or None), statement_timeout_s=600)
    await environment.reset(task_id="shop-cities")
    print(environment._database._cluster.administrator(), flush=True)
    await environment.step(SqlAction(query="SELECT pg_sleep(600)"))

asyncio.run(main())
"""


def start_playing(dsn: str = "") -> tuple["subprocess.Popen[str]", str]:
    """Start a process in the middle of a step, and return it with the address of its server."""
    player = subprocess.Popen(
        [sys.executable, "-c", PLAY_AND_WAIT, dsn],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert player.stdout is not None
    return player, player.stdout.readline().strip()


def kill(player: "subprocess.Popen[str]") -> None:
    player.kill()
    player.communicate()


def test_nothing_is_left_of_a_process_that_was_killed_and_of_its_server():
    player, dsn = start_playing()
    folder = Path(dsn.split()[0].removeprefix("host="))
    assert (folder / "data" / "postmaster.pid").exists()
    assert [pid for pid, command in processes().items() if str(folder) in command]
    kill(player)
    until(lambda: not folder.exists())
    until(lambda: not [pid for pid, command in processes().items() if str(folder) in command])


def test_the_server_ends_with_its_guardian():
    player, dsn = start_playing()
    folder = dsn.split()[0].removeprefix("host=")
    ours = {pid: command for pid, command in processes().items() if folder in command}
    guardian = next(pid for pid, command in ours.items() if "postgres_guardian" in command)
    os.kill(guardian, signal.SIGKILL)
    until(lambda: not [pid for pid, command in processes().items() if folder in command and pid != player.pid])
    kill(player)
    subprocess.run(["rm", "-r", folder], check=True)


def test_what_a_killed_process_left_on_an_existing_server_is_removed_by_the_next_one(postgres):
    dsn = postgres.dsn()
    player, _ = start_playing(dsn)
    others, _ = start_playing(dsn)
    left = names_on(dsn)
    kill(player)
    until(lambda: _runs_on(dsn) < 2)
    third, _ = start_playing(dsn)
    now = names_on(dsn)
    # That of the killed one is gone; that of the other one, which lives, is not.
    assert len(left & now) == len(left - {"sql_env_owner"}) // 2 + 1
    for each in (others, third):
        kill(each)


def _runs_on(dsn: str) -> int:
    import psycopg

    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone()
    assert row is not None
    return int(row[0])


def test_a_process_that_ends_as_it_should_leaves_nothing_on_an_existing_server(postgres):
    dsn = postgres.dsn()
    program = PLAY_AND_WAIT.replace("pg_sleep(600)", "1")
    subprocess.run(
        [sys.executable, "-c", program, dsn],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert names_on(dsn) <= {"sql_env_owner"}


def test_a_server_that_is_gone_is_no_reward():
    with pytest.raises(WorkspaceLostError, match="cannot be used"):
        with_environment(lambda made: made.reset(), "host=/nowhere user=nobody")


# --- served ------------------------------------------------------------------------------------------------


def test_the_policies_against_a_server():
    provider = ProcessProvider("sql_env", env_vars={"SQL_ENV_ENGINE": "postgres"})
    with SqlEnv.with_provider(provider) as env:
        assert env.reset(seed=1).observation.dialect == "postgres"
        for task in TASKS:
            assert policies.oracle(env, task_id=task) == policies.MAX_RETURN
            assert policies.null(env, task_id=task) == policies.MIN_RETURN
