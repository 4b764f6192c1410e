"""Two policies on a blocking client: scripts that solve tasks from what an agent sees, and one that waits."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from .models import BrowserGymAction, BrowserGymObservation

MAX_RETURN: float = 1.0
MIN_RETURN: float = 0.0


class Element(NamedTuple):
    """An element of the accessibility tree.

    Attributes:
        bid: Its number.
        role: What it is, such as `button`.
        name: What it is called.
    """

    bid: str
    role: str
    name: str


class Page:
    """What a script sees of a page: the goal, its quoted parts, and the elements."""

    def __init__(self, seen: BrowserGymObservation) -> None:
        self.goal = seen.goal
        self.quoted = re.findall(r'"([^"]*)"', seen.goal)
        self.tree = seen.axtree_txt
        found = re.findall(r"\[(\w+)\] (\w+) '((?:[^'\\]|\\.)*)'", seen.axtree_txt)
        self.elements = [Element(*each) for each in found]

    def all(self, role: str) -> list[str]:
        """Return the numbers of all elements of a role."""
        return [each.bid for each in self.elements if each.role == role]

    def named(self, role: str, name: str) -> str:
        """Return the number of the first element of a role and a name."""
        return next(each.bid for each in self.elements if (each.role, each.name) == (role, name))


def click(bid: str) -> str:
    """Return the action that clicks an element."""
    return f"click({bid!r})"


def fill(bid: str, text: str) -> str:
    """Return the action that fills in a field."""
    return f"fill({bid!r}, {text!r})"


def _submit(page: Page, *actions: str) -> list[str]:
    return [*actions, click(page.all("button")[-1])]


def _click_quoted(page: Page) -> list[str]:
    return [click(page.named("button", page.quoted[0]))]


def _wanted(page: Page) -> list[str]:
    between = re.sub(r"^Select | and click Submit\.$", "", page.goal)
    return [] if between == "nothing" else between.split(", ")


def _checkboxes(page: Page) -> list[str]:
    return _submit(page, *(click(page.named("checkbox", name)) for name in _wanted(page)))


def _arithmetic(page: Page) -> list[str]:
    left, sign, right = re.findall(r"'(-?\d+) ([-+x]) (-?\d+) ='", page.tree)[0]
    a, b = int(left), int(right)
    answer = {"+": a + b, "-": a - b, "x": a * b}[sign]
    return _submit(page, fill(page.all("textbox")[0], str(answer)))


def _table(page: Page) -> list[str]:
    wanted = re.findall(r"value of (.+?) into", page.goal)[0]
    cells = [each.name for each in page.elements if each.role in ("cell", "gridcell")]
    return _submit(page, fill(page.all("textbox")[0], cells[cells.index(wanted) + 1]))


def _list(page: Page) -> list[str]:
    wanted = re.findall(r"^Select (.+) from the list", page.goal)[0]
    return _submit(page, f"select_option({page.all('combobox')[0]!r}, {wanted!r})")


def _case(page: Page) -> list[str]:
    text = page.quoted[0]
    return _submit(page, fill(page.all("textbox")[0], text.upper() if "upper case" in page.goal else text.lower()))


SCRIPTS: dict[str, Callable[[Page], list[str]]] = {
    "choose-list": _list,
    "click-button": _click_quoted,
    "click-button-sequence": lambda page: [click(page.named("button", name)) for name in ("ONE", "TWO")],
    "click-checkboxes": _checkboxes,
    "click-dialog": lambda page: [click(page.named("button", "Close"))],
    "click-option": lambda page: _submit(page, click(page.named("radio", _wanted(page)[0]))),
    "click-test": lambda page: [click(page.all("button")[0])],
    "click-test-2": lambda page: [click(page.named("button", "ONE"))],
    "enter-password": lambda page: _submit(page, *(fill(bid, page.quoted[0]) for bid in page.all("textbox"))),
    "enter-text": lambda page: _submit(page, fill(page.all("textbox")[0], page.quoted[0])),
    "enter-text-2": _case,
    "focus-text": lambda page: [click(page.all("textbox")[0])],
    "focus-text-2": lambda page: [click(page.all("textbox")[int(re.findall(r"\d+", page.goal)[0]) - 1])],
    "login-user": lambda page: _submit(page, *map(fill, page.all("textbox"), page.quoted)),
    "read-table": _table,
    "simple-arithmetic": _arithmetic,
    "unicode-test": _click_quoted,
}
"""By task: what is to be done, read from the first observation. Each solves its task for every seed."""


def oracle(env: Any, **reset: Any) -> float:
    """Play one episode with the script of its task, and return the sum of its rewards.

    Args:
        env: A blocking client.
        **reset: For the reset: `task_name`, one of `SCRIPTS`, and `seed`.
    """
    result = env.reset(**{"task_name": "click-test", **reset})
    for action in SCRIPTS[env.state().task_name](Page(result.observation)):
        result = env.step(BrowserGymAction(action_str=action))
    return float(result.reward or 0.0)


def null(env: Any, **reset: Any) -> float:
    """Play one episode by waiting until it is cut off, and return the sum of its rewards."""
    result = env.reset(**reset)
    while not result.done:
        result = env.step(BrowserGymAction(action_str="noop(0)"))
    return float(result.reward or 0.0)
