"""What everything that plays environments for a trainer has to do, as tests to inherit.

```python
from openenv.testing import AdapterContract, next_move

class TestMyAdapter(AdapterContract):
    form = "tools"

    @contextmanager
    def adapter(self, url, budget_s):
        with MyAdapter(url, timeout_s=budget_s) as mine:
            yield lambda rows: [mine.play(row, policy=next_move) for row in rows]
```

The environment is `openenv.testing.trouble`, in a process of its own: a row says by its `trouble` what goes wrong
in its episode. An adapter is only asked how it plays a batch of rows, so the contract holds for any form of it.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import httpx
import pytest

from openenv.client.generic import GenericEnvClient
from openenv.outcomes import Cause
from openenv.providers import ProcessProvider

__all__ = ["AdapterContract", "Move", "Play", "next_move"]

Row = Mapping[str, Any]
Play = Callable[[Sequence[Row]], Sequence[float | None]]
"""Plays an episode for each row, and gives their rewards in that order; None where nothing can be learned."""

PLACES = 22
"""Sessions of the server."""
CLEAR_S = 10.0
"""Seconds after which a session that was given back must be gone from the server."""

TAUGHT = ("none", "other_tools", "graded_late", "cut_off", "illegal")
"""Troubles of an episode that has a reward all the same."""
FAULTS = (
    "reset_raises",
    "reset_refused",
    "reset_dies",
    "reset_hangs",
    "step_raises",
    "step_dies",
    "step_hangs",
    "ungraded",
    "wrong_reward",
    "not_a_number",
    "tells_fault",
)
"""Troubles of an episode that must not be learned from."""
UNSAID = ("ungraded",)
"""Those that need no line in the log: nothing has broken."""


class Move(NamedTuple):
    """What the player is to do next.

    Attributes:
        tool: The tool to be called, where the game is played by tools.
        number: The number to be given: its only argument, or the whole action.
    """

    tool: str
    number: int


def next_move(text: str) -> Move | None:
    """Return the move that an observation's text asks for; None at the end of an episode, and for an error."""
    found = re.search(r"next: (\w+) (\d+)", text)
    return Move(found[1], int(found[2])) if found else None


class AdapterContract:
    """Tests of one adapter. Inherit it in a class whose name starts with `Test`, override `adapter`.

    Attributes:
        form: How the adapter plays: by `tools` (tool calls), `text` (an action of one text field), `number` (an
            action of one integer from 0 to 9, which the observation's `number` names) or `answer` (a single action
            of one text field, the digits of the row's `task`, for what acts without an observation).
        budget_s: Seconds after which the adapter is to give a request up; the tests of what hangs wait that long.
        patience_s: Seconds that any batch may take.
    """

    form: ClassVar[str] = "tools"
    budget_s: ClassVar[float] = 3.0
    patience_s: ClassVar[float] = 60.0

    # --- to override -----------------------------------------------------------------------------

    def adapter(self, url: str, budget_s: float) -> AbstractContextManager[Play]:
        """Return a context manager that opens the adapter, gives what plays a batch, and closes the adapter.

        A batch may be played one after another or at once, as a trainer would.

        Args:
            url: Of the server.
            budget_s: Seconds after which a request is given up, and after which nobody waits any longer for a free
                session.
        """
        raise NotImplementedError(f"{type(self).__name__} must override adapter()")

    # --- the contract ----------------------------------------------------------------------------

    def test_the_task_that_only_a_reset_tells_is_played_and_rewarded(self) -> None:
        """Every row has its own reward, so this is the order of the rollouts, too."""
        self._holds(["none"] * 6)

    @pytest.mark.parametrize("trouble", TAUGHT[1:])
    def test_what_is_no_fault_is_rewarded(self, trouble: str) -> None:
        """Other tools, a grade that comes at the end only, a limit of the task, a rule that the agent broke."""
        if trouble == "other_tools" and self.form != "tools":
            pytest.skip("there are no tools in this form")
        self._holds(["none", trouble, "none"])

    @pytest.mark.parametrize("trouble", FAULTS)
    def test_a_fault_has_no_reward_and_touches_no_other_row(self, trouble: str) -> None:
        """No fault is a 0, none ends the batch, the log says what it was, and the next batch is as good as new."""
        with _listening() as heard:
            self._holds(["none", trouble, "none"])
        told = any(f"({cause})" in line for line in heard for cause in Cause if cause is not Cause.NONE)
        assert told or trouble in UNSAID, f"the log does not say what broke: {heard}"

    def test_everything_at_once(self) -> None:
        """One batch with all troubles in it."""
        self._holds([trouble for pair in zip(FAULTS, ["none"] * len(FAULTS), strict=True) for trouble in pair])

    def test_environments_that_fail_to_start(self) -> None:
        """Every other construction fails: those rows have no reward, or were tried again."""
        with self._playing() as play, self._server.failing_constructions():
            rows = _rows(["none"] * 6)
            self._check(play(rows), rows, may_fail=True)

    def test_more_rows_than_the_server_has_sessions(self) -> None:
        """None goes missing: each waits, or is a fault."""
        with self._playing() as play:
            rows = _rows(["none"] * (PLACES + 2))
            self._check(play(rows), rows, may_fail=True)

    def test_sessions_are_used_again(self) -> None:
        """Batch after batch, the server never holds more sessions than a batch has rows, and one to look at."""
        with self._playing() as play:
            for _ in range(4):
                rows = _rows(["none", "step_raises", "none"])
                self._check(play(rows), rows)
                self._server.wait_for_sessions(len(rows) + 1)

    def test_a_server_that_restarts_during_a_batch(self) -> None:
        """What was under way is a fault; the next batch is played on the new server."""
        with self._playing() as play:
            with self._server.restart_when_called():
                rows = _rows(["none", "step_calls", "none", "none"])
                self._check(play(rows), rows, may_fail=True)
            rows = _rows(["none"] * 4)
            self._check(play(rows), rows)

    # --- how ---------------------------------------------------------------------------------------

    _server: ClassVar[_TroubleServer]

    @classmethod
    def setup_class(cls) -> None:
        """Start the server, once for all tests."""
        cls._server = _TroubleServer(cls.form)

    @classmethod
    def teardown_class(cls) -> None:
        """End it."""
        cls._server.close()

    @contextmanager
    def _playing(self) -> Iterator[Play]:
        with self.adapter(self._server.url, self.budget_s) as play:
            yield play
        self._server.wait_for_sessions(0)

    def _holds(self, troubles: Sequence[str]) -> None:
        with self._playing() as play:
            for batch in (troubles, ["none"] * 3):
                rows = _rows(batch)
                began = time.monotonic()
                rewards = play(rows)
                assert time.monotonic() - began < self.patience_s, "the batch took too long"
                self._check(rewards, rows)

    def _check(self, rewards: Sequence[float | None], rows: Sequence[Row], may_fail: bool = False) -> None:
        assert len(rewards) == len(rows), f"{len(rows)} rows were given, and {len(rewards)} rewards came back"
        for row, reward in zip(rows, rewards, strict=True):
            wanted = _wanted(row)
            allowed = (wanted, None) if may_fail else (wanted,)
            assert reward in allowed, f"the reward of {row} is {reward!r}, not {wanted!r}"


def _rows(troubles: Sequence[str]) -> list[Row]:
    return [{"task": number, "trouble": trouble} for number, trouble in enumerate(troubles, start=1)]


def _wanted(row: Row) -> float | None:
    if row["trouble"] == "illegal":
        return -1.0
    return float(row["task"]) if row["trouble"] in TAUGHT else None


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Give a list to which the warnings of the log are added."""
    heard: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("openenv")
    log.addHandler(handler)
    try:
        yield heard
    finally:
        log.removeHandler(handler)


class _TroubleServer:
    """The environment that misbehaves, in a process of its own."""

    def __init__(self, form: str) -> None:
        from openenv.testing.trouble import FAILING, FOLDER

        self._temporary = tempfile.TemporaryDirectory(prefix="openenv-trouble-")
        self._folder = Path(self._temporary.name)
        self._failing = self._folder / FAILING
        self._provider = ProcessProvider(
            f"openenv.testing.trouble:{form}",
            env_vars={FOLDER: str(self._folder)},
            max_concurrent_envs=PLACES,
        )
        # Chosen beforehand: a port that the system has chosen cannot be taken again at once.
        with socket.socket() as free:
            free.bind(self._provider.address)
            self._provider.address = free.getsockname()
        self.url = self._provider.start()
        self._warm()

    def close(self) -> None:
        self._provider.stop()
        self._temporary.cleanup()

    @contextmanager
    def failing_constructions(self) -> Iterator[None]:
        self._failing.touch()
        try:
            yield
        finally:
            self._failing.unlink()

    @contextmanager
    def restart_when_called(self) -> Iterator[None]:
        """Kill the server as soon as an environment calls, and start it again at its address."""
        called, over = self._folder / "called", threading.Event()

        def watch() -> None:
            while not (called.exists() or over.is_set()):
                time.sleep(0.01)
            if called.exists():
                self._restart()

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            called.unlink()  # which fails if no environment has called, so that nothing was tested

    def wait_for_sessions(self, at_most: int) -> None:
        """Wait until the server has as few sessions as that."""
        end = time.monotonic() + CLEAR_S
        while (active := self._active()) > at_most:
            assert time.monotonic() < end, f"the server still has {active} sessions, not {at_most}"
            time.sleep(0.02)

    def _active(self) -> int:
        with httpx.Client(trust_env=False, verify=False) as client:  # noqa: S501 - loopback, without TLS
            return int(client.get(f"{self.url}/capacity").json()["active_sessions"])

    def _restart(self) -> None:
        assert self._provider.pid is not None
        os.killpg(self._provider.pid, signal.SIGKILL)
        self._provider.stop()
        self._provider.start()
        self._warm()

    def _warm(self) -> None:
        """Have the first session over with, which takes longer than any other."""
        self._provider.wait_for_ready()
        with GenericEnvClient(self.url) as client:
            client.reset()
