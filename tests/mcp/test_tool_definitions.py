"""Definitions of tools and prompts that are refused where they are written, and what docstrings say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pydantic import Field

from openenv.errors import ConfigurationError
from openenv.mcp import MCPEnvironment, Toolbox, tool
from openenv.mcp.docstrings import describe


@pytest.mark.parametrize("name", ["reset", "step", "state", "close"])
def test_a_reserved_name_is_refused_where_it_is_defined(name):
    with pytest.raises(ConfigurationError, match="reserved names"):

        @tool(name=name)
        def something() -> None: ...


def test_parameters_without_a_name_are_refused_where_they_are_defined():
    with pytest.raises(ConfigurationError, match=r"\*args"):

        class Many:
            @tool
            def take(self, *args: int) -> None: ...

    with pytest.raises(ConfigurationError, match="by position only"):

        class ByPosition:
            @tool
            def take(self, a: int, /) -> None: ...


def test_what_can_not_be_a_tool_is_refused_where_it_is_defined():
    with pytest.raises(ConfigurationError, match="no mode 'test'"):
        tool(mode="test")(lambda: None)
    with pytest.raises(ConfigurationError, match="generator"):

        @tool
        def numbers():
            yield 1

    with pytest.raises(ConfigurationError, match="Annotated"):

        @tool
        def find(limit: int = Field(default=1)) -> None: ...

    with pytest.raises(ConfigurationError, match="for functions, not for int"):
        tool(5)  # type: ignore[call-overload]


@pytest.mark.parametrize("hint", [Toolbox, Callable[[int], int], np.ndarray], ids=str)
def test_an_argument_that_has_no_json_form_is_refused_when_the_tools_are_first_needed(hint):
    class Odd:
        @tool
        def take(self, it) -> None: ...

    Odd.take.__annotations__["it"] = hint
    with pytest.raises(ConfigurationError, match=r"take\(\) takes what has no JSON form"):
        Toolbox(Odd())


def test_a_name_twice_in_one_mode_is_refused_where_it_is_defined():
    with pytest.raises(ConfigurationError, match="twice"):

        class Twice:
            @tool
            def find(self) -> None: ...

            @tool(name="find")
            def look(self) -> None: ...

    with pytest.raises(ConfigurationError, match="twice"):

        class TwiceInProduction:
            @tool(mode="production")
            def find(self) -> None: ...

            @tool
            def find(self) -> None: ...  # noqa: F811

    class Base(MCPEnvironment):
        @tool
        def find(self) -> None: ...

    with pytest.raises(ConfigurationError, match="two methods"):

        class Derived(Base):
            @tool(name="find")
            def look(self) -> None: ...


# --- docstrings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("docstring", "text", "parameters"),
    [
        (None, "", {}),
        ("Do it.", "Do it.", {}),
        (
            "Do it.\n\nArgs:\n    a: One.\n    b (int): Two\n        lines.\n",
            "Do it.",
            {"a": "One.", "b": "Two lines."},
        ),
        (
            "Do it.\n\n    Arguments:\n        **kw: Rest.\n\n    Returns:\n        That.",
            "Do it.\n\nReturns:\n    That.",
            {"kw": "Rest."},
        ),
        (
            "Do it.\n\nParameters\n----------\na : int\n    One.\nb\n    Two.\n\nReturns\n-------\nint\n    That.",
            "Do it.\n\nReturns\n-------\nint\n    That.",
            {"a": "One.", "b": "Two."},
        ),
        (
            "Do it.\n\n:param a: One\n    and more.\n:param int b: Two.\n:type b: int\n:returns: That.",
            "Do it.\n\n:returns: That.",
            {"a": "One and more.", "b": "Two."},
        ),
        ("Args:\n", "Args:", {}),
        ("Args: not a section", "Args: not a section", {}),
        ("Do it.\n\nArgs:\n    just text\n\nMore.", "Do it.\n\nMore.", {}),
        ("Parameters\n----------", "", {}),
    ],
)
def test_a_docstring_is_read_in_every_usual_style(docstring, text, parameters):
    assert describe(docstring) == (text, parameters)
