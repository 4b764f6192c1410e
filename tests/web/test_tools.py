"""Environments of tools on the page, in a real browser: listed, chosen, filled in, called."""

import sys
from pathlib import Path
from typing import Any

import pytest
from envs.echo_env.server.echo_environment import EchoEnvironment
from tests.web.tooled import Bakery, Odd

from openenv.mcp import (
    CallToolAction,
    CallToolObservation,
    ListToolsAction,
    ListToolsObservation,
    MCPServerEnvironment,
)

pytestmark = pytest.mark.slow

ODD_SERVER = Path(__file__).parents[1] / "mcp" / "odd_server.py"
AnyObservation = CallToolObservation | ListToolsObservation
CHOSEN = "#step-fields .tools input:checked"


def reset(page: Any) -> None:
    page.click("#reset")
    page.wait_for_selector("#status[data-state=playing]")
    page.wait_for_selector(CHOSEN, state="attached")


def stepped(page: Any, number: int) -> None:
    page.wait_for_selector(f"#figure-step:text-is('{number}')")


def offered(page: Any) -> list[str]:
    return page.locator("#step-fields .tools label").all_inner_texts()


def choose(page: Any, name: str) -> None:
    page.click(f"#step-fields .tools label:has-text('{name}')")


def shown(page: Any) -> str:
    return page.inner_text("#observation")


def test_a_tool_is_chosen_filled_in_and_called(open_page, visit):
    page = visit(open_page(Bakery))
    reset(page)
    assert offered(page) == ["order", "pay", "shut"]
    assert "Order cakes" in page.inner_text("#step-fields")
    form = page.locator("#step-fields")
    form.get_by_label("Street").fill("Mill Lane")
    form.get_by_label("Number").fill("7")
    form.get_by_label("Size").select_option(label="large")
    page.click("#step-fields summary:has-text('Optional')")
    form.get_by_label("Count").fill("2")
    form.get_by_label("Metadata").fill("cash")
    page.click("#step-fields button:has-text('+ Add')")
    page.keyboard.type("Ada")
    page.click("#step")
    stepped(page, 1)
    for part in ("Mill Lane", "7", "large", "Ada", "cash"):
        assert part in shown(page), part
    assert page.inner_text("#figure-reward") == "+2"
    assert 'order(to: {"street":"Mill Lane","number":7}' in page.inner_text("#history tbody tr >> nth=0")
    assert form.get_by_label("Street").input_value() == "Mill Lane"
    choose(page, "pay")
    form.get_by_label("Amount").fill("9")
    page.keyboard.press("Enter")
    page.wait_for_selector("#status[data-state=over]")
    assert "Thank you!" in shown(page)


def test_what_is_missing_or_wrong_is_told_at_its_field_and_the_page_goes_on(open_page, visit):
    page = visit(open_page(Bakery))
    reset(page)
    page.click("#step")
    assert page.inner_text("#step-fields .wrong:not([hidden])") == "This is needed"
    form = page.locator("#step-fields")
    form.get_by_label("Street").fill("Mill Lane")
    form.get_by_label("Number").fill("0")
    page.click("#step")
    assert page.inner_text("#step-fields .wrong:not([hidden])") == "At least 1"
    assert page.locator("#history tbody tr").count() == 2
    form.get_by_label("Number").fill("1")
    page.click("#step")
    stepped(page, 1)
    choose(page, "pay")
    page.click("#step")
    assert page.inner_text("#step-fields .wrong:not([hidden])") == "This is needed"
    form.get_by_label("Amount").fill("0.5")
    page.click("#step")
    stepped(page, 2)
    assert "too little" in page.inner_text("#mistake")
    assert "execution_error" in shown(page)
    form.get_by_label("Amount").fill("1")
    page.click("#step")
    page.wait_for_selector("#status[data-state=over]")
    assert page.locator("#mistake").is_hidden()


def test_the_tools_are_those_of_the_task_and_follow_when_they_change(open_page, visit):
    page = visit(open_page(Bakery, grace_s=60))
    assert "listed when an episode begins" in page.inner_text("#step-fields")
    reset(page)
    page.locator("#step-fields").get_by_label("Street").fill("half")
    choose(page, "shut")
    assert "It takes nothing." in page.inner_text("#step-fields")
    page.click("#step")
    page.wait_for_selector("#step-fields .tools label:has-text('bake')")
    assert offered(page) == ["bake", "pay", "shut"]
    assert page.input_value(CHOSEN) == "shut"
    page.reload()
    page.wait_for_selector(CHOSEN, state="attached")
    assert offered(page) == ["bake", "pay", "shut"]
    page.click("#reset")
    page.wait_for_selector("#step-fields .tools label:has-text('order')")
    choose(page, "order")
    page.locator("#reset-details summary").click()
    page.locator("#reset-fields").get_by_label("Task").select_option(label="bake")
    page.click("#reset")
    page.wait_for_selector("#step-fields .tools label:has-text('bake')")
    assert "order is offered no longer" in page.inner_text("#step-fields")
    page.click("#step")
    stepped(page, 1)
    assert "baked" in shown(page)


def test_a_server_of_somebody_else_is_played_and_its_new_tools_are_there(open_page, visit):
    def played() -> MCPServerEnvironment:
        return MCPServerEnvironment([sys.executable, str(ODD_SERVER)])

    types = {"action_cls": CallToolAction | ListToolsAction, "observation_cls": AnyObservation}
    page = visit(open_page(played, **types))
    reset(page)
    assert "say" in offered(page)
    assert page.locator("#observation td >> text='say'").count() == 1
    choose(page, "grow")
    page.click("#step")
    stepped(page, 1)
    choose(page, "count")
    page.click("#step")
    stepped(page, 2)
    page.wait_for_selector("#step-fields .tools label:has-text('new')")
    assert page.input_value(CHOSEN) == "count"


def test_what_was_typed_is_still_there_when_a_tool_is_chosen_again(open_page, visit):
    page = visit(open_page(Bakery))
    reset(page)
    page.locator("#step-fields").get_by_label("Street").fill("Mill Lane")
    choose(page, "pay")
    choose(page, "order")
    assert page.locator("#step-fields").get_by_label("Street").input_value() == "Mill Lane"


def test_a_tool_is_called_by_keyboard_alone(open_page, visit):
    page = visit(open_page(Bakery))
    reset(page)
    page.focus(CHOSEN)
    page.keyboard.press("ArrowRight")
    assert page.input_value(CHOSEN) == "pay"
    page.keyboard.press("Tab")
    page.keyboard.type("3")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#status[data-state=over]")


def test_tools_stand_beside_other_actions_and_can_be_listed(open_page, visit):
    page = visit(open_page(EchoEnvironment))
    page.click("#reset")
    page.wait_for_selector("#status[data-state=playing]")
    kind = page.locator("#step-fields select >> nth=0")
    assert kind.locator("option").all_inner_texts() == ["Echo", "Call Tool", "List Tools"]
    kind.select_option(label="Call Tool")
    page.wait_for_selector(CHOSEN, state="attached")
    choose(page, "echo_with_length")
    page.fill("#step-fields fieldset input[type=text]", "four")
    page.click("#step")
    stepped(page, 1)
    assert "echo_with_length" in shown(page)
    assert page.inner_text("#figure-reward") == "+1"
    kind.select_option(label="List Tools")
    page.click("#step")
    stepped(page, 2)
    assert "Return the message and its length" in shown(page)


def test_code_for_a_program_makes_the_call_that_is_in_the_form(open_page, visit):
    page = visit(open_page(Bakery))
    reset(page)
    choose(page, "pay")
    page.locator("#step-fields").get_by_label("Amount").fill("4")
    page.click("#tab-code")
    call = 'env.step({"type": "call_tool", "tool_name": "pay", "arguments": {"amount": 4}})'
    assert call in page.inner_text("#code")


def test_a_schema_that_no_form_can_be_made_of_is_answered_as_json(open_page, visit):
    page = visit(open_page(Odd))
    reset(page)
    names = offered(page)
    assert len(names) == len(Odd.schemas)
    for number, name in enumerate(names, 1):
        choose(page, name)
        for field in page.locator("#step-fields textarea").all():
            field.fill('{"x": 1}')
        page.click("#step")
        stepped(page, number)
        assert name in shown(page)


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1280, True)])
def test_many_tools_of_long_names_are_no_wider_than_the_page(open_page, visit, width, dark):
    class Many(Odd):
        schemas = tuple({"properties": {"a_rather_long_name_" * 5: {"type": "string"}}} for _ in range(40))

    page = visit(open_page(Many), width, dark)
    reset(page)
    assert len(offered(page)) == 40
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
