"""`python -m tests.escape [SUBJECT ...]`: try to get out of each, and print what stopped every attempt.

A cell is the error that an attempt ended with, or ESCAPED. The last column names the layer that such an error comes
from. Where a sandbox without that layer has stopped the attempt all the same, another layer stood behind it.
"""

from __future__ import annotations

import argparse
import sys
import time

from rich.console import Console
from rich.table import Table
from tests.escape.host import Host
from tests.escape.subjects import CONTROL, REFUSED, SUBJECTS, WEAKENED, Subject
from tests.escape.suite import CASES, Result, run

EVERY = {"process": CONTROL, **SUBJECTS, **WEAKENED}

_LAYERS = {
    "ENOENT": "namespaces",
    "ESRCH": "namespaces",
    "ECONNREFUSED": "namespaces",
    "ENETUNREACH": "namespaces",
    "EROFS": "namespaces",
    "ENOSPC": "namespaces (size of /tmp)",
    "EACCES": "landlock",
    "EPERM": "seccomp",
    "ENOSYS": "seccomp",
    "EAFNOSUPPORT": "seccomp",
    "EAGAIN": "cgroup",
    "ENOMEM": "cgroup",
    "SIGKILL": "cgroup",
    "EMFILE": "rlimits",
    "EFBIG": "rlimits",
}
_SPECIAL = {
    "bombs.cpu": "rlimits",
    "processes.capabilities": "namespaces (no capabilities)",
    "processes.privileges": "no new privileges",
    "files.environment": "not inherited",
}


def layer(result: Result) -> str:
    """Return the layer that an attempt against the whole sandbox was stopped by, as its error tells."""
    return _SPECIAL.get(result.case.probe) or _LAYERS.get(result.error, result.error)


def main() -> int:
    """Run; return 1 if one of those that must not let anything out has."""
    parser = argparse.ArgumentParser(prog="python -m tests.escape", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("subjects", nargs="*", help=f"which; all by default: {', '.join(EVERY)}")
    names = parser.parse_args().subjects or list(EVERY)
    known = {**EVERY, **REFUSED}
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
    found = {name: _tried(name, known[name]) for name in names}
    console = Console()
    if not console.is_terminal:
        console.width = 160
    console.print(_table(found))
    for name, results in found.items():
        print(f"{name}: {len(results)} attempts, {sum(result.escaped for result in results.values())} escapes")
    return int(
        any(result.escaped for name in {**SUBJECTS, **REFUSED} if name in found for result in found[name].values())
    )


def _tried(name: str, subject: Subject) -> dict[str, Result]:
    began = time.monotonic()
    with Host() as host:
        cases = [case for case in CASES if not case.uncontrolled] if subject is CONTROL else CASES
        results = {result.case.name: result for result in run(subject.make, host, subject.limits, cases)}
    print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    return results


def _table(found: dict[str, dict[str, Result]]) -> Table:
    whole = found.get("sandbox", {})
    table = Table("attempt", *found, *(["sandbox stopped by"] if whole else []))
    for name in dict.fromkeys(name for results in found.values() for name in results):
        cells = [str(results[name]) if name in results else "-" for results in found.values()]
        table.add_row(name, *cells, *([layer(whole[name])] if name in whole else []))
    return table


if __name__ == "__main__":
    sys.exit(main())
