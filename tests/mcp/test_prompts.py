"""Prompts from methods."""

from typing import Any

import pytest
from tests.mcp.tooled import Episode

from openenv.errors import ExecutionError, InvalidRequestError
from openenv.mcp import (
    prompt,
)


class Prompting(Episode):
    @prompt
    def greet(self, name: str) -> str:
        """Greet somebody."""
        return f"Hello {name}"

    @prompt(mode="production")
    async def talk(self, turns: int = 1) -> list[dict[str, Any]]:
        return [{"role": "assistant", "content": {"type": "text", "text": "Yes?"}}] * turns

    @prompt
    def broken(self) -> Any:
        return 5


async def test_prompts_are_listed_and_made():
    env = Prompting()
    assert [one.name for one in await env.list_prompts()] == ["greet", "broken"]
    made = await env.get_prompt("greet", {"name": "Ada"})
    assert made == [{"role": "user", "content": {"type": "text", "text": "Hello Ada"}}]
    env._server_mode = "production"
    assert len(await env.get_prompt("talk", {"turns": "2"})) == 2


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("nope", {}, "Unknown prompt: 'nope'. The prompts are: greet, broken"),
        ("talk", {}, "Unknown prompt"),
        ("greet", {}, "Wrong arguments for prompt 'greet': name: Field required"),
    ],
)
async def test_a_prompt_that_can_not_be_made_is_refused(name, arguments, says):
    with pytest.raises(InvalidRequestError, match=says):
        await Prompting().get_prompt(name, arguments)


async def test_a_prompt_that_returns_something_else_is_the_environments_fault():
    with pytest.raises(ExecutionError, match="'broken' returned int"):
        await Prompting().get_prompt("broken")
