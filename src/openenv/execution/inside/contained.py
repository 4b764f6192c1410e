"""A keeper in a container: it finds out there what holds programs besides the container, and says so first."""

from __future__ import annotations

import os
import site
import sys
from dataclasses import replace
from typing import Any

from openenv.containment.holding import Holding
from openenv.containment.places import DEVICES, PROCESS_FILES
from openenv.execution.inside.frames import Reader, pack
from openenv.execution.inside.keeper import keep

__all__ = ["keep_contained"]

APART = ("dev", "mnt", "proc", "run", "sys", "tmp")
"""Folders below the root that are not one thing of the image, but many things of others."""
_NEEDED = 0b11101011  # of the capabilities: CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID
MOST_BYTES = 1 << 16


def keep_contained(read: int, write: int) -> None:
    """Answer what holds programs here, then be their keeper, and end this process."""
    reader = Reader()
    asked: dict[str, Any] | None = None
    while asked is None:
        data = os.read(read, MOST_BYTES)
        if not data:
            os._exit(1)
        for header, _ in reader.feed(data):
            asked = header
    answer = pack(_held(asked))
    while answer:
        answer = answer[os.write(write, answer) :]
    keep(read, write)


def _held(asked: dict[str, Any]) -> dict[str, Any]:
    not_ours = _not_ours()
    shown = [f"/{name}" for name in os.listdir("/") if name not in APART]
    try:
        holding = Holding(
            read=asked["read"],  # what else the image has another user may read or not
            write=asked["write"],
            limits=asked["limits"],
            own_user=asked["own_user"],
            without={*asked["without"], "namespaces", "cgroup", *not_ours},
            require={*asked["require"]} - {"namespaces", "cgroup"},
        )
        held = holding.restrictions("/nonexistent")
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    if held.read is not None:
        held = replace(held, read=(*shown, *asked["read"], *PROCESS_FILES), devices=DEVICES)
    held = replace(held, write=tuple(asked["write"]))
    layers = holding.layers
    return {
        "restrictions": held.to_json(),
        "active": layers.active,
        "absent": {**layers.absent, **not_ours},
        "weaknesses": layers.weaknesses,
        "packages": _packages(),
        "path": os.environ.get("PATH", os.defpath),
    }


def _not_ours() -> dict[str, str]:
    """Return the layer that makes each workspace a user of its own, if the keeper cannot look after others."""
    with open("/proc/self/status") as status:
        effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    return {} if effective & _NEEDED == _NEEDED else {"uid": "the keeper has not the capabilities of root"}


def _packages() -> list[str]:
    """Return all that is installed for this Python, which was started without it."""
    around = os.path.dirname(os.path.dirname(sys.executable))
    folders = site.getsitepackages()
    if os.path.exists(os.path.join(around, "pyvenv.cfg")):  # a virtual environment, which it does not know so far
        folders = [f"{around}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"]
    found: dict[str, str] = {}
    for folder in folders:
        if os.path.isdir(folder):
            for entry in os.scandir(folder):
                found.setdefault(entry.name, entry.path)
    return list(found.values())
