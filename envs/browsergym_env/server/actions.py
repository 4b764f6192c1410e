"""Action strings: read with BrowserGym's grammar, checked, and run with BrowserGym's functions.

BrowserGym makes Python text of an action and executes it. Here the call is made directly: nothing that an agent
wrote becomes a program, and the functions know their page without being compiled again at each step.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any
from urllib.parse import urlsplit

import pyparsing
from browsergym.core.action import functions
from browsergym.core.action.highlevel import ACTION_SUBSETS
from browsergym.core.action.parsers import NamedArgument, highlevel_action_parser

from openenv.errors import ConfigurationError

__all__ = ["DEFAULT_SUBSETS", "ActionError", "Actions", "Call", "bound"]

DEFAULT_SUBSETS = ("bid", "coord", "nav", "tab", "chat", "infeas")
READ_FILES = ("upload_file", "mouse_upload_file")
"""Left out of all sets: what they would upload are the files of the server."""

SCHEMES = ("http", "https")
"""Where `goto` goes. `file:` would read the server's files, `javascript:` and `data:` bring programs along."""

MAX_WAIT_MS = 5000.0

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
"""A function of BrowserGym with its arguments."""


class ActionError(Exception):
    """An action that is not run; the message says why."""


class Actions:
    """The actions of an environment.

    Args:
        subsets: BrowserGym's names of them, such as `bid` or `miniwob_all`.

    Raises:
        ConfigurationError: There is no such set.
    """

    def __init__(self, subsets: Sequence[str] = DEFAULT_SUBSETS) -> None:
        unknown = sorted(set(subsets) - set(ACTION_SUBSETS))
        if unknown or not subsets:
            raise ConfigurationError(
                f"There is no set of actions {unknown}; there are: {', '.join(ACTION_SUBSETS)}"
            )
        chosen = [functions.noop, *(function for name in subsets for function in ACTION_SUBSETS[name])]
        self._functions = {each.__name__: each for each in chosen if each.__name__ not in READ_FILES}

    def describe(self) -> str:
        """Return each action with its signature and what it does, for a prompt."""
        described = (f"{name}{inspect.signature(each)}\n{each.__doc__}" for name, each in self._functions.items())
        return "\n".join(described)

    def read(self, text: str) -> Call:
        """Return the one call in a text.

        Raises:
            ActionError: There is none, or several, or its arguments are wrong.
        """
        try:
            found = [call for part in highlevel_action_parser.search_string(text).as_list() for call in part]
        except (pyparsing.ParseBaseException, RecursionError, ValueError, SyntaxError) as error:
            raise ActionError(f"The action cannot be read: {error}") from None
        if len(found) != 1:
            what = "no action in it" if not found else f"{len(found)} actions; one at a time"
            raise ActionError(f"The text has {what}. Actions are: {', '.join(self._functions)}")
        ((name, arguments),) = found
        function = self._functions.get(name)
        if function is None:
            raise ActionError(f"There is no action {name!r}. Actions are: {', '.join(self._functions)}")
        given = tuple(each for each in arguments if not isinstance(each, NamedArgument))
        named = {each.name: each.value for each in arguments if isinstance(each, NamedArgument)}
        _check(function, given, named)
        return function, given, named


def bound(function: Callable[..., Any], around: dict[str, Any]) -> Callable[..., Any]:
    """Return a function of BrowserGym whose global names are of this call alone, the page among them."""
    assert isinstance(function, FunctionType)
    return FunctionType(function.__code__, around, function.__name__, function.__defaults__, function.__closure__)


def _check(function: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> None:
    try:
        arguments = inspect.signature(function).bind(*given, **named).arguments
    except TypeError as error:
        raise ActionError(f"{function.__name__}: {error}") from None
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in arguments:
            continue
        value = arguments[name]
        if parameter.annotation in (float, int):
            _check_number(function.__name__, name, value)
        if parameter.annotation is str and not isinstance(value, str):
            raise ActionError(f"{function.__name__}: {name} is to be a text in quotes, not {value!r}")
    if function is functions.goto and not _is_of_the_web(arguments["url"]):
        raise ActionError(f"goto: only addresses that begin with {' or '.join(SCHEMES)} are visited")
    if function is functions.noop and arguments.get("wait_ms", 0) > MAX_WAIT_MS:
        raise ActionError(f"noop: waits {MAX_WAIT_MS:g} ms at most")


def _is_of_the_web(url: str) -> bool:
    try:
        return urlsplit(url).scheme in SCHEMES
    except ValueError:
        return False


def _check_number(action: str, name: str, value: Any) -> None:
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or abs(value) > 1e6:
        raise ActionError(f"{action}: {name} is to be a number within a million, not {value!r}")
