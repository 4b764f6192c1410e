"""A tab of an environment's own, built with Gradio, as a page inside the page.

Gradio is imported here and nowhere else, and only for a server that has such a tab. What it is served with keeps it
from loading anything from elsewhere. Where it is not installed the tab says so, and the rest of the page is there.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Response

from openenv import settings
from openenv.server.web.manager import WebInterfaceManager, action_fields
from openenv.server.web.visits import Visits

if TYPE_CHECKING:
    from openenv.server.web.page import Page

logger = logging.getLogger("openenv.server")

CONTENT_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "connect-src 'self' blob: data:; object-src 'none'"
)
_MISSING = """<!doctype html><meta charset="utf-8"><title>No Gradio</title>
<p style="font: 16px system-ui; margin: 2em">This tab is built with Gradio, which is not installed here:
<code>pip install 'openenv[web]'</code></p>"""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def add_tab(app: FastAPI, visits: Visits, page: Page, path: str) -> None:
    """Add the tab to an application.

    Args:
        app: The application.
        visits: Those who look at it.
        page: What builds it.
        path: Where it is.
    """
    try:
        settings.keep_gradio_quiet()
        import gradio
    except ImportError:
        logger.warning("The tab %r needs Gradio: pip install 'openenv[web]'", page.tab)
        app.add_api_route(f"{path}/", _missing, include_in_schema=False)
        return
    context = visits.context
    metadata = context.manager.described()
    fields = action_fields(context.schema.action)
    assert page.builder is not None
    blocks = page.builder(
        WebInterfaceManager(visits, metadata, visitor),
        fields,
        metadata,
        any(field["name"] == "tokens" for field in fields),
        page.title or metadata.name,
        quick_start(metadata.name),
    )
    gradio.mount_gradio_app(app, blocks, path, **_options(gradio.mount_gradio_app))
    mounted = next(route for route in reversed(app.router.routes) if getattr(route, "path", "") == path)
    mounted.app = _KeptHere(mounted.app)  # type: ignore[attr-defined]


def visitor() -> tuple[str | None, str]:
    """Return whom the running handler of Gradio serves: the visit their page belongs to, and Gradio's own name."""
    from gradio.context import LocalContext

    request = LocalContext.request.get(None)
    if request is None:
        return None, ""
    return dict(request.query_params or {}).get("visitor"), str(request.session_hash or "")


def quick_start(name: str) -> str:
    """Return a first program as Markdown."""
    return (
        f"### Use {name} from a program\n\n```python\nfrom openenv import GenericEnvClient\n\n"
        'with GenericEnvClient(base_url="http://localhost:8000") as env:\n    result = env.reset()\n```\n'
    )


def _options(mount: Callable[..., Any]) -> dict[str, Any]:
    from openenv.server.web.theme import OPENENV_GRADIO_CSS, theme

    wanted = {
        "ssr_mode": False,
        "show_error": True,
        "theme": theme(),
        "css": OPENENV_GRADIO_CSS,
        "footer_links": [],
    }
    known = inspect.signature(mount).parameters
    return {name: value for name, value in wanted.items() if name in known}  # older ones know fewer


async def _missing() -> Response:
    return Response(_MISSING, media_type="text/html")


class _KeptHere:
    """Serves an application so that its pages load nothing from elsewhere."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", CONTENT_POLICY.encode())
                message = {**message, "headers": [*message.get("headers", ()), policy]}
            await send(message)

        await self._app(scope, receive, with_policy if scope["type"] == "http" else send)
