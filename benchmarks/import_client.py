"""What `import openenv.client` costs in a fresh process: seconds, modules, and none of the web libraries.

The package imports its names when they are used, so the first use of `EnvClient` is measured as well, and held to
the same limits.
"""

from __future__ import annotations

import json
import sys

from benchmarks._commands import output, seconds, spread
from benchmarks._figures import Bench, Figure, Limit
from benchmarks._processes import environ

RUNS = 9
WEB = ("fastapi", "starlette", "uvicorn", "gradio", "mcp")
_LIST = "; import json, sys; print(json.dumps(sorted(sys.modules)))"


def run(bench: Bench) -> list[Figure]:
    """Measure the import, the use, and an empty process beside them."""
    ours = environ(":".join(path for path in sys.path if path))
    bare, *around = spread(seconds([sys.executable, "-c", "pass"], ours, RUNS))
    peers = _peer(bench)
    figures = []
    for statement, peer in (("import openenv.client", None), ("from openenv.client import EnvClient", peers)):
        median, low, high = spread(seconds([sys.executable, "-c", statement], ours, RUNS))
        modules = json.loads(output([sys.executable, "-c", statement + _LIST], ours))
        web = [name for name in WEB if name in modules]
        figures += [
            Figure(
                statement,
                median,
                "s",
                digits=3,
                peer=peer[0] if peer else None,
                limit=Limit("most", 0.3),
                low=low,
                high=high,
                note=f"{low:.3f} to {high:.3f}",
            ),
            Figure(
                f"{statement}: modules",
                len(modules),
                peer=peer[1] if peer else None,
                limit=Limit("most", 400),
            ),
            Figure(
                f"{statement}: web",
                len(web),
                limit=Limit("most", 0),
                note=", ".join(web) or "no " + ", ".join(WEB),
            ),
        ]
    note = f"{around[0]:.3f} to {around[1]:.3f}; part of the figures above"
    return [*figures, Figure("python -c pass", bare, "s", digits=3, note=note)]


def _peer(bench: Bench) -> tuple[float, int] | None:
    """Return seconds and modules of the same for release 0.10.0; one run, since it takes seconds."""
    if (python := bench.peer.python()) is None:
        return None
    statement, alone = "from openenv.core.env_client import EnvClient", environ(python_path="")
    modules = len(json.loads(output([python, "-c", statement + _LIST], alone)))
    (taken,) = seconds([python, "-c", statement], alone, 1, warm_up=False)
    return taken, modules
