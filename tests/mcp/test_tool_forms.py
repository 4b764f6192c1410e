"""Tools in the forms of MCP, of language models, and of the clients of earlier releases."""

import pytest

from openenv.errors import ConfigurationError
from openenv.mcp import (
    ListToolsObservation,
    OfferedTools,
    Prompt,
    PromptArgument,
    Tool,
    anthropic_tools,
    openai_tools,
)
from openenv.models import Observation

SCHEMA = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
FIND = Tool(
    name="find",
    description="Find products.",
    input_schema=SCHEMA,
    output_schema={"type": "object"},
    title="Find",
    annotations={"readOnlyHint": True},
)
BARE = Tool(name="ping")


def test_a_tool_has_the_form_of_each_api():
    function = {"name": "find", "description": "Find products.", "parameters": SCHEMA}
    assert FIND.to_openai() == {"type": "function", "function": function}
    assert FIND.to_anthropic() == {"name": "find", "description": "Find products.", "input_schema": SCHEMA}
    assert openai_tools([FIND, BARE]) == [FIND.to_openai(), BARE.to_openai()]
    assert anthropic_tools([FIND, BARE]) == [FIND.to_anthropic(), BARE.to_anthropic()]


def test_a_tool_that_says_nothing_of_its_arguments_takes_an_object_without_any():
    assert BARE.to_openai()["function"]["parameters"] == {"type": "object", "properties": {}}
    assert BARE.to_anthropic()["input_schema"] == {"type": "object", "properties": {}}
    assert BARE.to_mcp() == {"name": "ping", "inputSchema": {"type": "object"}}


@pytest.mark.parametrize("name", ["a.b", "with space", "", "x" * 65, "\N{SNOWMAN}", "a\n"])
def test_a_name_that_the_apis_refuse_is_refused_by_name(name):
    for form in (Tool.to_openai, Tool.to_anthropic):
        with pytest.raises(ConfigurationError, match="takes no tool of the name"):
            form(Tool(name=name))


def test_a_tool_comes_back_from_the_form_of_mcp():
    shown = FIND.to_mcp()
    assert shown == {
        "name": "find",
        "title": "Find",
        "description": "Find products.",
        "inputSchema": SCHEMA,
        "outputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": True},
    }
    assert Tool.from_mcp(shown) == FIND
    assert Tool.from_mcp({"name": "ping", "description": None, "icons": []}) == BARE


def test_what_is_not_known_of_a_tool_is_not_written():
    assert BARE.model_dump() == {"name": "ping", "description": "", "input_schema": {}}
    assert Tool.model_validate(FIND.model_dump()) == FIND
    assert "name" in Tool.model_json_schema(mode="serialization")["properties"]


def test_an_observation_lists_tools_as_earlier_clients_can_read_them():
    class Own(Observation):
        offered: OfferedTools

    old = {"name", "description", "input_schema"}
    for tools in (ListToolsObservation(tools=[FIND, BARE]).tools, Own(offered=[FIND, BARE]).offered):
        assert [set(tool.model_dump()) for tool in tools] == [old, old]
        assert [tool.name for tool in tools] == ["find", "ping"]


def test_a_prompt_is_written_as_mcp_has_it():
    prompt = Prompt(name="review", arguments=[PromptArgument(name="code", required=True)])
    assert prompt.model_dump() == {
        "name": "review",
        "description": "",
        "arguments": [{"name": "code", "description": "", "required": True}],
        "title": None,
    }
