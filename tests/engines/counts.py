"""The table at the end of an engine run: how many contract tests, and how many others, each engine has seen."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from openenv.testing import ProviderContract

# The first one that a test uses, itself or by another fixture, is the engine it counts for. Docker makes the images
# of others, so it comes after them.
ENGINES = {
    "kubernetes": "Kubernetes",
    "swarm": "Swarm",
    "ray_cluster": "Ray",
    "docker_engine": "Docker",
    "bubblewrap": "bubblewrap",
    "postgres": "PostgreSQL",
    "daytona_service": "Daytona*",
    "azure_service": "Azure*",
    "modal_service": "Modal*",
}
# With a star: the service's own library, against a double of the service.
NO_ENGINE = "none"
OUTCOMES = ("passed", "failed", "skipped")
PROPERTY = "engine"


def tell(item: pytest.Item) -> None:
    """Write on a test which engine it counts for and whether it is one of the contract's."""
    fixtures = getattr(item, "fixturenames", ())
    engine = next((name for fixture, name in ENGINES.items() if fixture in fixtures), NO_ENGINE)
    cls = getattr(item, "cls", None)
    of_contract = bool(cls and issubclass(cls, ProviderContract) and hasattr(ProviderContract, item.name))
    item.user_properties.append((PROPERTY, (engine, "contract" if of_contract else "other")))


def table(reports: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """Return the lines of the table.

    Args:
        reports: Outcome and report, as pytest's terminal reporter keeps them.
    """
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for outcome, report in reports:
        for name, value in getattr(report, "user_properties", ()):
            if name == PROPERTY:
                counts[tuple(value)]["failed" if outcome == "error" else outcome] += 1
    if not counts:
        return
    yield f"{'engine':12} {'tests':10}" + "".join(f"{outcome:>9}" for outcome in ("run", *OUTCOMES))
    for engine in [*ENGINES.values(), NO_ENGINE]:
        for kind in ("contract", "other"):
            if found := counts.get((engine, kind)):
                run = found["passed"] + found["failed"]
                numbers = [run, *(found[outcome] for outcome in OUTCOMES)]
                yield f"{engine:12} {kind:10}" + "".join(f"{number:>9}" for number in numbers)
