"""The last lines that several pods wrote, in the order in which they wrote them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from openenv.providers.kubernetes.api import Api
from openenv.providers.log_tail import as_shown

__all__ = ["merged_log"]


async def merged_log(api: Api, namespace: str, pods: Sequence[str], lines: int) -> str:
    """Return the last lines of all pods together; with several, each line begins with the replica's number.

    A server that was started anew and has not written yet is shown by the last lines of the one before.
    """
    if lines <= 0:
        return ""
    read = await asyncio.gather(*(_lines(api, namespace, pod, lines) for pod in pods))
    if len(pods) == 1:
        return "\n".join(text for _, text in read[0][-lines:])
    told = [
        (at, f"[{pod.rpartition('-')[2]}] {text}")
        for pod, found in zip(pods, read, strict=True)
        for at, text in found
    ]
    return "\n".join(text for _, text in sorted(told, key=lambda line: line[0])[-lines:])


async def _lines(api: Api, namespace: str, pod: str, lines: int) -> list[tuple[str, str]]:
    text = await api.log(namespace, pod, lines) or await api.log(namespace, pod, lines, previous=True)
    parts = (line.partition(" ") for line in text.rstrip("\n").split("\n") if line)
    return [(at, as_shown(rest)) for at, _, rest in parts]
