"""A window: a context of a browser with its tabs, what is put into each of its documents, and what it may load.

One costs a process, so a browser keeps a spare: an episode takes it, and the next is made while the agent thinks.
"""

import mimetypes
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import playwright.sync_api as pw

from .launching import LOCAL_HOST, Launch
from .tasks import VIEWPORT, pages

__all__ = ["SCALE", "TIMEOUT_MS", "Shelf", "Window"]

SCALE = 1.5
"""Pixels of a screenshot for each of the page, as BrowserGym has it for MiniWoB."""
TIMEOUT_MS = 5000

# Each document hides the caret, whose blinking would make of one page two pictures, and counts its short timers, so
# that one can know when it is at rest.
IN_EACH_DOCUMENT = """
(() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("* { caret-color: transparent !important; }");
    document.adoptedStyleSheets = [sheet];
    const short = 500, pending = new Set(), [set, clear] = [window.setTimeout, window.clearTimeout];
    window.setTimeout = function (work, delay = 0, ...rest) {
        if (typeof work !== "function" || delay > short) return set.call(window, work, delay, ...rest);
        const due = (...given) => { pending.delete(id); work.apply(window, given); };
        const id = set.call(window, due, delay, ...rest);
        pending.add(id);
        return id;
    };
    window.clearTimeout = id => { pending.delete(id); clear.call(window, id); };
    Object.defineProperty(window, "__openenv_at_rest", { value: limit => new Promise(resolve => {
        const begun = performance.now();
        let changed = begun;
        const watcher = new MutationObserver(() => { changed = performance.now(); });
        watcher.observe(document, { attributes: true, characterData: true, childList: true, subtree: true });
        const look = () => {
            const now = performance.now();
            const moves = document.getAnimations().some(each => each.playState === "running");
            const rests = pending.size === 0 && !moves && now - changed >= 20;
            if (!rests && now - begun < limit) return set.call(window, look, 5);
            watcher.disconnect();
            requestAnimationFrame(() => requestAnimationFrame(() => resolve(rests)));  // and has been drawn
        };
        look();
    }) });
})()
"""
AT_REST = "limit => window.__openenv_at_rest ? window.__openenv_at_rest(limit) : true"


class Window:
    """A new window with one empty tab.

    Args:
        browser: Playwright's browser.
        launch: How it was started.

    Attributes:
        context: Playwright's context, which has nothing in common with another.
        page: The active tab.
        crashed: A tab's process has ended.
    """

    def __init__(self, browser: Any, launch: Launch) -> None:
        self._launch = launch
        self.crashed = False
        self.page: Any = None
        self.context = browser.new_context(viewport=VIEWPORT, accept_downloads=False, service_workers="block")
        self.context.set_default_timeout(TIMEOUT_MS)
        self.context.add_init_script(IN_EACH_DOCUMENT)
        self.context.route("**/*", self._serve)
        self.context.on("page", self._opened)
        self.page = self.context.new_page()

    def close(self) -> None:
        """Close all tabs. May be called more than once."""
        with suppress(pw.Error):
            self.context.close()

    def settle(self, limit_ms: float) -> None:
        """Wait until the active tab is at rest, for a time at most. If it was closed, another is active."""
        with suppress(pw.Error):  # it has gone elsewhere
            self.page.evaluate(AT_REST, limit_ms)
        tabs = self.context.pages
        if self.page not in tabs:
            self.page = tabs[-1] if tabs else self.context.new_page()
        with suppress(pw.TimeoutError):
            self.page.wait_for_load_state("domcontentloaded", timeout=TIMEOUT_MS)

    def _opened(self, page: Any) -> None:
        page._bgym_scale_factor = SCALE  # what BrowserGym's actions reckon with
        page.on("crash", self._crash)
        self.page = page

    def _crash(self, _page: Any) -> None:
        self.crashed = True

    def _serve(self, route: Any) -> None:
        """Answer a request: with a packaged page, from the network if its host is allowed, or not at all."""
        address = urlsplit(route.request.url)
        with suppress(pw.Error):  # the page has gone elsewhere meanwhile
            if address.hostname == LOCAL_HOST:
                _serve_packaged(route, unquote(address.path))
            elif self._launch.allows(address.hostname or ""):
                route.continue_()
            else:
                route.abort("aborted")  # and not "blocked", which would put another page in place of this one


class Shelf:
    """Where a browser's spare window is.

    Args:
        launch: How the browser was started.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._spare: Window | None = None
        self._making = False

    def take(self, browser: Any) -> Window:
        """Return a new window."""
        spare, self._spare = self._spare, None
        return spare if spare is not None and not spare.crashed else Window(browser, self._launch)

    def fill(self, browser: Any) -> None:
        """Make the next one, if there is none."""
        if self._spare is None and not self._making:
            self._making = True
            try:
                self._spare = Window(browser, self._launch)
            finally:
                self._making = False


_packaged: dict[str, bytes] = {}


def _serve_packaged(route: Any, path: str) -> None:
    if path not in _packaged:
        place = (pages() / path.lstrip("/")).resolve()
        if not place.is_relative_to(pages()) or not place.is_file():
            route.fulfill(status=404, body="")
            return
        _packaged[path] = place.read_bytes()
    kind = mimetypes.guess_type(path)[0] or "text/plain"
    # All of them are UTF-8, few say so.
    route.fulfill(body=_packaged[path], content_type=f"{kind}; charset=utf-8" if "text" in kind else kind)
