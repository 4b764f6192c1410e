"""What an environment shows people of an observation, by `render_web` and `web_actions`.

The environment may be in another process than whoever shows it, so all of it is plain values. A hook that fails is
told of in words: playing goes on without it.
"""

from __future__ import annotations

import base64
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from openenv.environment.base import Environment
from openenv.models import Action
from openenv.values import text_of

HOOKS = ("render_web", "web_actions")

MOST_ACTIONS = 500
"""Actions that are offered at once; the rest is left to the form."""

_PICTURES = {b"\x89PNG": "image/png", b"\xff\xd8": "image/jpeg", b"GIF8": "image/gif", b"RIFF": "image/webp"}


def has_views(cls: type) -> bool:
    """Return whether a class defines one of the hooks itself."""
    return any(getattr(cls, hook, None) not in (None, getattr(Environment, hook)) for hook in HOOKS)


def view_of(environment: Any, observation: Any) -> Any:
    """Return what the hooks say of an observation; awaitable if one of them is async.

    Args:
        environment: An instance.
        observation: What it has just returned.

    Returns:
        A dictionary, with what there is of: `html`, `text` or `image` (an address that holds the data); `actions`
        (dictionaries of `label` and `action`); `problems`, what went wrong in words.
    """
    returned = [_called(getattr(environment, hook, None), observation) for hook in HOOKS]
    return _later(returned) if any(map(inspect.isawaitable, returned)) else _view(returned)


def _called(hook: Callable[[Any], Any] | None, observation: Any) -> Any:
    try:
        return hook(observation) if hook is not None else None
    except (Exception, SystemExit) as error:
        return error


async def _later(returned: list[Any]) -> dict[str, Any]:
    for at, value in enumerate(returned):
        if inspect.isawaitable(value):
            try:
                returned[at] = await value
            except (Exception, SystemExit) as error:
                returned[at] = error
    return _view(returned)


def _view(returned: list[Any]) -> dict[str, Any]:
    view: dict[str, Any] = {}
    problems = []
    for hook, value, read in zip(HOOKS, returned, (_drawing, _offered), strict=True):
        try:
            if isinstance(value, BaseException):
                raise value
            view |= read(value)
        except (Exception, SystemExit) as error:
            problems.append(f"{hook} failed: {type(error).__name__}: {text_of(error)}")
    return view | {"problems": problems} if problems else view


def _drawing(drawn: Any) -> dict[str, Any]:
    if drawn is None:
        return {}
    if isinstance(drawn, str):
        return {"html" if drawn.lstrip().startswith("<") else "text": drawn}
    if isinstance(drawn, bytes | bytearray | memoryview):
        content = bytes(drawn)
        kind = next((kind for magic, kind in _PICTURES.items() if content.startswith(magic)), None)
        if kind is None:
            return _drawing(content.decode())  # an SVG, perhaps
        return {"image": f"data:{kind};base64,{base64.b64encode(content).decode()}"}
    raise TypeError(f"it returned {type(drawn).__name__}; return text, HTML or the bytes of a picture")


def _offered(actions: Any) -> dict[str, Any]:
    return {"actions": [_offer(each) for each in list(actions)[:MOST_ACTIONS]]} if actions else {}


def _offer(offered: Any) -> dict[str, Any]:
    if isinstance(offered, Sequence) and not isinstance(offered, str) and len(offered) == 2:
        label, action = offered
        return {"label": str(label), "action": _plain(action)}
    action = _plain(offered)
    return {"label": ", ".join(f"{value}" for value in action.values()) or type(offered).__name__, "action": action}


def _plain(action: Any) -> dict[str, Any]:
    if isinstance(action, Action):
        dumped = action.model_dump(mode="json")
        return {name: value for name, value in dumped.items() if name != "metadata" or value}
    if isinstance(action, dict):
        return action
    raise TypeError(f"{type(action).__name__} is no action; return actions, dictionaries, or pairs with a label")
