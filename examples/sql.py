"""Solves two tasks of sql_env, a question and a change: python examples/sql.py [--no-sandbox]

The server runs in a sandbox, and the database in a smaller one within.
"""

import argparse

from openenv.models import StepResult
from openenv.providers import ProcessProvider, SandboxProvider
from sql_env import SqlAction, SqlEnv, SqlObservation

REVENUE = """
SELECT category, ROUND(SUM(price * quantity), 2) AS revenue
FROM order_items
JOIN products ON products.id = product_id
JOIN orders ON orders.id = order_id
WHERE status <> 'cancelled'
GROUP BY category
ORDER BY revenue DESC
"""
QUESTION = [
    ("SELECT category, SUM(price) FROM product GROUP BY category", False),  # there is no such table
    ("SELECT status, COUNT(*) FROM orders GROUP BY status", False),
    (REVENUE, True),
]
CHANGE = [
    ("SELECT id, name, stock FROM products WHERE category = 'kitchen'", False),
    ("BEGIN", False),
    ("UPDATE products SET stock = stock + 50", False),  # too many: it was not only the kitchen's
    ("ROLLBACK", False),
    ("UPDATE products SET stock = stock + 50 WHERE category = 'kitchen' AND stock < 20", True),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    provider = ProcessProvider() if parser.parse_args().no_sandbox else SandboxProvider()
    with SqlEnv.with_provider(provider) as env:
        for task, statements in (("shop-revenue", QUESTION), ("shop-restock", CHANGE)):
            start = env.reset(task_id=task).observation
            print(f"The task {task}:\n{start.instruction}\n")
            for table in start.tables or []:
                print(f"    {table.name}({', '.join(column.name for column in table.columns)})")
            for query, submit in statements:
                print(f"\n{'submit' if submit else 'query'}> {query.strip()}")
                show(env.step(SqlAction(query=query, submit=submit)))


def show(result: StepResult[SqlObservation]) -> None:
    seen = result.observation
    if seen.error:
        print(f"    {seen.error.type}: {seen.error.message}")
    for row in [seen.columns, *seen.rows][:8] if seen.columns else []:
        print("    " + " | ".join(str(value) for value in row))
    if seen.rows_affected is not None and not seen.columns:
        print(f"    {seen.rows_affected} rows affected")
    if result.done:
        print(f"The episode has ended; the reward is {result.reward}.\n")


if __name__ == "__main__":
    main()
