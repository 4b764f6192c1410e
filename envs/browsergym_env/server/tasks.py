"""The tasks: those of MiniWoB that BrowserGym knows, by their names."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random

from browsergym.miniwob import ALL_MINIWOB_TASKS
from browsergym.miniwob.base import AbstractMiniwobTask

from openenv.errors import ConfigurationError, InvalidRequestError

from .launching import LOCAL_HOST

__all__ = ["BASE_URL", "NAMES", "VIEWPORT", "make", "pages"]

BASE_URL = f"http://{LOCAL_HOST}/miniwob/"
NEVER_MS = 2**31 - 1
"""The longest time of a browser's timer: MiniWoB ends an episode by the clock, here steps are counted instead."""

VIEWPORT = {"width": 332, "height": 214}
"""Pixels of a page, as BrowserGym has it for all of these tasks."""

PREFIX = "miniwob."

_CLASSES: dict[str, type[AbstractMiniwobTask]] = {each.subdomain: each for each in ALL_MINIWOB_TASKS}
NAMES = tuple(sorted(_CLASSES))


def make(name: str, seed: int | None) -> AbstractMiniwobTask:
    """Return a task.

    Args:
        name: Its name, such as `click-test`; BrowserGym's `miniwob.` before it may be left out.
        seed: Chooses what it asks for; any integer. None draws one.

    Raises:
        InvalidRequestError: There is no such task.
    """
    kind = _CLASSES.get(name.removeprefix(PREFIX))
    if kind is None:
        raise InvalidRequestError(f"There is no task {name!r}. There are: {', '.join(NAMES)}")
    number = Random().getrandbits(32) if seed is None else seed % 2**32
    return kind(seed=number, base_url=BASE_URL, episode_max_time=NEVER_MS)


@cache
def pages() -> Path:
    """Return the folder of the packaged pages.

    Raises:
        ConfigurationError: The package miniwob is not installed.
    """
    found = find_spec("miniwob")  # not imported, for that would bring another browser's driver
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError("The pages are missing: pip install miniwob")
    return Path(found.submodule_search_locations[0]).resolve() / "html"
