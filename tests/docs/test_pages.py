"""The tables of the other pages are those of the code, and no link leads nowhere."""

import re
from pathlib import Path

import pytest

from openenv.client.link import LinkOptions
from openenv.errors import RequestError
from openenv.outcomes import Cause, Status
from openenv.server import given, manager
from openenv.server.budgets import Budgets
from openenv.server.sessions import Phase

DOCS = Path(__file__).parents[2] / "docs"
OUTCOMES = (DOCS / "outcomes-and-budgets.md").read_text(encoding="utf-8")
SESSIONS = (DOCS / "sessions.md").read_text(encoding="utf-8")


def rows(text: str, *heads: str) -> list[list[str]]:
    """Return the cells of the rows of the tables with these heads, without marks of code."""
    found: list[list[str]] = []
    wanted = False
    for line in text.splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if cells[: len(heads)] == list(heads):
            wanted = True
        elif wanted and cells:
            found.append(cells)
        else:
            wanted = False
    return [cells for cells in found if not cells[0].startswith("---")]


def seconds(text: str) -> float | None:
    """Return a default as the page says it."""
    return None if text == "None" else float(text)


def test_every_status_and_cause_is_told():
    assert [status for status, *_ in rows(OUTCOMES, "status", "means")] == list(Status)
    assert [cause for cause, *_ in rows(OUTCOMES, "cause", "means")] == list(Cause)


def test_every_exception_is_told_with_its_outcome():
    told = {}
    for codes, exception, status, cause, retryable in rows(OUTCOMES, "code", "exception"):
        for code in codes.split(", "):
            told[code] = (exception, status, cause, retryable == "yes")
    outcomes = {code: (cls.__name__, cls("x", code=code).outcome) for code, cls in RequestError.by_code.items()}
    assert told == {code: (name, o.status, o.cause, o.retryable) for code, (name, o) in outcomes.items()}
    assert not any(outcome.reward_valid for _, outcome in outcomes.values())


def test_every_budget_is_told_with_its_default():
    told = {name: seconds(default) for name, default, *_ in rows(OUTCOMES, "budget", "default")}
    assert told == dict(Budgets())
    options = LinkOptions()
    client = {name.removeprefix("websocket_"): seconds(default) for name, default, *_ in rows(OUTCOMES, "argument")}
    assert client == {name: getattr(options, name) for name in client}
    assert client.keys() == {name for name in vars(options) if name.endswith("_s")}


def test_every_phase_is_told():
    assert [phase for phase, *_ in rows(SESSIONS, "phase", "it")] == [phase.value for phase in Phase]


@pytest.mark.parametrize(
    ("sentence", "number"),
    [
        (r"lease: (\d+) s", Budgets().lease),
        (r"(\d+) s without a request", Budgets().unattached),
        (r"free after (\d+) s", manager.CLOSE_GRACE_S),
        (r"reasons of the last (\d+) sessions", manager.ENDS_KEPT),
        (r"else (\d+) for an environment", given.CONCURRENT_SESSIONS),
    ],
)
def test_the_numbers_are_those_of_the_code(sentence: str, number: float):
    found = re.findall(sentence, " ".join(SESSIONS.split()))
    assert found
    assert {float(one) for one in found} == {number}


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


PAGES = [*sorted(DOCS.glob("*.md")), *(DOCS.parent / name for name in ("README.md", "CONTRIBUTING.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS.parent)))
def test_every_link_leads_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        place = (page.parent / file).resolve() if file else page
        assert place.exists(), target
        if anchor:
            assert anchor in anchors(place), target
