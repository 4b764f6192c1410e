"""How a tab of Gradio looks: like the page, in the fonts of the system. Gradio is imported at first use."""

from __future__ import annotations

from functools import cache
from typing import Any

OPENENV_GRADIO_CSS = ".gradio-container { max-width: 1500px !important; }"
"""Style of the tab beside its theme."""

_FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
_MONO = ["ui-monospace", "DejaVu Sans Mono", "Menlo", "Consolas", "monospace"]


@cache
def theme() -> Any:
    """Return the theme. Its fonts are named only, so that none is fetched."""
    import gradio

    return gradio.themes.Soft(
        primary_hue=gradio.themes.colors.indigo,
        neutral_hue=gradio.themes.colors.slate,
        font=_FONT,
        font_mono=_MONO,
    )


def __getattr__(name: str) -> Any:
    if name == "OPENENV_GRADIO_THEME":
        return theme()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
