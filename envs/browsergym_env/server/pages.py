"""An episode in a browser: its page, the task on it, what is done there and what is seen.

What a page looks like is read by BrowserGym's own functions, but the page is ours: a fresh context of a browser
that runs already, observed when it has come to rest instead of after a fixed wait. All of this runs on the
browser's thread.
"""

import base64
import mimetypes
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import playwright.sync_api as pw
from browsergym.core.action import functions
from browsergym.core.observation import (
    MarkingError,
    _post_extract,
    _pre_extract,
    extract_dom_snapshot,
    extract_focused_element_bid,
    extract_merged_axtree,
)
from browsergym.miniwob.base import AbstractMiniwobTask
from browsergym.utils.obs import flatten_axtree_to_str, flatten_dom_to_str, prune_html

from ..models import BrowserGymObservation
from .actions import ActionError, Actions, Call, bound
from .launching import LOCAL_HOST, Launch
from .tasks import pages

__all__ = ["Graded", "Tab", "View"]

T = TypeVar("T")

SCALE = 1.5
"""Pixels of a screenshot for each of the page, as BrowserGym has it for MiniWoB."""
TIMEOUT_MS = 5000
NOT_SHOWN = ["LineBreak", "InlineTextBox"]
"""Roles that BrowserGym leaves out, and one that its own, older browser did not tell of."""
TRIES = 5
PASSING = ("Frame was detached", "Frame has been detached", "Execution context was destroyed", "is not found")
"""What is said of a page that changes while it is read."""

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


@dataclass(frozen=True)
class View:
    """What an observation has in it.

    Attributes:
        screenshot: Whether there is a picture.
        html: Whether there is HTML.
    """

    screenshot: bool = True
    html: bool = False


@dataclass(frozen=True)
class Graded:
    """What the task says after a step.

    Attributes:
        done: The episode has ended.
        reward: BrowserGym's: 1.0 for solved, else 0.0; None before the end.
        info: MiniWoB's own: its reward, without the part for time, and the reason.
    """

    done: bool
    reward: float | None
    info: dict[str, Any]


class Tab:
    """The tabs of one session: a context of a browser.

    Args:
        browser: Playwright's browser.
        launch: How it was started.
        actions: What may be done.
        settle_s: How long a page may take to come to rest.
    """

    def __init__(self, browser: Any, launch: Launch, actions: Actions, settle_s: float) -> None:
        self._launch, self._actions, self._settle_ms = launch, actions, 1000 * settle_s
        self._browser = browser
        self._context: Any = None
        self._page: Any = None
        self._task: AbstractMiniwobTask | None = None
        self.crashed = False
        self.messages: list[str] = []
        self.given_up = False

    def begin(self, task: AbstractMiniwobTask) -> str:
        """Open a task on a fresh page and return its goal."""
        self.close()
        self.crashed, self.given_up, self.messages = False, False, []
        self._context = self._browser.new_context(
            viewport=task.viewport, accept_downloads=False, service_workers="block"
        )
        self._context.set_default_timeout(TIMEOUT_MS)
        self._context.add_init_script(IN_EACH_DOCUMENT)
        self._context.route("**/*", self._serve)
        self._context.on("page", self._opened)
        self._page = self._context.new_page()
        self._task = task
        goal, _ = task.setup(self._page)
        self._settle()
        return str(goal)

    def close(self) -> None:
        """Close all tabs. May be called more than once."""
        context, self._context = self._context, None
        if context is not None:
            with suppress(pw.Error):
                context.close()

    # --- what is done ----------------------------------------------------------------------------

    def act(self, text: str) -> str:
        """Run an action and return why it failed; empty if it did not.

        Raises:
            playwright.sync_api.Error: It is the browser that failed.
        """
        try:
            self._call(self._actions.read(text))
        except ActionError as error:
            return str(error)
        except (pw.Error, ValueError, IndexError, TypeError) as error:
            if self.crashed or not self._browser.is_connected():
                raise
            return f"{type(error).__name__}: {error}"
        self._settle()
        return ""

    def _call(self, call: Call) -> None:
        function, given, named = call
        if function is functions.goto and not self._may_visit(*given, **named):
            raise ActionError("goto: this address is not allowed here")
        around = {
            **vars(functions),
            "page": self._page,
            "demo_mode": "off",
            "retry_with_force": False,
            "send_message_to_user": self.messages.append,
            "report_infeasible_instructions": self._give_up,
        }
        bound(function, around)(*given, **named)
        self._page = around["page"]

    def _may_visit(self, url: str) -> bool:
        host = urlsplit(url).hostname or ""
        return host == LOCAL_HOST or self._launch.allows(host)

    def _give_up(self, reason: str) -> None:
        self.messages.append(reason)
        self.given_up = True

    def _settle(self) -> None:
        with suppress(pw.Error):  # it has gone elsewhere, which is looked at below
            self._page.evaluate(AT_REST, self._settle_ms)
        open_pages = self._context.pages
        if self._page not in open_pages:
            self._page = open_pages[-1] if open_pages else self._context.new_page()
        with suppress(pw.TimeoutError):
            self._page.wait_for_load_state("domcontentloaded", timeout=TIMEOUT_MS)

    def grade(self) -> Graded:
        """Ask the task how it stands.

        Raises:
            playwright.sync_api.Error: The page is lost.
        """
        assert self._task is not None
        task = self._task
        reward, done, _, info = self._patiently(lambda lenient: task.validate(self._page, []))
        if not done:
            return Graded(True, 0.0, {"reason": "given up"}) if self.given_up else Graded(False, None, {})
        told = (("raw_reward", "RAW_REWARD_GLOBAL"), ("reason", "REWARD_REASON"), ("error", "error"))
        shown = {name: info[key] for name, key in told if info.get(key) is not None}
        return Graded(True, float(reward), shown)

    # --- what is seen ----------------------------------------------------------------------------

    def look(self, view: View) -> BrowserGymObservation:
        """Return what the active page looks like.

        Raises:
            playwright.sync_api.Error: The page is lost.
        """
        return self._patiently(lambda lenient: self._look(view, lenient))

    def _patiently(self, read: Callable[[bool], T]) -> T:
        """Read a page that may be changing, as often as it takes; the last time with what can be had of it."""
        for tries_left in reversed(range(TRIES)):
            try:
                return read(tries_left == 0)
            except (pw.Error, MarkingError) as error:
                passing = isinstance(error, MarkingError) or any(text in str(error) for text in PASSING)
                if not (tries_left and passing) or self.crashed:
                    raise
                self._settle()
        raise AssertionError("the last try returns or raises")

    def _look(self, view: View, lenient: bool) -> BrowserGymObservation:
        page = self._page
        _pre_extract(page, lenient=lenient)
        try:
            tree = extract_merged_axtree(page)
            focused = extract_focused_element_bid(page)
            html = prune_html(flatten_dom_to_str(extract_dom_snapshot(page))) if view.html else ""
        finally:
            with suppress(pw.Error):
                _post_extract(page)
        return BrowserGymObservation(
            url=page.url,
            axtree_txt=flatten_axtree_to_str(tree, ignored_roles=NOT_SHOWN),
            pruned_html=html,
            focused_element_bid=focused,
            screenshot=self._picture() if view.screenshot else None,
            open_pages_urls=[each.url for each in self._context.pages],
        )

    def _picture(self) -> bytes:
        session = self._context.new_cdp_session(self._page)
        clip = {"x": 0, "y": 0, **self._page.viewport_size, "scale": SCALE}
        answer = session.send("Page.captureScreenshot", {"format": "png", "clip": clip})
        session.detach()
        return base64.b64decode(answer["data"])

    # --- what the context calls ------------------------------------------------------------------

    def _opened(self, page: Any) -> None:
        page._bgym_scale_factor = SCALE  # what BrowserGym's actions reckon with
        page.on("crash", self._crash)
        self._page = page

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
