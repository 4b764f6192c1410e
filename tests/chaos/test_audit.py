"""The audit of the chaos suite finds what it is there to find: each violation, written by hand, is counted."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chaos.audit import audit

LEDGER = [
    {"do": "made", "pid": 1},
    {"do": "reset", "token": "a.1"},
    {"do": "step", "token": "a.2", "claimed": "a.1", "episode": "a.1", "count": 1},
    {"do": "step", "token": "a.3", "claimed": "a.1", "episode": "a.1", "count": 2},
    {"do": "close"},
]


def ask(token: str, verb: str = "step", episode: str | None = "a.1", **more: Any) -> dict[str, Any]:
    fields = {"opening": False, "unsure": False, **more}
    return {"do": "ask", "verb": verb, "token": token, "episode": episode, **fields}


def told(asked: str, count: int, **more: Any) -> dict[str, Any]:
    seen = {"token": asked, "instance": "one", "episode": "a.1", "count": count, **more}
    return {"do": "told", "token": asked, "seen": seen}


def failed(token: str, code: str) -> dict[str, Any]:
    return {"do": "failed", "token": token, "code": code, "message": ""}


JOURNAL = [
    {"do": "made", "pid": 2},
    ask("a.1", "reset", None),
    told("a.1", 0),
    ask("a.2"),
    told("a.2", 1),
    ask("a.3"),
    told("a.3", 2),
    {"do": "end"},
]


def found(folder: Path, journal: list[dict[str, Any]], *ledgers: list[dict[str, Any]], allowed: str = "") -> Any:
    """Return the violations in the given books."""
    for name, lines in [("journal-a", journal), *zip(("ledger-one", "ledger-two"), ledgers, strict=False)]:
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return dict(audit(folder, [allowed]).violations)


def test_a_story_without_faults_is_no_violation(tmp_path):
    assert found(tmp_path, JOURNAL, LEDGER) == {}


def changed(lines: list[dict[str, Any]], place: int, *others: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the lines with others in the place of one."""
    return [*lines[:place], *others, *lines[place + 1 :]]


@pytest.mark.parametrize(
    ("violation", "journal", "ledger"),
    [
        ("wrong replies", changed(JOURNAL, 4, told("a.2", 1, token="a.3")), LEDGER),
        ("wrong replies", changed(JOURNAL, 4, told("a.2", 7)), LEDGER),
        ("wrong replies", changed(JOURNAL, 4, told("a.2", 1, instance="two")), LEDGER),
        ("wrong replies", changed(JOURNAL, 4, failed("a.2", "NOT_RESET")), LEDGER),
        ("duplicated steps", JOURNAL, changed(LEDGER, 3, LEDGER[3], LEDGER[3])),
        ("lost steps", JOURNAL, changed(LEDGER, 3)),
        ("lost steps", changed(JOURNAL, 4, {"do": "gave up", "token": "a.2"}), changed(LEDGER, 2)),
        ("steps without reset", JOURNAL, changed(LEDGER, 3, {**LEDGER[3], "claimed": "a.0"})),
        ("steps without reset", JOURNAL, [*LEDGER, LEDGER[3]]),
        ("requests without answer", changed(JOURNAL, 6), LEDGER),
        ("lost sessions", changed(JOURNAL, 6, failed("a.3", "SESSION_LOST")), LEDGER),
        ("unexpected errors", changed(JOURNAL, 6, failed("a.3", "EXECUTION_ERROR")), LEDGER),
        ("unexpected errors", [*JOURNAL, {"do": "crash", "what": "KeyError"}], LEDGER),
        ("leaked threads", [*JOURNAL, {"do": "leak", "what": "threads", "number": 1}], LEDGER),
        ("wrong replies", [*JOURNAL, {"do": "state", "fits": False}], LEDGER),
    ],
)
def test_each_violation_is_found(tmp_path, violation, journal, ledger):
    assert violation in found(tmp_path, journal, ledger)


def test_a_step_on_an_environment_that_was_never_reset_is_found(tmp_path):
    other = [LEDGER[0], LEDGER[3], LEDGER[4]]
    assert "steps without reset" in found(tmp_path, JOURNAL, changed(LEDGER, 3), other)


def test_what_a_killed_client_never_heard_is_no_violation(tmp_path):
    assert found(tmp_path, JOURNAL[:6], LEDGER) == {}


def test_what_the_faults_explain_is_no_violation(tmp_path):
    journal = changed(JOURNAL, 6, failed("a.3", "ENVIRONMENT_DIED"))
    assert found(tmp_path, journal, LEDGER, allowed="ENVIRONMENT_DIED") == {}
    assert found(tmp_path, journal, LEDGER) == {"unexpected errors": 1}
