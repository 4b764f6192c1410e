"""The history of the page, in a real browser: long ones, what of it is kept, and what a download says."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field
from tests.toys import Count
from tests.web.shown import Picky, Shown
from tests.web.test_browser import another, reset, stepped

from openenv.environment import Environment
from openenv.models import Action, State
from openenv.server.web import visits

pytestmark = pytest.mark.slow

LONG = 1_150
"""Steps of a long episode: more than are told to a page that is loaded again."""

COUNTING = """() => {
    window.drawn = { svg: 0, all: 0 };
    const make = document.createElementNS.bind(document);
    document.createElementNS = (space, name) => {
        drawn.all += 1;
        drawn.svg += name === "svg";
        return make(space, name);
    };
}"""


class Endless(Shown):
    """Never ends."""

    def step(self, action: Any) -> Any:
        return super().step(action).model_copy(update={"done": False})


class Write(Action):
    """Write something."""

    text: str = Field(min_length=1)


class Told(Environment[Write, Count, State]):
    """Counts what is written."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    NON_BLOCKING = True

    def reset(self) -> Count:
        return Count(total=0)

    def step(self, action: Write) -> Count:
        return Count(total=len(action.text))

    @property
    def state(self) -> State:
        return State()


def downloaded(page: Any, folder: Path) -> Any:
    with page.expect_download() as download:
        page.click("#download")
    download.value.save_as(folder / "history.json")
    return json.loads((folder / "history.json").read_text())


def test_a_long_episode_is_drawn_once_when_it_is_loaded_and_in_few_bars(open_page, visit, tab, tmp_path: Path):
    server = open_page(Endless, grace_s=60)
    player = tab(server)
    player.ask("reset")
    for _ in range(LONG):
        player.ask("step", amount=1)
    page = visit(server)
    assert page.locator("#history tfoot").is_hidden()
    page.add_init_script(f"({COUNTING})()")
    page.evaluate("id => sessionStorage.setItem('openenv-visitor' + location.pathname, id)", player.visitor)
    page.reload()
    page.wait_for_selector("#plot svg")
    page.wait_for_selector(f"#figure-step:text-is('{LONG}')")
    assert page.inner_text("#figure-total") == str(LONG)
    assert f"of each {-(-visits.TURNS_KEPT // 200)} steps" in page.inner_text("#plot .key")
    frames = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    page.evaluate(frames)
    assert page.evaluate("() => drawn.svg") <= 2  # the drawing changes the size of its place, which is drawn again
    assert page.locator("#plot svg rect").count() <= 200
    page.evaluate("() => { drawn.svg = drawn.all = 0; }")
    page.click("#step")
    stepped(page, LONG + 1)
    page.evaluate(frames)
    assert page.evaluate("() => drawn.svg") == 1
    assert page.evaluate("() => drawn.all") <= 220
    assert page.inner_text("#figure-total") == str(LONG + 1)
    assert page.locator("#history tbody tr").count() == 200
    assert page.locator("#history tfoot").is_visible()
    assert len(downloaded(page, tmp_path)) == visits.TURNS_KEPT + 1


def test_a_long_action_is_whole_in_the_download_and_the_programs_after_a_reload(open_page, visit, tmp_path: Path):
    words = "x" * 3_000
    page = visit(open_page(Told, grace_s=60))
    reset(page)
    page.fill("#step-fields textarea", words)
    page.click("#step")
    stepped(page, 1)
    first = downloaded(page, tmp_path)
    assert [turn["result"]["done"] for turn in first] == [False, False]
    assert all("left_out" not in turn for turn in first)
    page.reload()
    stepped(page, 1)
    page.click("#tab-code")
    assert words in page.inner_text("#code")
    page.click("#tab-play")
    again = downloaded(page, tmp_path)
    assert [json.loads(turn["sent"]) for turn in again] == [{}, {"text": words}]
    assert again[0]["left_out"] == ["result"]
    assert again[1]["result"]["observation"]["total"] == 3_000
    assert len(page.inner_text("#history .what >> nth=0")) < 200


def test_an_action_that_was_cut_breaks_nothing_and_the_download_says_so(
    open_page, visit, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(visits, "ACTION_KEPT", 50)
    monkeypatch.setattr(visits, "TURNS_KEPT", 1)
    page = visit(open_page(Told, grace_s=60))
    reset(page)
    page.fill("#step-fields textarea", "y" * 100)
    page.click("#step")
    stepped(page, 1)
    page.reload()
    stepped(page, 1)
    page.click("#tab-code")
    assert "env.step(" in page.inner_text("#code")
    page.click("#tab-play")
    (turn,) = downloaded(page, tmp_path)
    assert turn["left_out"] == ["turns 1 to 1", "sent: all but its first 50 characters"]


def test_a_turn_of_a_new_visit_shows_nothing_of_the_former_one(open_page, visit, host, tmp_path: Path):
    server = open_page(Picky)
    page = visit(server)
    reset(page)
    again = another(server, host, Picky)
    page.wait_for_selector("#notice:has-text('The session is gone')")
    page.wait_for_selector("#step:enabled")
    page.click("#step")
    page.wait_for_selector("#mistake:has-text('call reset()')")
    page.click("#history tbody tr")
    assert page.locator("#past").is_hidden()
    (turn,) = downloaded(page, tmp_path)
    assert turn["error"].startswith("This session has no episode yet")
    assert "result" not in turn
    again.stop(wait=False)


def test_after_a_reset_that_failed_the_page_shows_no_episode(open_page, visit):
    page = visit(open_page(Picky, grace_s=60))
    reset(page)
    page.keyboard.press("1")
    stepped(page, 1)
    page.click("#reset-details summary")
    page.get_by_label("Start").fill("-1")
    page.click("#reset")
    page.wait_for_selector("#mistake:has-text('below zero')")
    assert page.inner_text("#status") == "No episode"
    assert page.locator("#offers").is_hidden()
    assert "Press Reset" in page.inner_text("#observation")
    page.reload()
    page.wait_for_selector("#history tbody tr")
    assert page.inner_text("#status") == "No episode"
    reset(page)
    assert page.locator("#offers button").count() == 3


def test_many_turns_within_a_frame_are_drawn_once(open_page, visit):
    page = visit(open_page(Shown))
    reset(page)
    page.evaluate(f"({COUNTING})()")
    page.evaluate("""async () => {
        const { History } = await import("./web/static/history.js");
        const frames = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        const table = document.querySelector("#history").cloneNode(true);
        const history = new History(table, document.createElement("div"), () => {});
        await frames();
        const turn = { verb: "step", sent: "{}", reward: 1 };
        for (let at = 1; at <= 50; at++) history.add({ ...turn, turn: at, step: at, total: at });
        await frames();
    }""")
    assert page.evaluate("() => drawn.svg") == 1
