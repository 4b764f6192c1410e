"""Old path of the theme of Gradio tabs; it lives in `openenv.server.web.theme`, and needs Gradio."""

from openenv.server.web.theme import CSS, theme

OPENENV_GRADIO_CSS = CSS
OPENENV_GRADIO_THEME = theme()

__all__ = ["OPENENV_GRADIO_CSS", "OPENENV_GRADIO_THEME"]
