"""A plain page of Gradio for any environment: what `gradio_builder` is given to start from, by its old name.

The generated page is not made of it; see `openenv.server.web.page`.
"""

from __future__ import annotations

import json
from typing import Any

from openenv.errors import OpenEnvError
from openenv.models import EnvironmentMetadata


def get_gradio_display_title(metadata: EnvironmentMetadata | None, fallback: str = "OpenEnv Environment") -> str:
    """Return the title of a page."""
    return metadata.name if metadata is not None and metadata.name else fallback


def build_gradio_app(
    web_manager: Any,
    action_fields: list[dict[str, Any]],
    metadata: EnvironmentMetadata | None,
    is_chat_env: bool,
    title: str,
    quick_start_md: str = "",
) -> Any:
    """Return a `gradio.Blocks` with a form for the action, the result and the state.

    Args:
        web_manager: Resets and steps; see `WebInterfaceManager`.
        action_fields: What the action has; see `action_fields` in `openenv.server.web.manager`.
        metadata: What the environment says about itself.
        is_chat_env: Whether its actions are tokens.
        title: The page's title.
        quick_start_md: A first program.
    """
    import gradio as gr

    fields = [field for field in action_fields if field["type"] != "tensor"]
    with gr.Blocks(title=title, analytics_enabled=False) as blocks:
        gr.Markdown(f"# {title}")
        with gr.Row():
            with gr.Column():
                inputs = [_input(gr, field) for field in fields]
                step, reset = gr.Button("Step", variant="primary"), gr.Button("Reset")
            with gr.Column():
                status = gr.Markdown("Press Reset to begin an episode.")
                result, state = gr.JSON(label="Result"), gr.JSON(label="State")
        if quick_start_md:
            gr.Markdown(quick_start_md)
        if metadata is not None and metadata.readme_content:
            with gr.Accordion("README", open=False):
                gr.Markdown(metadata.readme_content)

        async def on_reset() -> tuple[str, Any, Any]:
            return await _shown(web_manager, web_manager.reset_environment())

        async def on_step(*given: Any) -> tuple[str, Any, Any]:
            try:
                action = _action(fields, given)
            except ValueError as error:
                return f"That is no JSON: {error}", None, web_manager.get_state()
            return await _shown(web_manager, web_manager.step_environment(action))

        reset.click(on_reset, outputs=[status, result, state])
        step.click(on_step, inputs=inputs, outputs=[status, result, state])
    return blocks


async def _shown(web_manager: Any, asked: Any) -> tuple[str, Any, Any]:
    try:
        result = await asked
    except OpenEnvError as error:
        return f"{error}", None, web_manager.get_state()
    over = " The episode is over." if result.get("done") else ""
    return f"Reward: {result.get('reward')}.{over}", result, web_manager.get_state()


def _input(gr: Any, field: dict[str, Any]) -> Any:
    label, value, info = field["name"], field["default_value"], field["description"] or None
    match field["type"]:
        case "checkbox":
            return gr.Checkbox(label=label, value=bool(value), info=info)
        case "number":
            return gr.Number(label=label, value=value, info=info)
        case "select":
            return gr.Dropdown(field["choices"], label=label, value=value, info=info)
        case kind:
            lines = 1 if kind == "text" else 6
            return gr.Textbox(label=label, value=_text(value), info=info, lines=lines)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _action(fields: list[dict[str, Any]], given: tuple[Any, ...]) -> dict[str, Any]:
    action = {}
    for field, value in zip(fields, given, strict=True):
        if value is None or (value == "" and not field["required"]):
            continue
        action[field["name"]] = json.loads(value) if field["type"] == "json" else value
    return action
