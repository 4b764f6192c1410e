"""Tabs of an environment's own, and what their builders are given."""

import sys
from typing import Any

import httpx
import pytest
from tests.toys import Add
from tests.web.shown import Shown

from openenv.core.env_server import gradio_ui
from openenv.core.env_server.web_interface import WebInterfaceManager, create_web_interface_app
from openenv.errors import RequestError
from openenv.protocol.schemas import json_schema
from openenv.server.app import create_app
from openenv.server.web import Page, add_page
from openenv.server.web.manager import action_fields


async def managed(visitor: list[Any]) -> WebInterfaceManager:
    app = create_app(Shown)
    add_page(app)
    visits = app.state.openenv_page
    return WebInterfaceManager(visits, visits.context.manager.described(), lambda: tuple(visitor))


async def test_a_tab_plays_in_the_session_of_who_looks_at_it():
    visitor = [None, "ann"]
    manager = await managed(visitor)
    assert manager.get_state() == {"episode_id": None, "step_count": 0}
    await manager.reset_environment({"start": 5})
    visitor[:] = [None, "bob"]
    await manager.reset_environment()
    assert (await manager.step_environment({"amount": 1}))["observation"]["total"] == 1
    assert manager.get_state()["total"] == 1
    visitor[:] = [None, "ann"]
    assert (await manager.step_environment({"amount": 1})) == {
        "observation": {"metadata": {}, "total": 6, "extra": None},
        "reward": 1.0,
        "done": False,
    }
    assert manager.get_state()["total"] == 6
    await manager._visits.context.manager.close()


async def test_what_a_tab_asks_wrongly_is_an_error_in_words():
    manager = await managed([None, "ann"])
    with pytest.raises(RequestError, match="reset"):
        await manager.step_environment({"amount": 1})
    with pytest.raises(RequestError, match="valid integer"):
        await manager.step_environment({"amount": "x"})
    await manager._visits.context.manager.close()


async def test_a_tab_and_the_page_around_it_are_one_visit():
    visitor = ["", "ann"]
    manager = await managed(visitor)
    heard: list[bytes] = []
    visit = manager._visits.arrive(None, heard.append)
    visitor[0] = visit.id
    await manager.reset_environment()
    assert any(b'"type":"turn"' in frame for frame in heard)
    await manager._visits.context.manager.close()


async def test_a_visit_without_a_page_ends_with_its_session():
    manager = await managed([None, "ann"])
    await manager.reset_environment()
    await manager._visits.context.manager.close()
    assert manager._visits._visits == {}


def test_the_fields_of_an_action_are_told_as_of_old():
    fields = {field["name"]: field for field in action_fields(json_schema(Add))}
    assert fields["amount"] == {
        "name": "amount",
        "type": "number",
        "required": False,
        "description": "",
        "default_value": 1,
        "choices": None,
        "min_value": None,
        "max_value": None,
        "min_length": None,
        "max_length": None,
        "placeholder": "",
        "help": "",
    }
    assert fields["trouble"]["type"] == "select"


def test_without_gradio_the_tab_says_so_and_the_page_is_there(open_page, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    server = open_page(Shown, page=Page(builder=gradio_ui.build_gradio_app, tab="Mine"))
    assert "pip install" in httpx.get(f"{server.url}/web/custom/").text
    about = httpx.get(f"{server.url}/web/about").json()
    assert about["custom"] == {"name": "Mine", "path": "web/custom/", "primary": False}
    assert about["default"] is True


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_old_function_serves_a_tab_of_gradio_that_loads_nothing_from_elsewhere(host):
    pytest.importorskip("gradio", reason="needs Gradio: pip install 'openenv[web]'")
    given: list[Any] = []

    def build(*arguments: Any) -> Any:
        given.extend(arguments)
        return gradio_ui.build_gradio_app(*arguments)

    app = create_web_interface_app(Shown, gradio_builder=build, title_override="Adding", show_default_tab=False)
    server = host.run(app)
    manager, fields, metadata, is_chat, title, quick_start = given
    assert isinstance(manager, WebInterfaceManager)
    assert [field["name"] for field in fields] == ["amount", "trouble"]
    assert (metadata.name, is_chat, title) == ("Shown", False, "Adding")
    assert "GenericEnvClient" in quick_start
    page = httpx.get(f"{server.url}/web/custom/")
    assert page.status_code == 200
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert httpx.get(f"{server.url}/web/about").json()["default"] is False
    server.stop(wait=False)
