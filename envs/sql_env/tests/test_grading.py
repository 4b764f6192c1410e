"""When two results are the same."""

import pytest

from sql_env.server.grading import same
from sql_env.server.tasks import _orders


@pytest.mark.parametrize(
    ("found", "expected", "ordered", "alike"),
    [
        ([], [], True, True),
        ([[1], [2]], [[2], [1]], False, True),
        ([[1], [2]], [[2], [1]], True, False),
        ([[1], [1], [2]], [[1], [2], [2]], False, False),
        ([[1]], [[1], [1]], False, False),
        ([[1, 2]], [[1]], False, False),
        ([[None]], [[None]], False, True),
        ([[None]], [[0]], False, False),
        ([[None]], [[""]], False, False),
        ([[5]], [[5.0]], False, True),
        ([[0.1 + 0.2]], [[0.3]], False, True),
        ([[12345.674999999]], [[12345.675]], False, True),
        ([[1.0]], [[1.001]], False, False),
        ([["5"]], [[5]], False, False),
        ([[True]], [[1]], False, True),
        ([[9007199254740993]], [[9007199254740992]], False, False),
        ([["a"]], [["A"]], False, False),
        ([["a "]], [["a"]], False, False),
        ([[1.0000005, "x"], [1.0, "y"]], [[1.0, "x"], [1.0000005, "y"]], False, True),
        ([["Infinity"]], [["Infinity"]], False, True),
    ],
)
def test_rows_are_compared_as_values(found, expected, ordered, alike):
    assert same(found, expected, ordered=ordered) is alike


def test_a_large_bag_is_compared_at_once():
    numbers = [[index, index / 7] for index in range(10_000)]
    assert same(list(reversed(numbers)), numbers, ordered=False)
    assert not same([[index + 1, index / 7] for index in range(10_000)], numbers, ordered=False)


@pytest.mark.parametrize(
    ("sql", "ordered"),
    [
        ("SELECT a FROM t ORDER BY a", True),
        ("select a from t order\n  by a", True),
        ("SELECT a FROM t", False),
        ("SELECT a FROM (SELECT a FROM t ORDER BY a) AS x", False),
        ("SELECT ROW_NUMBER() OVER (ORDER BY a) FROM t", False),
        ("SELECT 'ORDER BY' FROM t -- ORDER BY a", False),
        ("SELECT 'it''s (' FROM t ORDER BY 1", True),
        ('SELECT "order by" FROM t /* ORDER BY a */', False),
    ],
)
def test_a_query_orders_if_its_outermost_part_does(sql, ordered):
    assert _orders(sql) is ordered
