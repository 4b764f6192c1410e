"""A keeper for a place that has none of our files: its modules are sent to a Python there, as the first it reads.

The Python is started with `BOOTSTRAP` as its program. It needs nothing but the standard library, and the programs
that it starts later find none of the modules: they are in its memory only.
"""

from __future__ import annotations

import functools
import marshal
import struct
from importlib.util import find_spec
from pathlib import Path
from types import CodeType

__all__ = ["bootstrap", "modules"]

_PACKAGES = ("openenv", "openenv.execution", "openenv.execution.inside", "openenv.containment")
_FOLDERS = ("openenv.execution.inside", "openenv.containment")
_SINGLE = ("openenv.errors", "openenv.outcomes")
_VERSION = 4  # of the format; Python 3.4 and later read it

_BOOTSTRAP = """
import marshal, os, sys
from importlib.machinery import ModuleSpec

def take(size):
    parts = []
    while size:
        part = os.read(0, size)
        if not part:
            sys.exit(1)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)

class Sent:
    def __init__(self, modules):
        self.modules = modules
    def find_spec(self, name, path=None, target=None):
        if name in self.modules:
            return ModuleSpec(name, self, is_package=self.modules[name] == "")
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        code = self.modules[module.__name__]
        exec(compile(code, module.__name__, "exec") if isinstance(code, str) else code, module.__dict__)

sent = Sent(marshal.loads(take(int.from_bytes(take(4), "big"))))
sys.meta_path.insert(0, sent)
from openenv.execution.inside.{module} import {function}
sys.meta_path.remove(sent)
{function}(0, 1)
"""


def bootstrap(module: str, function: str) -> str:
    """Return the program of a Python that waits for the modules and calls a function with descriptors 0 and 1.

    Args:
        module: Below `openenv.execution.inside`.
        function: What is called.
    """
    return _BOOTSTRAP.replace("{module}", module).replace("{function}", function)


@functools.cache
def modules(*, compiled: bool) -> bytes:
    """Return the modules as such a Python reads them.

    Args:
        compiled: Whether it is the same Python as this one, so that it need not compile them.
    """
    found: dict[str, str | CodeType] = dict.fromkeys(_PACKAGES, "")
    for package in _FOLDERS:
        spec = find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            for file in sorted(Path(folder).glob("*.py")):
                if not file.stem.startswith("__"):
                    found[f"{package}.{file.stem}"] = _code(f"{package}.{file.stem}", file, compiled)
    for name in _SINGLE:
        file = Path(__file__).parents[1] / f"{name.rpartition('.')[2]}.py"
        found[name] = _code(name, file, compiled)
    data = marshal.dumps(found, _VERSION)
    return struct.pack("!I", len(data)) + data


def _code(name: str, file: Path, compiled: bool) -> str | CodeType:
    source = file.read_text(encoding="utf-8")
    return compile(source, name, "exec", dont_inherit=True) if compiled else source
