"""Warm browsers: each with its driver and the thread they are spoken to from, shared by sessions.

BrowserGym's parts use Playwright's blocking interface, which belongs to one thread; there, each call of ours is a
greenlet, as Playwright's own event handlers are. So while a session waits for its page, the others go on, and none
needs a driver or a browser of its own.
"""

import asyncio
import atexit
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import playwright.sync_api
from browsergym.core.constants import BROWSERGYM_ID_ATTRIBUTE
from greenlet import greenlet

from openenv.errors import WorkspaceLostError

from .launching import Launch
from .windows import Shelf

__all__ = ["Browser", "BrowserPool"]

T = TypeVar("T")

START_S = 60.0
END_S = 10.0


class Browser:
    """One browser.

    Args:
        launch: How it is started; at once, but this does not wait for it.

    Attributes:
        shelf: Where its windows come from.
        sessions: How many use it; kept by the pool.
        ready: Its version, once it has started.
    """

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.shelf = Shelf(launch)
        self.sessions = 0
        self.ready: Future[str] = Future()
        self.profile = Path(tempfile.mkdtemp(prefix="browsergym-"))
        self._end: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._browser: Any = None
        self._thread = threading.Thread(target=self._live, name="browser", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it runs, or is about to."""
        if not self.ready.done():
            return self._thread.is_alive()
        return self.ready.exception() is None and self._thread.is_alive() and self._browser.is_connected()

    @property
    def guardian(self) -> int:
        """The process that ends it.

        Raises:
            OSError: It has not started, or has ended.
        """
        return int((self.profile / "guardian").read_text())

    def run(self, function: Callable[[Any], T]) -> "Future[T]":
        """Call a function with Playwright's browser, on its thread.

        Returns:
            What it returns or raises; `WorkspaceLostError` if the browser has ended before.
        """
        done: Future[T] = Future()

        def work() -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                done.set_result(function(self._browser))
            except BaseException as error:
                done.set_exception(error)

        try:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(lambda: greenlet(work).switch())
        except RuntimeError:
            done.set_exception(WorkspaceLostError("The browser has ended; reset begins with a new one"))
        return done

    def kill(self) -> None:
        """End its processes at once; whatever waits for it fails."""
        with suppress(OSError, ValueError):
            os.kill(self.guardian, signal.SIGTERM)

    def close(self) -> None:
        """End it, and wait until it is gone. May be called more than once."""
        if self._loop is not None and self._end is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(END_S)
        if self._thread.is_alive():
            self.kill()
        shutil.rmtree(self.profile, ignore_errors=True)

    # --- on its thread ---------------------------------------------------------------------------

    def _live(self) -> None:
        try:
            with playwright.sync_api.sync_playwright() as driver:
                driver.selectors.set_test_id_attribute(BROWSERGYM_ID_ATTRIBUTE)
                self._browser = driver.chromium.launch(
                    executable_path=sys.executable,
                    ignore_default_args=True,
                    args=self.launch.line(self.profile),
                    timeout=START_S * 1000,
                    handle_sigint=False,
                    handle_sigterm=False,
                    handle_sighup=False,
                )
                # Private to Playwright, whose version BrowserGym fixes: what its own blocking calls are made of.
                self._loop, self._end = self._browser._loop, asyncio.Event()
                self._browser.on("disconnected", lambda _: self._end.set())
                self.ready.set_result(self._browser.version)
                self._browser._sync(self._end.wait())
                with suppress(playwright.sync_api.Error):
                    self._browser.close()
        except BaseException as error:
            if not self.ready.done():
                self.ready.set_exception(WorkspaceLostError(f"The browser does not start: {error}"))
        finally:
            shutil.rmtree(self.profile, ignore_errors=True)


class BrowserPool:
    """The browsers of this process that are started in the same way. They stay when their sessions have ended.

    Args:
        launch: How each is started.
        size: How many there may be. A session gets the one that has the fewest.
    """

    _known: ClassVar[dict[tuple[int, Launch, int], "BrowserPool"]] = {}

    def __init__(self, launch: Launch, size: int) -> None:
        self._launch, self._size = launch, size
        self._lock = threading.Lock()
        self._browsers: list[Browser] = []

    @classmethod
    def of(cls, launch: Launch, size: int) -> "BrowserPool":
        """Return that of this process."""
        return cls._known.setdefault((os.getpid(), launch, size), cls(launch, size))

    def lease(self) -> Browser:
        """Return a browser for a session; it may just be starting. Give it back with `release`."""
        with self._lock:
            if not self._browsers:
                atexit.register(self.close)
            self._browsers = [browser for browser in self._browsers if browser.alive]
            chosen = min(self._browsers, key=lambda browser: browser.sessions, default=None)
            if chosen is None or (chosen.sessions and len(self._browsers) < self._size):
                chosen = Browser(self._launch)
                self._browsers.append(chosen)
            chosen.sessions += 1
            return chosen

    def release(self, browser: Browser) -> None:
        """Take a session's browser back."""
        with self._lock:
            browser.sessions -= 1

    def close(self) -> None:
        """End all of them. May be called more than once."""
        with self._lock:
            browsers, self._browsers = self._browsers, []
        for browser in browsers:
            browser.close()
