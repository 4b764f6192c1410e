"""What happens to containers while they run, told as it happens: one thread listens to the engine's events.

A container that ended is removed at once, so nothing could be asked about it afterwards: the events are the one
account of how it ended.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openenv.errors import OpenEnvError
from openenv.providers.docker.engine import closed_at_last, is_timeout, knock, told

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["Exit", "Watch"]

_logger = logging.getLogger(__name__)

RETRY_S = 1.0
# The news that memory ran out comes by another way than that of the end, and may come a moment later.
OOM_S = 0.5
CLOSE_S = 2.0


@dataclass(frozen=True)
class Exit:
    """How a container ended.

    Attributes:
        code: Its exit code; None if nobody saw it.
        out_of_memory: Whether it, or a process of it, was killed for the memory limit.
    """

    code: int | None
    out_of_memory: bool


class Watch:
    """Follows the containers of one start of a provider.

    Args:
        client: The engine.
        label: The label, `key=value`, that these containers have.
        where: The engine's address, for errors.
        lost: Called once, in the watching thread, when a followed container has ended.

    Attributes:
        problem: Why the engine cannot be asked at the moment, if so.
    """

    def __init__(self, client: DockerClient, label: str, where: str, lost: Callable[[str, Exit], None]) -> None:
        self.problem: OpenEnvError | None = None
        self._client = client
        self._label = label
        self._where = where
        self._lost = lost
        self._changed = threading.Condition()
        self._codes: dict[str, int | None] = {}
        self._out_of_memory: set[str] = set()
        self._followed: set[str] = set()
        self._closed = threading.Event()
        self._stream: Any = None
        self._thread = threading.Thread(target=self._run, name="openenv-docker-events", daemon=True)
        self._thread.start()

    def follow(self, container: str) -> None:
        """Tell of a container's end from now on, and at once if it has ended already."""
        with self._changed:
            self._followed.add(container)
            ended = container in self._codes
        if ended:
            self._tell(container)

    def ended(self, container: str, within_s: float = 0) -> Exit | None:
        """Return how a container ended, or None if it runs as far as is known.

        Args:
            container: Its id.
            within_s: Seconds to wait for the news.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: container in self._codes, within_s):
                return None
            code = self._codes[container]
            if code == 137:
                self._changed.wait_for(lambda: container in self._out_of_memory, OOM_S)
            return Exit(code, container in self._out_of_memory)

    def close(self) -> None:
        """End the watch; what comes now is no loss."""
        self._closed.set()
        stream = self._stream
        if stream is not None:
            try:
                stream.close()
            except (OSError, AttributeError):  # it has ended by itself, or is being opened
                pass
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        again = False
        while not self._closed.is_set():
            try:
                with told("tell of events", self._where):
                    self._listen(again)
            except OpenEnvError as error:
                if is_timeout(error):  # nothing has happened for a while
                    continue
                if self.problem is None and not self._closed.is_set():
                    _logger.warning("%s What runs there may be lost.", error)
                self.problem = error
            except Exception as error:  # the SDK's stream, closed in the middle of a message
                _logger.debug("The engine's events ended: %s", error)
            again = True
            self._closed.wait(RETRY_S)

    def _listen(self, again: bool) -> None:
        if again:
            knock(self._where)
            self._look_again()
        # Since the beginning: an event between two connections is not missed, and one seen twice does no harm.
        self._stream = self._client.events(
            since=1,
            decode=True,
            filters={"type": "container", "label": self._label, "event": ["oom", "die"]},
        )
        with closed_at_last(self._stream) as stream:
            if self._closed.is_set():  # in the meantime, when there was nothing to cut yet
                return
            for event in stream:
                self._note(event)

    def _look_again(self) -> None:
        """Find out what was missed while the engine was away."""
        found = self._client.containers.list(filters={"label": self._label})
        self.problem = None
        running = {str(one.id) for one in found}
        for container in self._followed - running:
            self._note({"id": container, "status": "die", "Actor": {}})

    def _note(self, event: dict[str, Any]) -> None:
        container = str(event.get("id") or event.get("Actor", {}).get("ID"))
        if event.get("status", event.get("Action")) == "oom":
            with self._changed:
                self._out_of_memory.add(container)
                self._changed.notify_all()
            return
        code = event.get("Actor", {}).get("Attributes", {}).get("exitCode")
        with self._changed:
            new = container not in self._codes
            if new:
                self._codes[container] = None if code is None else int(code)
                self._changed.notify_all()
            followed = container in self._followed
        if new and followed:
            # Not in this thread, which has to hear whether it was the memory.
            threading.Thread(target=self._tell, args=(container,), name="openenv-docker-lost", daemon=True).start()

    def _tell(self, container: str) -> None:
        exit = self.ended(container)
        if exit is not None and not self._closed.is_set():
            self._lost(container, exit)
