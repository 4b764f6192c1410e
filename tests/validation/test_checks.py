"""Named checks: how they are collected, chosen, run and told."""

import pytest

from openenv.errors import ConfigurationError
from openenv.validation import report
from openenv.validation.checks import CheckFailed, Checks, CheckSkipped, Result, Verdict, run, select

SIZES = {"small": 1, "large": 100}


@pytest.fixture
def checks() -> Checks[int]:
    """Checks of a number."""
    collected = Checks[int]("number")

    @collected.check
    def positive(number: int) -> None:
        """It is above zero,

        strictly.
        """
        if number <= 0:
            raise CheckFailed("a number above 0", str(number))

    @collected.check
    def prime(number: int) -> None:
        """It has no divisors."""
        raise CheckSkipped("nobody has time for that")

    @collected.each(SIZES)
    def below(number: int, limit: int) -> None:
        """It is below a limit."""
        if 1 / (limit - number) < 0:
            raise CheckFailed(f"below {limit}", str(number))

    return collected


def test_a_check_is_named_by_its_group_function_and_case(checks):
    assert [check.name for check in checks] == [
        "number.positive",
        "number.prime",
        "number.below[small]",
        "number.below[large]",
    ]
    assert next(iter(checks)).help == "It is above zero, strictly."


def test_what_came_of_each_check_is_told_and_nothing_stops_the_others(checks):
    cleaned = []
    results = list(run(list(checks), 1, lambda: cleaned.append(1)))
    assert [r.verdict for r in results] == [Verdict.OK, Verdict.SKIPPED, Verdict.FAILED, Verdict.OK]
    assert results[1].why == "nobody has time for that"
    assert results[2].got.startswith("ZeroDivisionError"), "an exception that nobody thought of is a failure"
    assert len(cleaned) == 4


def test_cleaning_up_that_fails_is_a_failure_of_its_check(checks):
    def fails() -> None:
        raise CheckFailed("a clean place", "a mess")

    assert {r.got for r in run(list(checks)[:1], 1, fails)} == {"a mess"}


@pytest.mark.parametrize(
    ("only", "skip", "wanted"),
    [
        ([], [], 4),
        (["number.*"], [], 4),
        (["number.below"], [], 2),
        (["number.below[small]"], [], 1),
        ([], ["number.below"], 2),
        (["number.p*"], ["number.prime"], 1),
    ],
)
def test_checks_are_chosen_by_name(checks, only: list[str], skip: list[str], wanted: int):
    assert len(select(list(checks), only, skip)) == wanted


def test_a_name_that_no_check_has_is_an_error(checks):
    with pytest.raises(ConfigurationError, match=r"No check is called 'number\.odd'"):
        select(list(checks), ["number.odd"])


def test_the_table_puts_cases_that_held_on_one_line_and_says_why_others_did_not():
    results = [
        Result("a", "a.first", Verdict.OK),
        Result("a", "a.each[x]", Verdict.OK),
        Result("a", "a.each[y]", Verdict.OK),
        Result("a", "a.each[z]", Verdict.FAILED, expected="this", got="that"),
        Result("b", "b.last", Verdict.SKIPPED, why="no time"),
    ]
    assert list(report.lines(results)) == [
        "a",
        "  ok       first",
        "  ok       each (2 cases)",
        "  failed   each[z]",
        "           expected  this",
        "           got       that",
        "",
        "b",
        "  skipped  last: no time",
    ]
    assert report.summary(results) == "3 ok, 1 failed, 1 skipped (0.0 s)"


def test_the_same_as_plain_values():
    told = report.as_data([Result("a", "a.b", Verdict.FAILED, expected="this", got="that")], url="x")
    assert told == {
        "url": "x",
        "ok": 0,
        "failed": 1,
        "skipped": 0,
        "checks": [
            {"group": "a", "name": "a.b", "verdict": "failed", "expected": "this", "got": "that", "seconds": 0.0}
        ],
    }


def test_the_list_tells_the_help_of_cases_once(checks):
    assert list(report.listing(list(checks)))[-4:] == [
        "number.below",
        "    It is below a limit.",
        "    [small]",
        "    [large]",
    ]
