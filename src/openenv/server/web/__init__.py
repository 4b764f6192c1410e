"""The page to play on, at `/web`: our own static files, Gradio for tabs of an environment's own.

Nothing of it is imported unless the page is on; `design/011-the-page.md` says what it is made of and why.
"""

from __future__ import annotations

from openenv.server.web.page import Page, add_page

__all__ = ["Page", "add_page"]
