"""Old path of the theme of Gradio tabs; it lives in `openenv.server.web.theme`. The theme itself needs Gradio."""

from typing import Any

from openenv.server.web import theme
from openenv.server.web.theme import OPENENV_GRADIO_CSS

__all__ = ["OPENENV_GRADIO_CSS"]


def __getattr__(name: str) -> Any:
    return getattr(theme, name)
