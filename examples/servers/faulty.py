"""Any environment, of which a share of the episodes breaks at the first step or tool call: openenv serve faulty:app

FAULTY_ENVIRONMENT says which, such as `lights:Lights`, and FAULTY_SHARE how many.
"""

import functools
import inspect
import os
import random
from collections.abc import Callable
from importlib import import_module
from typing import Any

from openenv.environment import Environment
from openenv.errors import WorkspaceLostError
from openenv.server import create_app


def breaking(kind: type[Environment[Any, Any, Any]], share: float) -> type[Environment[Any, Any, Any]]:
    """Return a class of environments that are those of a class, but for a share of their episodes."""

    def began(self: Any) -> None:
        self.faulty = random.random() < share

    def played(self: Any) -> None:
        if self.faulty:
            raise WorkspaceLostError("this episode was to break")

    steps = {name: method for name, method in vars(kind).items() if inspect.isfunction(method) and name[0] != "_"}
    members = {name: before(method, played) for name, method in steps.items() if name not in ("close", "reset")}
    return type(f"Faulty{kind.__name__}", (kind,), {**members, "reset": before(kind.reset, began)})


def before(method: Any, first: Callable[[Any], None]) -> Any:
    """Return a method that does something else first."""

    @functools.wraps(method)
    def blocking(self: Any, *arguments: Any, **options: Any) -> Any:
        first(self)
        return method(self, *arguments, **options)

    @functools.wraps(method)
    async def waiting(self: Any, *arguments: Any, **options: Any) -> Any:
        first(self)
        return await method(self, *arguments, **options)

    return waiting if inspect.iscoroutinefunction(method) else blocking


module, _, name = os.environ["FAULTY_ENVIRONMENT"].partition(":")
app = create_app(breaking(getattr(import_module(module), name), float(os.environ["FAULTY_SHARE"])))
