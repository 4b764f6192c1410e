"""How another process finds an environment's class or factory by name."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

MAIN_ALIAS = "__openenv_main__"


@dataclass(frozen=True)
class Target:
    """A class or function by module and name.

    Attributes:
        module: The module's name.
        name: The object's dotted name in it.
        file: The module's file, if it is a script that was run and can not be imported by its name.
    """

    module: str
    name: str
    file: str | None = None

    @staticmethod
    def of(factory: Any) -> Target | None:
        """Return how to find it, or None if no other process could."""
        module, name = getattr(factory, "__module__", None), getattr(factory, "__qualname__", "<")
        if module is None or "<" in name:  # a lambda, or local to a function
            return None
        file = getattr(sys.modules.get(module), "__file__", None)
        if module == "__main__":
            return Target(MAIN_ALIAS, name, file) if file else None
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            return None
        return Target(module, name) if spec is not None and spec.origin == file else None

    def load(self) -> Callable[[], Any]:
        """Import it.

        Raises:
            ImportError: There is no such module.
            AttributeError: It is not in the module.
        """
        if self.file is not None and self.module not in sys.modules:
            spec = importlib.util.spec_from_file_location(self.module, self.file)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[self.module] = module
            spec.loader.exec_module(module)
        found: Any = importlib.import_module(self.module)
        for part in self.name.split("."):
            found = getattr(found, part)
        return found  # type: ignore[no-any-return]

    def to_wire(self) -> dict[str, Any]:
        """Return its attributes."""
        return asdict(self)
