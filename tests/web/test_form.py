"""What the form sends, in a real browser: each field as it begins, filled in, and cleared."""

import json
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field
from tests.web.test_browser import reset, stepped

from openenv.environment import Environment
from openenv.models import Action, Observation, State

pytestmark = pytest.mark.slow

UNSAFE = "9007199254740993"
"""The first whole number, but one, that a browser takes for another one."""


class Side(BaseModel):
    a: int = 1
    b: int = 2


class Take(Action):
    """Something of each kind that can be left empty."""

    must: int | None = Field(description="To be given, and null is allowed.")
    size: tuple[int, int] | None = None
    shape: tuple[int, int] = (8, 9)
    pair: tuple[int, int] | None = (1, 2)
    limit: int | None = 5
    least: int = 3
    word: str | None = "abc"
    mode: Literal["x", "y"] | None = "x"
    either: int | str | None = 4
    numbers: list[float] = Field(default=[1.0, 2.0])
    weights: list[int] | None = Field(default=[1])
    tags: list[str] = Field(default=["p"])
    side: Side | None = Side(a=7)
    extra: dict[str, int] = Field(default={"k": 1})


class Taken(Observation):
    """Nothing to see."""


class Taker(Environment[Take, Taken, State]):
    """Takes anything."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    NON_BLOCKING = True

    def reset(self, seed: int | None = None) -> Taken:
        return Taken()

    def step(self, action: Take) -> Taken:
        return Taken()

    @property
    def state(self) -> State:
        return State()


class Sized(Taker):
    """Can be given a size when it begins."""

    def reset(self, size: tuple[int, int] | None = None) -> Taken:
        return Taken()


class Form:
    """The form of a page whose server is in this process."""

    def __init__(self, server: Any, page: Any) -> None:
        self.page = page
        self._server = server
        reset(page)
        page.evaluate("() => document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        self.steps = 0

    def field(self, name: str) -> Any:
        return self.page.locator("#step-fields").get_by_label(name, exact=True)

    def group(self, name: str) -> Any:
        legend = self.page.locator("legend", has_text=name)
        return self.page.locator("#step-fields fieldset", has=legend).last

    def sent(self) -> dict[str, Any]:
        """Step, and return the action that the server got."""
        self.page.click("#step")
        self.steps += 1
        stepped(self.page, self.steps)
        (visit,) = self._server.app.state.openenv_page._visits.values()
        return dict(json.loads(visit._turns[-1]["sent"]))

    def refused(self) -> str:
        """Step, and return what is said at a field; nothing was sent."""
        self.page.click("#step")
        return str(self.page.inner_text("#step-fields .wrong:not([hidden])"))


@pytest.fixture
def form(open_page, visit) -> Form:
    server = open_page(Taker)
    return Form(server, visit(server))


def test_a_form_that_nobody_touched_sends_what_it_shows(form):
    sent = Take.model_validate(form.sent())
    assert sent == Take(must=None)
    assert form.field("Limit").input_value() == "5"
    assert [each.input_value() for each in form.group("Shape").locator("input").all()] == ["8", "9"]


def test_what_takes_null_and_is_cleared_is_sent_as_null(form):
    for name in ("Limit", "Word", "Weights"):
        form.field(name).fill("")
        assert form.field(name).get_attribute("placeholder") == "none"
    form.field("Mode").select_option(label="none")
    form.field("Either").select_option(label="none")
    form.field("Side").uncheck()
    for each in form.group("Pair").locator("input").all():
        each.fill("")
        assert each.get_attribute("placeholder") == "none"
    sent = form.sent()
    for name in ("must", "limit", "word", "weights", "mode", "either", "side", "pair"):
        assert sent[name] is None, name
    assert "size" not in sent


def test_a_list_that_is_cleared_is_sent_empty(form):
    form.field("Numbers").fill("")
    form.field("Weights").fill("[]")
    form.group("Tags").get_by_label("Remove").click()
    sent = form.sent()
    assert (sent["numbers"], sent["weights"], sent["tags"]) == ([], [], [])


def test_a_cleared_field_that_takes_no_null_tells_its_default_and_that_is_used(form):
    form.field("Least").fill("")
    form.field("Extra").fill("")
    shape = form.group("Shape").locator("input")
    shape.nth(0).fill("")
    shape.nth(1).fill("")
    assert form.field("Least").get_attribute("placeholder") == "by default 3"
    assert form.field("Extra").get_attribute("placeholder") == 'by default {"k":1}'
    assert shape.nth(1).get_attribute("placeholder") == "by default 9"
    assert Take.model_validate(form.sent()) == Take(must=None)


def test_a_tuple_that_is_begun_has_to_be_filled(form):
    size = form.group("Size").locator("input")
    size.nth(0).fill("3")
    assert form.refused() == "This is needed"
    size.nth(1).fill("4")
    assert form.sent()["size"] == [3, 4]


@pytest.mark.parametrize("name", ["Must", "Least", "Weights", "Extra"])
def test_a_whole_number_that_a_browser_would_change_is_refused_at_its_field(form, name):
    form.field(name).fill(f'{{"k": {UNSAFE}}}' if name == "Extra" else UNSAFE)
    assert "exactly" in form.refused()
    assert form.page.locator("#history tbody tr").count() == 2


def test_a_number_that_json_has_no_sign_for_is_refused_at_its_field(form):
    form.field("Numbers").fill("1, Infinity")
    assert "Infinity is no number" in form.refused()


def test_a_tuple_that_a_reset_need_not_be_given_is_left_out(open_page, visit):
    server = open_page(Sized)
    page = visit(server)
    page.click("#reset")
    page.wait_for_selector("#status[data-state=playing]")
    (visitor,) = server.app.state.openenv_page._visits.values()
    assert visitor._turns[-1]["sent"] == "{}"
