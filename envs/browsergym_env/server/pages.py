"""An episode in a browser: the task on its page, what is done there and what is seen.

What a page looks like is read by BrowserGym's own functions, but the page is ours: in a new window of a browser
that runs already, observed when it has come to rest instead of after a fixed wait. All of this runs on the
browser's thread.
"""

import base64
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

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
from .windows import SCALE, Shelf, Window

__all__ = ["Episode", "Graded", "View"]

T = TypeVar("T")

NOT_SHOWN = ["LineBreak", "InlineTextBox"]
"""Roles that BrowserGym leaves out, and one that its own, older browser did not tell of."""
TRIES = 5
PASSING = ("Frame was detached", "Frame has been detached", "Execution context was destroyed", "is not found")
"""What is said of a page that changes while it is read."""

# The address alone would not do: the same page loaded again has drawn another task, without the seed.
MARK = "() => { Object.defineProperty(window, '__openenv_task', { value: true }); }"
MARKED = "() => window.__openenv_task === true"


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


class Episode:
    """What a session plays in its window.

    Args:
        browser: Playwright's browser.
        shelf: Where its windows come from.
        launch: How it was started.
        actions: What may be done.
        settle_s: How long a page may take to come to rest.
    """

    def __init__(self, browser: Any, shelf: Shelf, launch: Launch, actions: Actions, settle_s: float) -> None:
        self._launch, self._actions, self._settle_ms = launch, actions, 1000 * settle_s
        self._browser, self._shelf = browser, shelf
        self._window: Window | None = None
        self._left: Window | None = None
        self._task: AbstractMiniwobTask | None = None
        self.messages: list[str] = []
        self.given_up = False

    def begin(self, task: AbstractMiniwobTask) -> str:
        """Open a task in a new window and return its goal."""
        self._left, self._window = self._window, self._shelf.take(self._browser)
        self._task, self.given_up, self.messages = task, False, []
        goal, _ = task.setup(self._window.page)
        self._window.page.evaluate(MARK)
        self._window.settle(self._settle_ms)
        return str(goal)

    def tidy(self) -> None:
        """Do what a reset need not wait for: close the window before, and make the next."""
        left, self._left = self._left, None
        if left is not None:
            left.close()
        with suppress(pw.Error):
            self._shelf.fill(self._browser)

    def close(self) -> None:
        """Close the window. May be called more than once."""
        for window in (self._left, self._window):
            if window is not None:
                window.close()
        self._left = self._window = None

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
            if self.window.crashed or not self._browser.is_connected():
                raise
            return f"{type(error).__name__}: {error}"
        self.window.settle(self._settle_ms)
        return ""

    def _call(self, call: Call) -> None:
        function, given, named = call
        if function is functions.goto and not self._may_visit(*given, **named):
            raise ActionError("goto: this address is not allowed here")
        around = {
            **vars(functions),
            "page": self.window.page,
            "demo_mode": "off",
            "retry_with_force": False,
            "send_message_to_user": self.messages.append,
            "report_infeasible_instructions": self._give_up,
        }
        bound(function, around)(*given, **named)
        self.window.page = around["page"]

    def _may_visit(self, url: str) -> bool:
        host = urlsplit(url).hostname or ""
        return host == LOCAL_HOST or self._launch.allows(host)

    def _give_up(self, reason: str) -> None:
        self.messages.append(reason)
        self.given_up = True

    @property
    def window(self) -> Window:
        """The window of the episode."""
        assert self._window is not None
        return self._window

    def grade(self) -> Graded:
        """Ask the task how it stands.

        Raises:
            playwright.sync_api.Error: The page is lost.
        """
        assert self._task is not None
        task = self._task
        # First, for a page that was loaded between the two is not solved yet.
        if not self._patiently(lambda lenient: self.window.page.evaluate(MARKED)):
            return Graded(True, 0.0, {"reason": "page was left"})
        reward, done, _, info = self._patiently(lambda lenient: task.validate(self.window.page, []))
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
                if not (tries_left and passing) or self.window.crashed:
                    raise
                self.window.settle(self._settle_ms)
        raise AssertionError("the last try returns or raises")

    def _look(self, view: View, lenient: bool) -> BrowserGymObservation:
        page = self.window.page
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
            open_pages_urls=[each.url for each in self.window.context.pages],
        )

    def _picture(self) -> bytes:
        session = self.window.context.new_cdp_session(self.window.page)
        clip = {"x": 0, "y": 0, **self.window.page.viewport_size, "scale": SCALE}
        answer = session.send("Page.captureScreenshot", {"format": "png", "clip": clip})
        session.detach()
        return base64.b64decode(answer["data"])
