"""How another process finds an environment's class or factory by name."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.machinery import ModuleSpec
from typing import Any

MAIN_ALIAS = "__openenv_main__"


@dataclass(frozen=True)
class Target:
    """A class or function by module and name.

    Attributes:
        module: The module's name.
        name: The object's dotted name in it.
        file: The module's file, if it is a script that was run and can not be imported by its name.
        package: The `__init__.py` of the outermost package it is in, for where that is not found: its folder may
            have another name, as `openenv serve` allows.
    """

    module: str
    name: str
    file: str | None = None
    package: str | None = None

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
        if spec is None or spec.origin != file:
            return None
        outermost = sys.modules.get(module.partition(".")[0])
        is_package = hasattr(outermost, "__path__")
        return Target(module, name, package=getattr(outermost, "__file__", None) if is_package else None)

    def load(self) -> Callable[[], Any]:
        """Import it.

        Raises:
            ImportError: There is no such module.
            AttributeError: It is not in the module.
        """
        if self.file is not None and self.module not in sys.modules:
            spec = importlib.util.spec_from_file_location(self.module, self.file)
            _run(self.module, spec)
        outermost = self.module.partition(".")[0]
        if self.package is not None and importlib.util.find_spec(outermost) is None:
            folder = os.path.dirname(self.package)
            spec = importlib.util.spec_from_file_location(
                outermost, self.package, submodule_search_locations=[folder]
            )
            _run(outermost, spec)
        found: Any = importlib.import_module(self.module)
        for part in self.name.split("."):
            found = getattr(found, part)
        return found  # type: ignore[no-any-return]

    def to_wire(self) -> dict[str, Any]:
        """Return its attributes."""
        return asdict(self)


def _run(name: str, spec: ModuleSpec | None) -> None:
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
