"""Old path of the plain Gradio page; it lives in `openenv.server.web.blocks`."""

from openenv.server.web.blocks import build_gradio_app, get_gradio_display_title

__all__ = ["build_gradio_app", "get_gradio_display_title"]
