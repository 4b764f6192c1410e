"""The page in a real browser: what people press and see."""

import re
import struct
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from pydantic import BaseModel, Field
from tests.servers import wait_until
from tests.web.shown import Shown, Slow

from openenv.environment import Environment
from openenv.models import Action, Observation, State
from openenv.server.app import create_app
from openenv.server.web import add_page

pytestmark = pytest.mark.slow

EVIL = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"


class Point(BaseModel):
    x: float = Field(ge=0, le=1, description="From the left.")
    y: float = Field(ge=0, le=1)


class Draw(Action):
    """Draw something."""

    kind: str = "draw"
    where: Point
    colour: str = Field(default="red", json_schema_extra={"enum": ["red", "blue"]})
    weights: list[int] = Field(default_factory=list)
    labels: list[str] = Field(default_factory=list)
    picture: bytes = b""
    code: str = ""
    times: int = Field(default=1, ge=1, le=3)


class Say(Action):
    """Say something."""

    words: str = Field(min_length=1)


class Canvas(Observation):
    """What there is."""

    got: Any = None
    text: str = ""
    screen: np.ndarray
    photo: bytes = b""
    file: bytes = b""
    board: list[list[int]] = Field(default_factory=list)
    rows: list[dict[str, Any]] = Field(default_factory=list)
    legal_actions: list[str] = Field(default_factory=list)


def photo() -> bytes:
    """Return a PNG of two grey pixels, whose base64 has letters that its alphabets have different signs for."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0\xfb\xff"))]
    chunks = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in [*parts, (b"IEND", b"")]
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


class Painter(Environment[Draw | Say, Canvas, State]):
    """Gives back what it got, and something of everything."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed: int | None = None) -> Canvas:
        return self._seen(None)

    def step(self, action: Draw | Say) -> Canvas:
        return self._seen(action.model_dump(mode="json", exclude={"metadata"}))

    def _seen(self, got: Any) -> Canvas:
        return Canvas(
            got=got,
            text=EVIL,
            screen=np.arange(64 * 48 * 3, dtype=np.uint8).reshape(64, 48, 3),
            photo=photo(),
            file=b"\xff\xfe\xfd",
            board=[[0, 2], [4, 8]],
            rows=[{"name": "a", "worth": 1}, {"name": "b", "worth": 2}],
            legal_actions=["hello", "bye"],
        )

    @property
    def state(self) -> State:
        return State()


def reset(page: Any) -> None:
    page.click("#reset")
    page.wait_for_selector("#status[data-state=playing]")


def stepped(page: Any, number: int) -> None:
    page.wait_for_selector(f"#figure-step:text-is('{number}')")


def test_an_episode_is_played_looked_back_at_and_there_after_a_reload(open_page, visit):
    page = visit(open_page(Shown, grace_s=60))
    reset(page)
    for number in range(1, 6):
        page.click("#offers button >> nth=0")
        stepped(page, number)
    assert page.inner_text("#figure-total") == "10"
    page.wait_for_selector("#plot svg rect >> nth=4")
    assert page.locator("#plot svg rect").count() == 5
    assert page.locator("#history tbody tr").count() == 7
    page.click("#history tbody tr:has-text('+2') >> nth=4")
    assert "step 1 of episode 1" in page.inner_text("#past")
    assert page.inner_text("#observation dd") == "2"
    page.reload()
    stepped(page, 5)
    assert page.locator("#history tbody tr").count() == 7
    page.click("#offers button >> nth=1")
    stepped(page, 6)
    assert page.inner_text("#figure-total") == "20"


def test_two_visitors_play_apart_and_a_closed_tab_frees_its_session(open_page, visit):
    server = open_page(Shown)
    one, two = visit(server), visit(server)
    reset(one)
    reset(two)
    one.click("#offers button >> nth=1")
    stepped(one, 1)
    assert two.inner_text("#figure-step") == "0"
    assert server.manager.capacity().active_sessions == 2
    one.close()
    assert wait_until(lambda: server.manager.capacity().active_sessions == 1)


def test_the_end_of_an_episode_and_errors_are_told_in_words(open_page, visit):
    page = visit(open_page(Shown))
    page.click("#step")
    assert "call reset()" in page.inner_text("#mistake:not([hidden])")
    reset(page)
    page.fill("#step-fields input[type=number]", "13")
    page.keyboard.press("Enter")
    page.wait_for_selector("#step-fields .wrong:has-text('unlucky')")
    page.fill("#step-fields input[type=number]", "100")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#status[data-state=over]")
    assert page.locator("#offers").is_hidden()
    page.click("#step")
    page.wait_for_selector("#mistake:has-text('episode has ended')")
    reset(page)


def test_a_form_has_what_its_schema_has(open_page, visit, tmp_path: Path):
    page = visit(open_page(Painter))
    reset(page)
    page.fill("#step-fields fieldset input >> nth=0", "2")
    page.click("#step")
    assert "At most 1" in page.inner_text(".wrong:not([hidden])")
    page.fill("#step-fields fieldset input >> nth=0", "0.25")
    page.fill("#step-fields fieldset input >> nth=1", "1")
    page.get_by_label("Colour").select_option(label="blue")
    page.click("#step-fields summary:has-text('Optional')")
    page.get_by_label("Weights").fill("1, 2, x")
    page.click("#step")
    assert "x is no whole number" in page.inner_text(".wrong:not([hidden])")
    page.get_by_label("Weights").fill("[1, 2]")
    page.click("button:has-text('+ Add')")
    page.keyboard.type("first")
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG")
    page.set_input_files("input[type=file]", picture)
    page.fill("textarea.code", "a = 1\nb = 2")
    page.click("#step")
    stepped(page, 1)
    got = page.evaluate("() => document.querySelector('#observation').innerText")
    for part in ("0.25", "blue", "1 2", "first", "iVBORw==", "b = 2"):
        assert part in got, part


def test_a_union_is_a_choice_and_legal_actions_are_buttons_for_it(open_page, visit):
    page = visit(open_page(Painter))
    reset(page)
    page.click("#offers button:has-text('Bye')")
    stepped(page, 1)
    assert "bye" in page.inner_text("#history tbody tr >> nth=0")
    page.keyboard.press("1")
    stepped(page, 2)
    assert page.locator("#step-fields select >> nth=0").evaluate("each => each.selectedOptions[0].text") == "Say"


def test_what_an_environment_says_is_shown_as_what_it_is_and_never_run(open_page, visit):
    page = visit(open_page(Painter))
    reset(page)
    assert page.locator("#observation canvas").evaluate("each => [each.width, each.height]") == [48, 64]
    photo = page.locator("#observation img")
    photo.evaluate("each => each.decode()")
    assert photo.evaluate("each => [each.naturalWidth, each.naturalHeight]") == [2, 1]
    assert "3 bytes" in page.inner_text("#observation")
    assert page.locator("#observation table.grid td").all_inner_texts() == ["0", "2", "4", "8"]
    assert page.locator("#observation table:not(.grid) tbody tr").count() == 2
    assert EVIL in page.inner_text("#observation")
    assert page.title() == "Painter"


def test_shares_of_one_with_transparency_are_painted_as_visible_as_they_are(open_page, visit):
    class Glass(Painter):
        def _seen(self, got: Any) -> Canvas:
            screen = np.linspace(0, 1, 20 * 20 * 4, dtype=np.float32).reshape(20, 20, 4)
            screen[..., 3] = 1
            screen[0, 0, 3] = 0.5
            return super()._seen(got).model_copy(update={"screen": screen})

    page = visit(open_page(Glass))
    reset(page)
    pixels = "each => [...each.getContext('2d').getImageData(0, 0, 2, 1).data]"
    painted = page.locator("#observation canvas").evaluate(pixels)
    assert (painted[3], painted[7]) == (128, 255)


def test_html_that_an_environment_draws_is_shown_in_a_frame_without_scripts(open_page, visit):
    class Drawn(Shown):
        def render_web(self, observation: Any) -> str:
            return f"<h1>{observation.total}</h1><script>parent.document.title='broken'</script>{EVIL}"

    page = visit(open_page(Drawn))
    reset(page)
    drawn = page.frame_locator("#view iframe")
    drawn.locator("h1:text-is('0')").wait_for()
    page.click("#offers button >> nth=0")
    drawn.locator("h1:text-is('2')").wait_for()
    assert page.title() == "Drawn"


def test_a_long_step_shows_its_progress_and_can_be_stopped(open_page, visit):
    Slow.gate.clear()
    page = visit(open_page(Slow))
    reset(page)
    page.click("#step")
    page.wait_for_selector("#doing:has-text('half of it')")
    page.click("#cancel")
    page.wait_for_selector("#mistake:has-text('cancelled')")
    Slow.gate.set()
    reset(page)


@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (1280, True)])
def test_nothing_is_wider_than_a_phone_and_dark_is_dark(open_page, visit, width, dark):
    page = visit(open_page(Painter), width, dark)
    reset(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 200) == dark
    page.click("#theme")
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") != ground


def test_the_page_is_played_by_keyboard_alone(open_page, visit):
    page = visit(open_page(Shown))
    page.focus("#tab-play")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("() => document.activeElement.id") == "tab-state"
    page.keyboard.press("Home")
    while page.evaluate("() => document.activeElement.id") != "reset":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#offers button")
    page.keyboard.press("2")
    stepped(page, 1)
    assert page.inner_text("#figure-reward") == "+10"


def test_the_other_tabs_tell_state_schemas_and_code(open_page, visit):
    page = visit(open_page(Shown))
    reset(page)
    page.fill("#step-fields input[type=number]", "7")
    page.click("#tab-state")
    assert "episode_id" in page.inner_text("#state")
    page.click("#tab-schemas")
    assert '"amount"' in page.inner_text("#schemas")
    page.click("#tab-code")
    code = page.inner_text("#code")
    assert 'env.step({"amount": 7})' in code
    assert "curl -s -X POST" in code


def test_a_text_that_grows_is_shown_at_its_end(open_page, visit):
    class Told(Painter):
        def _seen(self, got: Any) -> Canvas:
            self.lines = [*getattr(self, "lines", []), *map(str, range(100))]
            return super()._seen(got).model_copy(update={"text": "\n".join(self.lines)})

    page = visit(open_page(Told))
    reset(page)
    text = page.locator("#observation pre:has-text('99')")
    assert text.evaluate("each => each.scrollTop") == 0
    page.click("#offers button >> nth=0")
    stepped(page, 1)
    page.wait_for_selector("#observation .changed pre")
    text.evaluate("each => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert text.evaluate("each => each.scrollTop + each.clientHeight + 2 >= each.scrollHeight")


def test_a_page_whose_server_comes_back_goes_on(open_page, visit):
    server = open_page(Shown, grace_s=60)
    page = visit(server)
    reset(page)
    server.cut()
    page.wait_for_selector("#status[data-state=lost]")
    page.wait_for_selector("#status[data-state=playing]")
    page.keyboard.press("1")
    stepped(page, 1)


@pytest.mark.parametrize("file", ["pictures.js", "app.js", "page.css", "about"])
def test_a_file_of_the_page_that_did_not_come_is_asked_for_again(open_page, visit, file):
    page = visit(open_page(Shown))
    lost = []

    def lose_once(route: Any) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.request.url)
        route.abort("connectionfailed")

    page.route(f"**/{file}", lose_once)
    page.reload()
    page.wait_for_selector("#reset:enabled")
    assert len(lost) == 1
    reset(page)
    assert page.locator("#notice").is_hidden()


def test_a_file_of_the_page_that_never_comes_is_told(open_page, visit):
    page = visit(open_page(Shown))
    page.evaluate("() => sessionStorage.setItem('openenv-tries', 4)")
    page.route("**/pictures.js", lambda route: route.abort())
    page.reload()
    page.wait_for_selector("#notice:has-text('could not be loaded')", timeout=30_000)


def another(server: Any, host: Any, env: Any) -> Any:
    """Start a server in the place of one."""
    server.vanish()
    app = create_app(env)
    add_page(app)
    return host.run(app, port=urlsplit(server.url).port)


def test_a_page_whose_server_is_started_again_says_so_and_shows_nothing_of_before(open_page, visit, host):
    server = open_page(Shown)
    page = visit(server)
    reset(page)
    page.keyboard.press("1")
    stepped(page, 1)
    page.fill("#step-fields input[type=number]", "7")
    again = another(server, host, Shown)
    page.wait_for_selector("#notice:has-text('The session is gone')")
    assert "No episode" in page.inner_text("#observation")
    assert page.locator("#history tbody tr").count() == 0
    assert page.locator("#offers").is_hidden()
    reset(page)
    assert page.locator("#notice").is_hidden()
    page.click("#step")
    stepped(page, 1)
    assert page.inner_text("#figure-reward") == "+7"
    again.stop(wait=False)


def test_a_page_whose_environment_was_changed_is_loaded_again(open_page, visit, host):
    server = open_page(Shown)
    page = visit(server)
    reset(page)
    again = another(server, host, Painter)
    page.wait_for_selector("#step-fields fieldset")
    reset(page)
    assert page.locator("#observation canvas").count() == 1
    again.stop(wait=False)
