"""The environments of this project on the page, in a real browser: played, looked at, two visitors at once.

`OPENENV_SCREENSHOTS` names a folder that keeps a picture of each; those in `docs/pictures` are from there.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openenv.server.web import add_page

pytestmark = pytest.mark.slow

OFFERED = "#offers button >> nth=0"

# What is typed for a step; an environment that offers its actions has a button.
TYPED = {
    "echo_env": ("#step-fields input[type=text]", "Hello, World!"),
    "coding_env": ("#step-fields textarea.code", "print(6 * 7)"),
    "browsergym_env": ("#step-fields textarea", "noop(100)"),
}
UNREWARDED = {"coding_env", "browsergym_env"}  # before a task is over


@pytest.fixture
def app_of() -> Iterator[Callable[[str], Any]]:
    """A giver of an environment's application, made anew: the one that others use is not to be ended here."""
    before = {}

    def fresh(name: str) -> Any:
        module = f"envs.{name}.server.app"
        before[module] = sys.modules.pop(module, None)
        app = pytest.importorskip(module, reason=f"needs what {name} needs").app
        add_page(app)
        return app

    yield fresh
    for module, known in before.items():
        sys.modules.pop(module, None)
        if known is not None:
            sys.modules[module] = known


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """The folder of the pictures that are taken."""
    folder = Path(os.environ.get("OPENENV_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize(
    "name", ["echo_env", "coding_env", "chess_env", "openspiel_env", "atari_env", "browsergym_env"]
)
def test_it_is_played_in_the_browser_by_two_visitors(name, app_of, host, visit, pictures: Path):
    server = host.run(app_of(name))
    several = server.manager.config.max_concurrent_envs > 1
    pages = [visit(server) for _ in range(2 if several else 1)]
    for page in pages:
        page.click("#reset")
        page.wait_for_selector("#status[data-state=playing]", timeout=60_000)
    taken = (5, 3)
    for number in range(1, max(taken) + 1):
        for page, steps in zip(pages, taken, strict=False):
            if number <= steps:
                step(page, name)
                page.wait_for_selector(f"#figure-step:text-is('{number}')", timeout=30_000)
    for page, steps in zip(pages, taken, strict=False):
        # What the page counts would be right in a session of both; what the session counts would not.
        page.wait_for_selector(f"#state pre:has-text('\"step_count\": {steps},')", state="attached")
        assert page.inner_text("#figure-step") == str(steps)
        assert page.locator("#history tbody tr").count() == steps + 2
        assert page.locator("#mistake").is_hidden()
        if name in UNREWARDED:
            assert page.locator("#plot svg").count() == 0
        else:
            page.wait_for_selector(f"#plot svg[aria-label^='Rewards of {steps} steps']")
    first = pages[0]
    first.screenshot(path=pictures / f"{name}.png", full_page=True)
    first.set_viewport_size({"width": 390, "height": 800})
    assert first.evaluate("() => document.documentElement.scrollWidth") <= 390
    first.screenshot(path=pictures / f"{name}-phone.png", full_page=True)
    for page, steps in zip(pages, taken, strict=False):
        page.reload()
        page.wait_for_selector(f"#figure-step:text-is('{steps}')")
        assert page.locator("#history tbody tr").count() == steps + 2
    server.stop(wait=False)


def step(page: Any, name: str) -> None:
    if name in TYPED:
        where, what = TYPED[name]
        page.fill(where, what)
        page.click("#step")
    else:
        page.click(OFFERED)


def test_catch_is_chosen_and_played_to_its_end(app_of, host, visit, pictures: Path):
    server = host.run(app_of("openspiel_env"))
    page = visit(server)
    settings = page.locator("#reset-fields")
    settings.get_by_label("Game name").fill("catch")
    settings.get_by_label("Seed").fill("1")
    page.click("#reset")
    for number in range(1, 10):
        page.click("#offers button:has-text('STAY')")
        page.wait_for_selector(f"#figure-step:text-is('{number}')")
    page.wait_for_selector("#status[data-state=over]")
    assert page.inner_text("#figure-total") in ("1", "−1")
    page.wait_for_selector("#plot svg[aria-label^='Rewards of 9 steps'] rect")
    assert page.locator("#plot svg rect").count() == 1
    page.screenshot(path=pictures / "catch.png", full_page=True)
    page.click("#tab-state")
    assert "catch" in page.inner_text("#state")
    server.stop(wait=False)
