"""`create_web_interface_app`: the older way to ask for the page, whatever the environment variable says."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from openenv.server.app import create_app
from openenv.server.web.page import Page, add_page


def create_web_interface_app(
    env: Any,
    action_cls: Any = None,
    observation_cls: Any = None,
    env_name: str | None = None,
    max_concurrent_envs: int | None = None,
    concurrency_config: Any = None,
    gradio_builder: Any = None,
    custom_tab_name: str = "Custom",
    custom_tab_primary: bool = False,
    show_default_tab: bool = True,
    title_override: str | None = None,
    **options: Any,
) -> FastAPI:
    """Return what `create_app` does, with the page whatever ENABLE_WEB_INTERFACE says.

    Raises:
        ConfigurationError: The environment can not be served as asked, or is served in production mode.
    """
    page = Page(gradio_builder, custom_tab_name, custom_tab_primary, show_default_tab, title_override)
    app = create_app(
        env,
        action_cls,
        observation_cls,
        env_name,
        max_concurrent_envs,
        concurrency_config,
        gradio_builder,
        custom_tab_name,
        custom_tab_primary,
        show_default_tab,
        title_override,
        **options,
    )
    add_page(app, page)
    return app
