"""The name that `openenv.core` had before: importing it warns, and every module of it is that of `openenv.core`.

They are the same modules, not copies: a class imported, or patched, under one name is so under the other.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openenv.core import *

_NEW = "openenv.core"


class _SameModule(MetaPathFinder, Loader):
    """Finds `openenv_core.NAME` as the module `openenv.core.NAME`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to import a module by its old name, if it is there by the new one."""
        if not fullname.startswith(f"{__name__}.") or find_spec(_new_name(fullname)) is None:
            return None
        return ModuleSpec(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        """Put the module itself in the place of the empty one that was made for the old name."""
        sys.modules[module.__name__] = import_module(_new_name(module.__name__))


def _new_name(old: str) -> str:
    return _NEW + old.removeprefix(__name__)


def __getattr__(name: str) -> object:
    return getattr(import_module(_NEW), name)


def __dir__() -> list[str]:
    return dir(import_module(_NEW))


warnings.warn(f"{__name__} is the old name of {_NEW}; import from there", DeprecationWarning, stacklevel=2)
__all__ = import_module(_NEW).__all__
if not any(type(finder).__module__ == __name__ for finder in sys.meta_path):
    sys.meta_path.insert(0, _SameModule())
