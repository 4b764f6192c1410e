"""The routes of the page: its files, what it has to know, the socket it is told by, and the old JSON routes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import RedirectResponse

from openenv.errors import ConfigurationError
from openenv.models import EnvironmentMetadata
from openenv.protocol.codes import ServerMode
from openenv.server.config import ServerContext
from openenv.server.connection import too_large
from openenv.server.origins import is_allowed
from openenv.server.routes.http import Calls
from openenv.server.web.about import about
from openenv.server.web.visits import GRACE_S, Visit, Visits

PATH = "/web"
SOCKET = "/ws/ui"
CUSTOM = "/web/custom"

KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'"
)
"""What the page may load: nothing from elsewhere, and no script but its own, whatever an observation holds."""

_GONE = (WebSocketDisconnect, RuntimeError, OSError)


@dataclass(frozen=True)
class Page:
    """What a server says of its page.

    Attributes:
        builder: Builds a tab with Gradio: `(web_manager, action_fields, metadata, is_chat_env, title,
            quick_start_md) -> gradio.Blocks`.
        tab: The tab's title.
        primary: It comes first.
        default: The generated page is shown, too.
        title: The page's title; by default the environment's name.
    """

    builder: Callable[..., Any] | None = None
    tab: str = "Custom"
    primary: bool = False
    default: bool = True
    title: str | None = None


def add_page(app: FastAPI, page: Page | None = None, *, grace_s: float = GRACE_S) -> None:
    """Add the page to an application that `create_app` made.

    Args:
        app: The application. One that has the page already is left as it is.
        page: What is special about it.
        grace_s: Seconds that a visit lasts after its page is gone.

    Raises:
        ConfigurationError: The application serves in production mode, where nobody but agents may use it.
    """
    context: ServerContext | None = getattr(app.state, "openenv_fast", None)
    if context is None or context.mode is not ServerMode.SIMULATION:
        raise ConfigurationError("There is no page in production mode, nor for an application of others")
    if getattr(app.state, "openenv_page", None) is not None:
        return
    page = page or Page()
    visits = app.state.openenv_page = Visits(context, grace_s)
    app.include_router(_files())
    app.include_router(_facts(context, page))
    app.include_router(_old_routes(Calls(context)))
    app.include_router(_socket(visits))
    if page.builder is not None:
        from openenv.server.web.custom import add_tab

        add_tab(app, visits, page, CUSTOM)


def _files() -> APIRouter:
    routes = APIRouter(include_in_schema=False)
    folder = files("openenv.server.web") / "static"
    content = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    tags = {name: f'"{hashlib.sha256(raw).hexdigest()[:16]}"' for name, raw in content.items()}

    def send(request: Request, name: str) -> Response:
        if name not in content:
            return Response("There is no such file", 404, media_type="text/plain")
        headers = {"Cache-Control": "no-cache", "ETag": tags[name], "X-Content-Type-Options": "nosniff"}
        if name == "index.html":
            headers |= {"Content-Security-Policy": CONTENT_POLICY, "Referrer-Policy": "no-referrer"}
        if request.headers.get("if-none-match") == tags[name]:
            return Response(status_code=304, headers=headers)
        return Response(content[name], media_type=KINDS[name.rpartition(".")[2]], headers=headers)

    @routes.get("/")
    async def root() -> Response:
        return RedirectResponse("web")  # relative, for a server behind a path of another

    @routes.get(PATH)
    async def index(request: Request) -> Response:
        return send(request, "index.html")

    @routes.get(PATH + "/static/{name}")
    async def file(request: Request, name: str) -> Response:
        return send(request, name)

    return routes


def _facts(context: ServerContext, page: Page) -> APIRouter:
    routes = APIRouter(tags=["page"])

    @routes.get(PATH + "/metadata")
    async def metadata() -> EnvironmentMetadata:
        """Say what the environment is."""
        return await context.manager.describe()

    @routes.get(PATH + "/about", include_in_schema=False)
    async def all_of_it() -> dict[str, Any]:
        tab = {"name": page.tab, "path": f"{CUSTOM[1:]}/", "primary": page.primary}
        shown = {"default": page.default or page.builder is None, "custom": tab if page.builder else None}
        return await about(context, page.title) | shown

    return routes


def _old_routes(calls: Calls) -> APIRouter:
    """Return the routes for programs, in the session that all callers without one share."""
    routes = APIRouter(prefix=PATH, tags=["page"])

    @routes.post("/reset", response_class=Response)
    async def reset(request: Request) -> Response:
        """Do what POST /reset does."""
        return await calls.reset(calls.manager.default(), request)

    @routes.post("/step", response_class=Response)
    async def step(request: Request) -> Response:
        """Do what POST /step does."""
        return await calls.step(calls.manager.default(), request)

    @routes.get("/state", response_class=Response)
    async def state() -> Response:
        """Do what GET /state does."""
        return await calls.state(calls.manager.default())

    return routes


def _socket(visits: Visits) -> APIRouter:
    routes = APIRouter()

    @routes.websocket(SOCKET)
    async def ui(websocket: WebSocket, visitor: str | None = None) -> None:
        if not is_allowed(websocket.headers, websocket.scope):
            await websocket.close(1008)
            return
        await websocket.accept()
        await _Link(websocket, visits).run(visitor)

    return routes


class _Link:
    """Carries frames between a page and its visit."""

    def __init__(self, websocket: WebSocket, visits: Visits) -> None:
        self._websocket = websocket
        self._visits = visits
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue()

    async def run(self, visitor: str | None) -> None:
        """Serve until the page is gone."""
        tell = self._outbox.put_nowait
        visit = self._visits.arrive(visitor, tell)
        writer = asyncio.create_task(self._write())
        try:
            await self._read(visit)
        finally:
            self._visits.leave(visit, tell)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _read(self, visit: Visit) -> None:
        limit = self._visits.context.max_message_size
        while (message := await self._websocket.receive())["type"] == "websocket.receive":
            raw = (message.get("text") or "").encode() or message.get("bytes") or b""
            if len(raw) > limit:
                visit.refuse(too_large(len(raw), limit, "message"))
            else:
                visit.received(raw)

    async def _write(self) -> None:
        with contextlib.suppress(*_GONE):  # the reader hears of it
            while True:
                await self._websocket.send_text((await self._outbox.get()).decode())
