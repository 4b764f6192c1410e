"""Servers with the page on, and tabs of a browser without the browser."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.servers import BOUND_S, Host, Server
from websockets.sync.client import connect

from openenv.server.app import create_app
from openenv.server.web import Page, add_page


class Tab:
    """What the page's script does, as far as the server sees it."""

    def __init__(self, server: Server, visitor: str = "") -> None:
        address = server.url.replace("http", "ws") + f"/ws/ui?visitor={visitor}"
        self._open = ExitStack()
        self.socket = self._open.enter_context(connect(address, close_timeout=0.1))
        self.welcome = self.hear("welcome")
        self.visitor = self.welcome["visitor"]

    def say(self, kind: str, **data: Any) -> None:
        self.socket.send(json.dumps({"type": kind, "data": data}))

    def hear(self, *kinds: str) -> dict[str, Any]:
        """Return the next message of one of the kinds."""
        while True:
            message = json.loads(self.socket.recv(timeout=BOUND_S))
            if message["type"] in kinds:
                return message

    def ask(self, kind: str, **data: Any) -> dict[str, Any]:
        """Reset or step, and return what came of it."""
        self.say(kind, **data)
        return self.hear("turn", "refused")

    def close(self) -> None:
        self._open.close()


@pytest.fixture
def open_page(host: Host) -> Iterator[Callable[..., Server]]:
    """A maker of servers with the page on: `open_page(Environment, grace_s=..., **options of create_app)`."""
    made = []

    def start(env: Any, *, page: Page | None = None, grace_s: float = 0.05, **options: Any) -> Server:
        app = create_app(env, **options)
        add_page(app, page, grace_s=grace_s)
        made.append(host.run(app))
        return made[-1]

    yield start
    for server in made:
        server.stop(wait=False)


@pytest.fixture
def tab() -> Iterator[Callable[..., Tab]]:
    """A maker of tabs that are closed with the test."""
    made = []

    def opened(server: Server, visitor: str = "") -> Tab:
        made.append(Tab(server, visitor))
        return made[-1]

    yield opened
    for each in made:
        each.close()


@pytest.fixture(scope="module")  # while it is there, a loop runs in this thread: no test of another module may
def chromium() -> Iterator[Any]:
    """A browser; what needs it is skipped where there is none."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs a browser: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Any]]:
    """A maker of visitors: `visit(server, width=..., dark=...)` returns their page; nothing may go wrong on it."""
    contexts, wrong = [], []

    def opened(server: Any, width: int = 1280, dark: bool = False) -> Any:
        scheme = "dark" if dark else "light"
        contexts.append(chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: None if is_here(request.url, server.url) else wrong.append(request.url))
        page.goto(f"{server.url}/web")
        page.wait_for_selector("#reset:enabled")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def is_here(url: str, server: str) -> bool:
    return url.startswith((server, server.replace("http", "ws"), "data:", "blob:", "about:"))
