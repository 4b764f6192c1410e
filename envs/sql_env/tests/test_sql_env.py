"""What sql_env promises on SQLite: the contract, the tasks, the rewards, and statements that mean harm."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from openenv.errors import ConfigurationError, InvalidRequestError, NotResetError
from openenv.models import StepResult
from openenv.providers import ProcessProvider, SandboxProvider
from openenv.testing import EnvironmentContract, EnvironmentMemoryContract, LocalServer
from sql_env import SqlAction, SqlEnv, SqlObservation, policies
from sql_env.server.sql_environment import MAX_QUERY_BYTES, SqlEnvironment
from sql_env.server.tasks import load

ENDLESS = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
LATE = ("QueryTimeout", "ConnectionLost")  # which of them is a matter of how busy the machine is
TASKS = sorted(load())


class TestContract(EnvironmentContract):
    environment = SqlEnvironment
    actions = (
        SqlAction(query="SELECT * FROM sqlite_master"),
        SqlAction(query="CREATE TABLE mine (a INTEGER PRIMARY KEY, b TEXT)"),
        SqlAction(query="no SQL at all"),
        SqlAction(query=""),
        SqlAction(query="SELECT 1", submit=True),
    )
    bad_actions = ({"query": 5}, {"submit": True}, {"query": "SELECT 1", "more": 1})
    steps = 5


@pytest.mark.slow
class TestMemory(EnvironmentMemoryContract):
    environment = SqlEnvironment
    actions = (SqlAction(query="SELECT 1"),)
    steps = 1
    episodes = 500
    patience_s = 300


def play(*queries: str | SqlAction, task: str = "shop-cities", **settings: Any) -> list[StepResult]:
    """Run statements one after the other in one episode."""

    async def episode(environment: SqlEnvironment) -> list[StepResult]:
        await environment.reset(task_id=task)
        actions = [each if isinstance(each, SqlAction) else SqlAction(query=each) for each in queries]
        return [await environment.step(action) for action in actions]

    return with_environment(episode, **settings)


def with_environment(main: Callable[[SqlEnvironment], Awaitable[Any]], **settings: Any) -> Any:
    async def run() -> Any:
        environment = SqlEnvironment(**settings)
        try:
            return await main(environment)
        finally:
            await environment.close()

    return asyncio.run(run())


def seen(*queries: str | SqlAction, **settings: Any) -> SqlObservation:
    """Return what was seen after the last of some statements."""
    return play(*queries, **settings)[-1].observation


def submitted(query: str, task: str) -> float | None:
    return play(SqlAction(query=query, submit=True), task=task)[-1].reward


# --- what is seen --------------------------------------------------------------------------------------


def test_a_query_returns_columns_and_rows():
    observation = seen("SELECT id, name, email FROM customers WHERE id IN (1, 4) ORDER BY id")
    assert observation.columns == ["id", "name", "email"]
    assert observation.rows == [[1, "Ada Krol", "ada@example.com"], [4, "Dmitri Volkov", None]]
    assert (observation.error, observation.rows_affected, observation.tables) == (None, None, None)


def test_a_reset_tells_the_task_and_the_tables():
    observation = with_environment(lambda environment: environment.reset(task_id="shop-restock"))
    assert "kitchen" in observation.instruction
    assert [table.name for table in observation.tables] == ["customers", "order_items", "orders", "products"]
    items = observation.tables[1]
    assert [(each.name, each.type, each.primary_key) for each in items.columns] == [
        ("order_id", "INTEGER", True),
        ("product_id", "INTEGER", True),
        ("quantity", "INTEGER", False),
    ]
    assert items.foreign_keys == ["product_id -> products.id", "order_id -> orders.id"]
    assert len(items.sample) == 3


def test_the_tables_are_told_again_when_they_have_changed():
    made, filled, viewed, gone = play(
        "CREATE TABLE mine (a INTEGER PRIMARY KEY, b TEXT NOT NULL)",
        "INSERT INTO mine VALUES (1, 'x'), (2, 'y')",
        "CREATE VIEW theirs AS SELECT b FROM mine",
        "DROP VIEW theirs",
    )
    mine = next(table for table in made.observation.tables if table.name == "mine")
    assert [(each.name, each.nullable) for each in mine.columns] == [("a", False), ("b", False)]
    assert (filled.observation.tables, filled.observation.rows_affected) == (None, 2)
    assert ("theirs", "view") in [(table.name, table.kind) for table in viewed.observation.tables]
    assert "theirs" not in [table.name for table in gone.observation.tables]


def test_a_long_result_is_cut_and_says_so():
    observation = seen(f"{ENDLESS} SELECT x FROM c")
    assert observation.rows == [[number] for number in range(1, 101)]
    assert observation.note == "Only the first 100 rows are shown; there are more."


def test_a_wide_result_is_cut_by_its_bytes():
    observation = seen(f"{ENDLESS} SELECT hex(zeroblob(1000)) FROM c", max_bytes=10_000)
    assert len(observation.rows) < 10
    assert (
        "5 values were shortened" in seen("SELECT hex(zeroblob(9999)) FROM products LIMIT 5", max_bytes=10_000).note
    )


def test_a_statement_that_changes_rows_changes_all_of_them_even_if_not_all_are_shown():
    returned, counted = play(
        "UPDATE orders SET status = 'paid' RETURNING id",
        "SELECT COUNT(*) FROM orders WHERE status = 'paid'",
        max_rows=3,
    )
    assert len(returned.observation.rows) == 3
    assert counted.observation.rows == [[40]]


def test_values_that_json_does_not_have_come_as_text():
    observation = seen("SELECT 9e999, x'00ff', CAST(x'ff' AS TEXT), NULL, 9223372036854775807, 0.5")
    assert observation.rows == [["Infinity", "\\x00ff", "\N{REPLACEMENT CHARACTER}", None, 2**63 - 1, 0.5]]


def test_transactions_are_the_agents():
    begun, _, undone, counted = play(
        "BEGIN", "DELETE FROM order_items", "ROLLBACK", "SELECT COUNT(*) FROM order_items"
    )
    assert [each.observation.in_transaction for each in (begun, undone)] == [True, False]
    assert counted.observation.rows[0][0] > 50


# --- what fails ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "type_", "code"),
    [
        ("SELEC 1", "OperationalError", "SQLITE_ERROR"),
        ("SELECT * FROM nowhere", "OperationalError", "SQLITE_ERROR"),
        ("INSERT INTO products SELECT * FROM products", "IntegrityError", "SQLITE_CONSTRAINT_PRIMARYKEY"),
        (
            "INSERT INTO orders VALUES (99, 999, '2026-01-01', 'paid')",
            "IntegrityError",
            "SQLITE_CONSTRAINT_FOREIGNKEY",
        ),
        ("SELECT 1; DROP TABLE orders", "ProgrammingError", ""),
        ("SELECT zeroblob(1000000000)", "DataError", "SQLITE_TOOBIG"),
        ("SELECT 'a\0b'", "InvalidQuery", ""),
        ("SELECT '\ud800'", "InvalidQuery", ""),
        ("SELECT 1 --" + "x" * MAX_QUERY_BYTES, "InvalidQuery", ""),
        ("SELECT " + "(" * 5000 + "1" + ")" * 5000, "OperationalError", "SQLITE_ERROR"),
        ("SELECT ?", "ProgrammingError", ""),
    ],
)
def test_what_fails_is_a_typed_observation_and_the_next_statement_works(query, type_, code):
    failed, fine = play(query, "SELECT COUNT(*) FROM products")
    assert (failed.observation.error.type, failed.observation.error.code) == (type_, code)
    assert failed.observation.error.message
    assert (failed.reward, failed.done) == (None, False)
    assert fine.observation.rows == [[12]]


@pytest.mark.parametrize(
    "query",
    [
        "ATTACH '{place}' AS other",
        "VACUUM INTO '{place}'",
        "PRAGMA writable_schema = 1",
        "PRAGMA journal_mode = OFF",
        "PRAGMA temp_store_directory = '/'",
        "PRAGMA hard_heap_limit = 1000000000000",
        "PRAGMA max_page_count = 1000000000",
        "SELECT * FROM pragma_journal_mode",
        "SELECT load_extension('{place}')",
        "SELECT writefile('{place}', 'x')",
        "SELECT readfile('/etc/passwd')",
        "CREATE VIRTUAL TABLE f USING fts5 (x)",
        "UPDATE sqlite_master SET sql = 'x'",
    ],
)
def test_what_would_leave_the_database_is_refused(query, tmp_path):
    place = tmp_path / "other"
    failed, fine = play(query.format(place=place), "PRAGMA table_info(products)")
    assert failed.observation.error is not None
    assert not place.exists()
    assert len(fine.observation.rows) == 5


@pytest.mark.parametrize(
    "query",
    [
        f"{ENDLESS} SELECT COUNT(*) FROM c",
        "SELECT COUNT(*) FROM orders a, orders b, orders c, orders d, orders e, orders f",
        "SELECT instr(hex(zeroblob(900000)), hex(zeroblob(400000)) || '1')",  # one step of SQLite's machine
        f"INSERT INTO orders {ENDLESS} SELECT 0, 0, 0, 0 FROM c WHERE x < 0",
    ],
)
def test_a_statement_that_never_ends_is_ended_and_the_database_stays(query):
    _, late, fine = play(
        "DELETE FROM order_items", query, "SELECT COUNT(*) FROM order_items", statement_timeout_s=0.5
    )
    assert late.observation.timed_out
    assert late.observation.error.type in LATE
    assert fine.observation.rows == [[0]]


@pytest.mark.parametrize(
    "query",
    [
        "CREATE TABLE big AS " + ENDLESS + "SELECT randomblob(10000) FROM c",
        "SELECT a.id FROM orders a, orders b, orders c, orders d, orders e ORDER BY random()",
        "SELECT group_concat(hex(randomblob(100000))) FROM order_items",
        "SELECT replace(hex(zeroblob(500000)), '0', hex(zeroblob(500000)))",
    ],
)
def test_what_wants_all_memory_or_disk_gets_an_error(query):
    failed, fine = play(query, "SELECT COUNT(*) FROM products")
    assert failed.observation.error is not None
    assert fine.observation.rows == [[12]]


def test_a_driver_that_is_killed_costs_the_statement_and_what_was_not_committed():
    async def main(environment: SqlEnvironment) -> list[SqlObservation]:
        await environment.reset(task_id="shop-cities")
        for query in ("DELETE FROM order_items", "BEGIN", "DELETE FROM products"):
            await environment.step(SqlAction(query=query))
        await environment._database._workspace.python("import os; os.kill(os.getpid(), 9)")
        queries = (
            "SELECT COUNT(*) FROM products",
            "SELECT COUNT(*) FROM products",
            "SELECT COUNT(*) FROM order_items",
        )
        return [(await environment.step(SqlAction(query=query))).observation for query in queries]

    lost, products, items = with_environment(main)
    assert lost.error.type == "ConnectionLost"
    assert not lost.timed_out
    assert "not committed" in lost.note
    assert (products.rows, items.rows) == ([[12]], [[0]])


# --- rewards -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "reward"),
    [
        ("SELECT name, email FROM customers WHERE id NOT IN (SELECT customer_id FROM orders) ORDER BY 1 DESC", 1.0),
        ("SELECT email, name FROM customers WHERE id NOT IN (SELECT customer_id FROM orders)", 0.0),
        ("SELECT name FROM customers WHERE id NOT IN (SELECT customer_id FROM orders)", 0.0),
        ("SELECT name, email FROM customers", 0.0),
        (f"{ENDLESS} SELECT x, x FROM c", 0.0),
        ("no SQL", 0.0),
        ("", 0.0),
        ("\0", 0.0),
    ],
)
def test_the_rows_of_what_is_submitted_are_the_answer_in_any_order(query, reward):
    assert submitted(query, "shop-never-ordered") == reward


def test_the_order_of_rows_matters_where_the_reference_orders():
    query = load()["shop-revenue"].reference[-1]
    assert submitted(query, "shop-revenue") == 1.0
    assert submitted(query.replace("DESC", "ASC"), "shop-revenue") == 0.0


def test_the_state_of_the_tables_is_the_answer_to_a_change_however_it_came_about():
    task = "shop-restock"
    ids = "SELECT id FROM products WHERE category = 'kitchen' AND stock < 20"
    in_steps = [f"CREATE TEMP TABLE few AS {ids}", "UPDATE products SET stock = stock + 50 WHERE id IN few"]
    assert play(*in_steps, SqlAction(query="", submit=True), task=task)[-1].reward == 1.0
    more = "UPDATE products SET stock = stock + 50"
    assert play(SqlAction(query=more, submit=True), task=task)[-1].reward == 0.0
    collateral = SqlAction(query="DELETE FROM order_items WHERE order_id = 1", submit=True)
    assert play(*in_steps, collateral, task=task)[-1].reward == 0.0


def test_what_is_not_committed_does_not_count():
    change = load()["shop-restock"].reference[0]
    assert play("BEGIN", SqlAction(query=change, submit=True), task="shop-restock")[-1].reward == 0.0
    committed = play("BEGIN", change, SqlAction(query="COMMIT", submit=True), task="shop-restock")
    assert committed[-1].reward == 1.0


def test_a_table_that_is_gone_or_endless_is_a_wrong_answer():
    gone = [SqlAction(query="ALTER TABLE products RENAME TO p", submit=True)]
    assert play(*gone, task="shop-restock")[-1].reward == 0.0
    view = f"CREATE VIEW products AS {ENDLESS} SELECT x, x, x, x, x FROM c"
    assert (
        play("ALTER TABLE products RENAME TO p", SqlAction(query=view, submit=True), task="shop-restock")[-1].reward
        == 0.0
    )


def test_the_last_step_counts_as_submitted():
    results = play(*["SELECT COUNT(DISTINCT city) FROM customers"] * 3, max_steps=3)
    assert [result.reward for result in results] == [None, None, 1.0]
    assert [result.truncated for result in results] == [False, False, True]
    assert not results[-1].terminated


@pytest.mark.parametrize("task", TASKS)
def test_the_oracle_scores_the_most_and_the_null_policy_the_least(task):
    async def main(environment: SqlEnvironment) -> list[float]:
        scores = []
        for statements in (load()[task].reference, ["SELECT 'nothing'"]):
            await environment.reset(task_id=task)
            *before, last = statements
            for statement in before:
                assert (await environment.step(SqlAction(query=statement))).observation.error is None
            scores.append((await environment.step(SqlAction(query=last, submit=True))).reward)
        return scores

    assert with_environment(main) == [policies.MAX_RETURN, policies.MIN_RETURN]


# --- episodes ------------------------------------------------------------------------------------------


def test_a_seed_chooses_the_task_and_a_name_names_it():
    async def main(environment: SqlEnvironment) -> list[str]:
        return [(await environment.reset(seed=seed)).task_id for seed in (*range(60), *range(60))]

    chosen = with_environment(main)
    assert chosen[:60] == chosen[60:]
    assert set(chosen) == set(TASKS)


def test_a_task_that_is_not_there_is_refused_by_name():
    with pytest.raises(InvalidRequestError, match=r"There is no task 'nonsense'.*shop-cities"):
        with_environment(lambda environment: environment.reset(task_id="nonsense"))


def test_a_step_before_the_reset_says_so():
    with pytest.raises(NotResetError, match=r"reset\(\)"):
        with_environment(lambda environment: environment.step(SqlAction(query="SELECT 1")))


def test_a_reset_undoes_everything():
    async def main(environment: SqlEnvironment) -> SqlObservation:
        await environment.reset(task_id="shop-cities")
        for query in (
            "DROP TABLE order_items",
            "CREATE TABLE mine (a)",
            "CREATE TEMP TABLE temporary (a)",
            "BEGIN",
        ):
            await environment.step(SqlAction(query=query))
        again = await environment.reset(task_id="shop-cities")
        assert [table.name for table in again.tables] == ["customers", "order_items", "orders", "products"]
        return (await environment.step(SqlAction(query="SELECT * FROM temporary"))).observation

    assert "no such table" in with_environment(main).error.message


def test_eight_sessions_at_once_do_not_see_one_another():
    async def episode(server: LocalServer, number: int) -> list[list[Any]]:
        async with server.client(SqlEnv) as env:
            await env.reset(task_id="shop-cities")
            await env.step(SqlAction(query=f"CREATE TABLE mine AS SELECT {number} AS secret"))
            return (await env.step(SqlAction(query="SELECT secret FROM mine"))).observation.rows

    async def main() -> None:
        async with LocalServer(SqlEnvironment) as server:
            assert await asyncio.gather(*(episode(server, number) for number in range(8))) == [
                [[number]] for number in range(8)
            ]

    asyncio.run(main())


def test_a_close_leaves_no_process_and_no_folder(tmp_path, monkeypatch):
    async def main(environment: SqlEnvironment) -> tuple[int, Path]:
        await environment.reset(task_id="shop-cities")
        workspace = environment._database._workspace
        pid = int((await workspace.python("import os; os.getpid()")).value)
        assert "database.sqlite" in await workspace.names()
        return pid, Path(workspace.folder)

    pid, folder = with_environment(main)
    assert not folder.parent.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# --- tasks of one's own --------------------------------------------------------------------------------


def test_a_folder_of_tasks_can_be_named(tmp_path):
    (tmp_path / "pets.sql").write_text("CREATE TABLE pets (name TEXT); INSERT INTO pets VALUES ('Rex'), ('Tom');")
    (tmp_path / "tasks.yaml").write_text(
        "- {id: pets, database: pets, instruction: Which pets, reference: SELECT name FROM pets}"
    )
    result = play(SqlAction(query="SELECT 'Tom' UNION SELECT 'Rex'", submit=True), task="pets", tasks=tmp_path)[-1]
    assert result.reward == 1.0


@pytest.mark.parametrize(
    "text", ["", "[]", "- {id: x}", "- 5", "{", "- {id: x, database: y, instruction: z, reference: q}"]
)
def test_a_folder_without_tasks_says_what_is_missing(text, tmp_path):
    (tmp_path / "tasks.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"tasks\.yaml"):
        load(tmp_path)


@pytest.mark.parametrize("reference", ["SELEC", "SELECT * FROM nowhere"])
def test_a_reference_that_fails_is_the_authors_fault_and_no_reward(reference, tmp_path):
    (tmp_path / "pets.sql").write_text("CREATE TABLE pets (name TEXT);")
    (tmp_path / "tasks.yaml").write_text(
        f"- {{id: pets, database: pets, instruction: Which, reference: {reference!r}}}"
    )
    with pytest.raises(ConfigurationError, match="reference of pets fails"):
        play(SqlAction(query="SELECT 1", submit=True), task="pets", tasks=tmp_path)


# --- served --------------------------------------------------------------------------------------------


def test_an_episode_against_a_server():
    with SqlEnv.with_provider(ProcessProvider()) as env:
        assert env.metadata().name == "sql_env"
        assert env.reset(task_id="shop-cities").observation.dialect == "sqlite"
        assert env.step(SqlAction(query="SELECT 1 AS one")).observation.rows == [[1]]
        assert env.state().task_id == "shop-cities"


@pytest.mark.slow
def test_the_policies_in_a_sandbox():
    provider = SandboxProvider("sql_env.server.app:app", memory_bytes=4 * 2**30)
    with SqlEnv.with_provider(provider) as env:
        for task in TASKS:
            assert policies.oracle(env, task_id=task) == policies.MAX_RETURN
            assert policies.null(env, task_id=task) == policies.MIN_RETURN
