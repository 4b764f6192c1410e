"""Tools and prompts from Python functions: `@tool` and `@prompt`.

A decorated method stays the method it is and is called as ever; the decorator only leaves a mark on it. What can be
wrong with a definition is refused where it is written, before anything is served.

```python
class Shop(MCPEnvironment):
    @tool
    def find(self, query: str, limit: int = 5) -> list[str]:
        \"\"\"Find products.

        Args:
            query: Words that the name has.
            limit: How many at most.
        \"\"\"
```
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import FrameType
from typing import Any, TypeVar, overload

from openenv.errors import ConfigurationError
from openenv.mcp.signatures import Signature
from openenv.mcp.types import RESERVED_TOOL_NAMES, Prompt, PromptArgument, Tool

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

MODES = ("simulation", "production")
_MARKS, _DECLARED = "__openenv_marks__", "__openenv_declared__"


@overload
def tool(function: FunctionT, /) -> FunctionT: ...
@overload
def tool(
    *,
    name: str | None = None,
    mode: str | None = None,
    title: str | None = None,
    annotations: Mapping[str, Any] | None = None,
) -> Callable[[FunctionT], FunctionT]: ...
def tool(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    mode: str | None = None,
    title: str | None = None,
    annotations: Mapping[str, Any] | None = None,
) -> Any:
    """Make a method of an `MCPEnvironment` a tool; sync or async.

    Any other environment lists and calls its tools by a `Toolbox`, from `list_tools()` and from `step`.

    Its schemas come from the type hints, its description and those of the arguments from the docstring. All of
    that may be missing. With `**kwargs` it takes arguments of any name.

    Args:
        function: The method, for `@tool` without arguments.
        name: Its name as a tool; by default that of the method.
        mode: `simulation` or `production` if it is to be had in that mode only. Two methods of one name may be
            tools of different modes.
        title: Its name as people are shown it.
        annotations: MCP's hints about it, such as `{"readOnlyHint": True}`.

    Raises:
        ConfigurationError: The name is reserved or taken, the mode is unknown, or a parameter has no name.
    """
    shown = {"title": title, "annotations": dict(annotations) if annotations else None}
    return _decorate(function, "tool", name, mode, shown, sys._getframe(1))


@overload
def prompt(function: FunctionT, /) -> FunctionT: ...
@overload
def prompt(
    *, name: str | None = None, mode: str | None = None, title: str | None = None
) -> Callable[[FunctionT], FunctionT]: ...
def prompt(
    function: Any = None, /, *, name: str | None = None, mode: str | None = None, title: str | None = None
) -> Any:
    """Make a method of an environment a prompt, which an agent begins a conversation with; sync or async.

    It returns the text of one message of the user, or a list of messages `{"role": ..., "content": ...}`.

    Args:
        function: The method, for `@prompt` without arguments.
        name: Its name as a prompt; by default that of the method.
        mode: `simulation` or `production` if it is to be had in that mode only.
        title: Its name as people are shown it.

    Raises:
        ConfigurationError: The name is taken, the mode is unknown, or a parameter has no name.
    """
    return _decorate(function, "prompt", name, mode, {"title": title}, sys._getframe(1))


@dataclass(frozen=True, eq=False)
class Mark:
    """What a decorator leaves on a function.

    Attributes:
        kind: `tool` or `prompt`.
        name: Its name as such.
        mode: The one mode it is to be had in; None for every mode.
        shown: What else is told of it.
        function: The function itself.
        names: What its annotations may refer to beside the globals of its module.
    """

    kind: str
    name: str
    mode: str | None
    shown: Mapping[str, Any]
    function: Callable[..., Any]
    names: Mapping[str, Any] | None = field(default=None, repr=False)

    def clashes(self, other: Mark) -> bool:
        """Return whether both would be had by one name in one mode."""
        same = self.kind == other.kind and self.name == other.name
        return same and (self.mode is None or other.mode is None or self.mode == other.mode)

    def is_in(self, mode: str) -> bool:
        """Return whether it is to be had in a mode."""
        return self.mode is None or self.mode == mode


class Function:
    """A function that is a tool or a prompt.

    Args:
        mark: What was said of it.
        function: The function, if it is not that of the mark: a subclass may override the method.
        skip: How many of its first parameters are not arguments, such as `self`.
    """

    def __init__(self, mark: Mark, function: Callable[..., Any] | None = None, skip: int = 0) -> None:
        self.mark = mark
        self.function = function or mark.function
        self.signature = Signature(self.function, skip, mark.names)

    @cached_property
    def tool(self) -> Tool:
        """What an agent is told of it as a tool."""
        return Tool(
            name=self.mark.name,
            description=self.signature.description,
            input_schema=self.signature.input_schema,
            output_schema=self.signature.output_schema,
            **self.mark.shown,
        )

    @cached_property
    def prompt(self) -> Prompt:
        """What an agent is told of it as a prompt."""
        about, known = self.signature.about, self.signature.parameters
        arguments = [
            PromptArgument(name=p.name, description=about.get(p.name, ""), required=p.default is p.empty)
            for p in known
        ]
        return Prompt(
            name=self.mark.name, description=self.signature.description, arguments=arguments, **self.mark.shown
        )


@dataclass(frozen=True)
class Declared:
    """A tool or prompt of a class: the function, and the attribute that its instances have it by.

    Attributes:
        function: The function.
        attribute: The name of the method.
        own: The method can not be had by that name, since another of that name was defined after it.
    """

    function: Function
    attribute: str
    own: bool = False

    def bind(self, instance: Any) -> Callable[..., Any]:
        """Return the method of an instance."""
        if self.own:
            return self.function.function.__get__(instance, type(instance))  # type: ignore[no-any-return]
        return getattr(instance, self.attribute)  # type: ignore[no-any-return]


def mark(
    function: Callable[..., Any],
    kind: str,
    name: str | None = None,
    mode: str | None = None,
    shown: Mapping[str, Any] | None = None,
    names: Mapping[str, Any] | None = None,
) -> Mark:
    """Return what a decorator leaves on a function.

    Raises:
        ConfigurationError: The name is reserved, the mode is unknown, or it is no function that can be called.
    """
    raw = inspect.unwrap(function) if callable(function) else function
    if not callable(raw):
        raise ConfigurationError(f"@{kind} is for functions, not for {type(function).__name__}")
    given = name or getattr(function, "__name__", "")
    if not given:
        raise ConfigurationError(f"A {kind} needs a name")
    if kind == "tool" and given in RESERVED_TOOL_NAMES:
        raise ConfigurationError(reserved([given]))
    if mode is not None and mode not in MODES:
        raise ConfigurationError(f"There is no mode {mode!r}; a {kind} is for {' or '.join(MODES)}, or for both")
    if inspect.isgeneratorfunction(raw) or inspect.isasyncgenfunction(raw):
        raise ConfigurationError(f"The {kind} {given!r} is a generator; return the whole result")
    return Mark(kind, given, None if mode is None else str(mode), shown or {}, function, names)


def reserved(names: list[str]) -> str:
    """Return the message that refuses tools of reserved names."""
    return (
        f"MCP tools cannot use reserved names: {sorted(names)}. Reserved names are: {sorted(RESERVED_TOOL_NAMES)}"
    )


def declared(cls: type) -> tuple[Declared, ...]:
    """Return the tools and prompts that a class and those it derives from declare, in their order there.

    A method that overrides one is the same tool, whether or not it is decorated again; set to None, it is none.

    Raises:
        ConfigurationError: Two of them have the same name in the same mode.
    """
    found: tuple[Declared, ...] | None = vars(cls).get(_DECLARED)
    if found is None:
        found = tuple(_found(cls))
        marks = [one.function.mark for one in found]
        for at, later in enumerate(marks):
            if any(later.clashes(earlier) for earlier in marks[:at]):
                raise ConfigurationError(f"{cls.__name__} has two methods that are the {later.kind} {later.name!r}")
        setattr(cls, _DECLARED, found)
    return found


def _found(cls: type) -> Iterator[Declared]:
    attributes = dict.fromkeys(name for base in reversed(cls.__mro__) for name in list(vars(base)))
    for attribute in attributes:
        values = [vars(base)[attribute] for base in cls.__mro__ if attribute in vars(base)]
        marks = next((m for value in values if (m := _marks(value))), ())
        current = values[0]
        if not marks or current is None:
            continue
        skip = 0 if isinstance(current, staticmethod) else 1
        now = _function(current)
        last = marks[-1]
        for one in marks[:-1]:
            yield Declared(Function(one, None, 1), attribute, own=True)
        yield Declared(Function(last, now if _marks(current) is not marks else None, skip), attribute)


def _function(value: Any) -> Any:
    return value.__func__ if isinstance(value, staticmethod | classmethod) else value


def _marks(value: Any) -> tuple[Mark, ...]:
    found = getattr(_function(value), _MARKS, ())
    return found if isinstance(found, tuple) else ()


def _decorate(
    function: Any, kind: str, name: str | None, mode: str | None, shown: Mapping[str, Any], frame: FrameType
) -> Any:
    """Return the function with its mark, or what does that to a function.

    Args:
        function: The function, or None.
        kind: See `Mark`, as of the next three.
        name: The name, if it is not that of the function.
        mode: The mode.
        shown: What else is told.
        frame: Where the decorator was used: in the body of a class, as a rule.
    """
    if function is None:
        return lambda given: _decorate(given, kind, name, mode, shown, frame)
    raw = _function(function)
    made = mark(raw, kind, name, mode, shown, names_around(raw, frame))
    scope = frame.f_locals
    in_class = "__qualname__" in scope and "__module__" in scope
    Signature(raw, 1 if in_class and not isinstance(function, staticmethod) else 0)  # refuses what has no name
    earlier: tuple[Mark, ...] = ()
    if in_class:
        for value in list(scope.values()):
            if any(made.clashes(other) for other in _marks(value)):
                raise ConfigurationError(
                    f"{scope['__qualname__']} defines the {kind} {made.name!r} twice for the same mode"
                )
        earlier = _marks(scope.get(getattr(raw, "__name__", "")))
    setattr(raw, _MARKS, (*_marks(raw), *earlier, made))
    return function


def names_around(function: Any, frame: FrameType) -> Mapping[str, Any] | None:
    """Return what annotations that are text mean in the functions around, where that can be seen only now."""
    hints = getattr(function, "__annotations__", {}).values()
    words = {word for hint in hints if isinstance(hint, str) for word in re.findall(r"[^\W\d]\w*", hint)}
    found: dict[str, Any] = {}
    around: FrameType | None = frame if "<locals>" in getattr(function, "__qualname__", "") else None
    while words and around is not None and around.f_globals is frame.f_globals:
        if around.f_locals is not around.f_globals:
            found = {n: value for n, value in around.f_locals.items() if n in words} | found
        around = around.f_back
    return found or None
