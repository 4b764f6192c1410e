"""What a base install brings into an empty virtual environment: packages and megabytes, beside release 0.10.0.

Counted is everything in site-packages but pip and setuptools: distributions, this one included, and the sizes of
all files, compiled ones included, in MB of 10^6 bytes. The 476 MB that are known of release 0.10.0 count disk
blocks, and pip as well, so the same release counts less here.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks._figures import Bench, Figure, Limit
from benchmarks._venv import base_install

_BROUGHT_BY_VENV = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence.pth")
KNOWN = (110, 476)
"""Packages and MB of release 0.10.0, for when the peer is not at hand to be counted."""


def run(bench: Bench) -> list[Figure]:
    """Build the wheel, install it, and count."""
    with tempfile.TemporaryDirectory(prefix="openenv-install-") as folder:
        start = time.perf_counter()
        installed = base_install(Path(folder))
        seconds = time.perf_counter() - start
        packages, megabytes = _count(installed)
    python = bench.peer.existing()
    peers = _count(Path(python).parents[1]) if python else KNOWN
    note = "" if python else "peer: as known, not counted in this run"
    return [
        Figure("packages of a base install", packages, peer=peers[0], limit=Limit("most", 45), note=note),
        Figure(
            "size of a base install",
            megabytes,
            "MB",
            digits=1,
            peer=peers[1],
            limit=Limit("most", 80),
            note=note,
        ),
        Figure("time to build the wheel and install it", seconds, "s", digits=1, note="depends on pip's cache"),
    ]


def _count(venv: Path) -> tuple[int, float]:
    (site_packages,) = venv.glob("lib/python*/site-packages")
    new = [entry for entry in site_packages.iterdir() if not _is_the_venvs_own(entry.name)]
    packages = sum(entry.name.endswith(".dist-info") for entry in new)
    files = [file for entry in new for file in (entry.rglob("*") if entry.is_dir() else [entry])]
    size = sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink())
    return packages, size / 1e6


def _is_the_venvs_own(name: str) -> bool:
    return name in _BROUGHT_BY_VENV or (name.startswith(("pip-", "setuptools-")) and name.endswith(".dist-info"))
