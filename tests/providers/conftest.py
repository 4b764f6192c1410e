"""Toy servers for providers, and a way to see whether a process is there."""

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.servers import wait_until

from openenv.providers import ProcessProvider, ProviderPool

TOY_SERVER = Path(__file__).with_name("toy_server.py")


class Toy(ProcessProvider):
    """Runs the toy server in place of `openenv serve`."""

    def __init__(self, *modes: str, **settings) -> None:
        super().__init__(**settings)
        self._modes = modes

    def command(self, fd: int) -> list[str]:
        return [sys.executable, "-I", "-S", str(TOY_SERVER), str(fd), *self._modes]


@pytest.fixture
def toy() -> Iterator[Callable[..., ProcessProvider]]:
    """A maker of providers of the toy server; they are stopped at the end of the test."""
    made = []

    def make(*modes: str, **settings) -> ProcessProvider:
        made.append(Toy(*modes, **settings))
        return made[-1]

    yield make
    for provider in made:
        provider.stop_grace_s = 0
        provider.stop()


@pytest.fixture
def pool(toy) -> Iterator[Callable[..., ProviderPool]]:
    """A maker of pools of the toy server; they are stopped at the end of the test."""
    pools = []

    def make(*modes, make=None, **options):
        pools.append(ProviderPool(make or (lambda image: toy(*modes)), **{"size": 2, **options}))
        return pools[-1].start()

    yield make
    for made in pools:
        made.stop()


@pytest.fixture
def eventually() -> Callable[..., bool]:
    """A bounded wait: whether a condition comes true within so many seconds."""
    return partial(wait_until, within_s=20.0)


@pytest.fixture
def is_gone() -> Callable[[int], bool]:
    """Whether a process has ended; one that only waits to be collected by its parent counts as ended."""

    def look(process: int) -> bool:
        try:
            stat = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            try:
                os.kill(process, 0)
            except ProcessLookupError:
                return True
            return Path("/proc/self/stat").exists()
        return stat.rpartition(")")[2].split()[0] in "ZX"

    return look
