"""Where one environment runs; decided once, when its session is made.

| the environment | runs |
|---|---|
| its methods are coroutine functions | on the event loop |
| sync, named by `NON_BLOCKING` | on the event loop, directly, unless `takes_long` says that this call blocks |
| sync | on a pooled thread; on a thread of the session's own if the class asks for one |

A constructor always runs on a thread. Operations are run one at a time; `done` is called once on the loop, at once
for the direct way. `server.worker` has the runner that keeps an environment in a process of its own.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from openenv.environment.base import VERBS
from openenv.environment.keeping import StateKeeper
from openenv.errors import RequestCancelledError, RequestError
from openenv.models import EnvironmentMetadata
from openenv.protocol.codes import ServerMode
from openenv.protocol.formats import Format
from openenv.server import state_calls
from openenv.server.host import Answer, Host, Operation, Reporter
from openenv.server.progress import Relay, Tell
from openenv.server.threads import Done, Thread, ThreadPool

Factory = Callable[[], Any]
OnAnswer = Callable[[Answer | RequestError], None]
OnStarted = Callable[[RequestError | None], None]
OnClosed = Callable[[], None]
StepNow = Callable[[Any], Answer | RequestError | None]
"""Takes a step on the spot; None if the environment says that this one takes long: nothing was done."""


class Runner(Protocol):
    """Keeps one environment and runs operations on it, one at a time."""

    environment_type: str
    """Class name of the environment, once it is there."""

    @property
    def kind(self) -> str:
        """Where the environment runs: `inline`, `thread` or `process`; empty until that is known."""

    allows_step_without_reset: bool

    copies: str
    """How its state can be had, once it is there: `state` (it tells it), `fork` (its process can be forked), or
    not at all: empty."""

    reseeds: bool
    """Whether it takes a new seed in the middle of an episode, once it is there."""

    def start(self, done: OnStarted) -> None:
        """Construct the environment."""

    def run(self, operation: Operation, done: OnAnswer, progress: Tell | None = None) -> None:
        """Run an operation; what the environment reports before it is done goes to `progress`."""

    def step_now(self) -> StepNow | None:
        """Return what takes a step on the spot, for an environment that does not block; else None."""

    def fork(self, label: str, done: Callable[[Any, RequestError | None], None]) -> None:
        """Fork the environment as it is, where `copies` says so.

        Args:
            label: What log lines call the session of the fork.
            done: Called with the runner of the fork, or with why there is none.
        """

    def use(self, format_: Format) -> None:
        """Encode answers in this format from now on."""

    def stop(self) -> bool:
        """Stop what is running. Return False if it can not be stopped, only left alone."""

    def metadata(self) -> EnvironmentMetadata:
        """Return what the environment says about itself."""

    def close(self, done: OnClosed) -> None:
        """Close the environment and free everything it uses."""


class LocalRunner:
    """Runs an environment in this process.

    Args:
        factory: A class or function that makes the environment.
        pool: Threads for what blocks.
        strict: Refuse arguments the environment does not declare.
        expose_errors: Tell the other side the class and message of the environment's own exceptions.
        mode: Whom the environment serves.
        keep: Do not close the environment at the end, since it is somebody else's.
        label: What log lines call the session.
    """

    environment_type = ""
    allows_step_without_reset = False
    copies = ""
    reseeds = False

    def __init__(
        self,
        factory: Factory,
        pool: ThreadPool,
        *,
        strict: bool = False,
        expose_errors: bool = True,
        mode: str = ServerMode.SIMULATION,
        keep: bool = False,
        label: str = "",
    ) -> None:
        self._factory = factory
        self._pool = pool
        self._keep = keep
        self._report = Reporter(label, expose_errors)
        self._mode = mode
        self._strict = strict
        self._own: Thread | None = None
        self._task: asyncio.Task[Any] | None = None
        self._inline: frozenset[str] = frozenset()
        self._running = False
        self._close_after: list[OnClosed] = []
        self._stopped = False
        self._relay: Relay | None = None
        self.host: Host | None = None

    @property
    def kind(self) -> str:
        """See `Runner.kind`."""
        if self.host is None:
            return ""
        return "inline" if "step" in self._inline else "thread"

    def start(self, done: OnStarted) -> None:
        """See `Runner.start`."""

        def made(thread: Thread, host: Any, error: BaseException | None) -> None:
            if error is None and self._settle(host):
                self._own = thread
            else:
                self._pool.release(thread)
            done(None if error is None else self._report.factory(error))

        self._pool.start(lambda: Host(self._factory(), self._report, strict=self._strict, mode=self._mode), made)

    def run(self, operation: Operation, done: OnAnswer, progress: Tell | None = None) -> None:
        """See `Runner.run`."""
        host, relay = self.host, self._relay
        assert host is not None, "operations wait until the environment is there"
        assert relay is not None
        try:
            call = operation.bind(host.adapter)
        except RequestError as error:
            done(error)
            return
        self._running = True
        relay.begin(progress)
        inline = operation.verb in self._inline
        if inline and host.adapter.shape.tells_long:
            try:
                inline = not host.adapter.takes_long(operation.verb, call)
            except BaseException as error:
                self._over(done, self._report(operation.verb, error))
                return
        if inline:
            self._called(host, operation, done, host.call(operation, call), None)
        else:
            self._in_thread(partial(host.call, operation, call), partial(self._called, host, operation, done))

    def step_now(self) -> StepNow | None:
        """See `Runner.step_now`."""
        host = self.host
        if host is None or "step" not in self._inline or "step" in host.adapter.shape.coroutines:
            return None
        return _unless_long(host) if host.adapter.shape.tells_long else host.step_now

    def fork(self, label: str, done: Callable[[Any, RequestError | None], None]) -> None:
        """See `Runner.fork`: what shares a process can not be."""
        raise AssertionError("nobody asks for it, for `copies` never says so")

    def use(self, format_: Format) -> None:
        """See `Runner.use`."""
        if self.host is not None:
            self.host.format = format_

    def stop(self) -> bool:
        """See `Runner.stop`. A coroutine is cancelled; a thread can only be left alone."""
        if self._task is None:
            return False
        self._stopped = True
        self._task.cancel()
        return True

    def metadata(self) -> EnvironmentMetadata:
        """See `Runner.metadata`."""
        assert self.host is not None
        return self.host.adapter.metadata()

    def close(self, done: OnClosed) -> None:
        """See `Runner.close`."""
        if self._running:  # what runs can not be stopped; it closes when that is over
            self._close_after.append(done)
            return
        host, self.host = self.host, None
        if host is not None:
            host.adapter.listen(None)

        def closed(_value: Any, error: BaseException | None) -> None:
            if error is not None:
                self._report("close", error)
            self._give_back()
            done()

        if host is None or self._keep or not host.adapter.has_close:
            closed(None, None)
        elif "close" in self._inline:
            self._direct(host.adapter.close, closed)
        else:
            self._in_thread(host.adapter.close, lambda value, error: self._awaited(value, error, closed))

    # --- the ways ----------------------------------------------------------------------------------------

    def _called(
        self, host: Host, operation: Operation, done: OnAnswer, value: Any, _error: BaseException | None
    ) -> None:
        """Pass an answer on; if the method returned a coroutine, run that first."""
        if inspect.iscoroutine(value):
            self._await(value, partial(self._awaited_answer, host, operation, done))
        else:
            self._over(done, value)

    def _awaited_answer(
        self, host: Host, operation: Operation, done: OnAnswer, value: Any, error: BaseException | None
    ) -> None:
        if isinstance(error, asyncio.CancelledError) and self._stopped:  # as asked: whoever waited has been told
            self._over(done, RequestCancelledError(f"The {operation.verb} was stopped"))
        else:
            answer = host.finish(operation, value) if error is None else self._report(operation.verb, error)
            self._over(done, answer)

    def _over(self, done: OnAnswer, answer: Answer | RequestError) -> None:
        self._running = False
        assert self._relay is not None
        self._relay.end()
        done(answer)
        for closed in self._close_after:
            self.close(closed)
        self._close_after.clear()

    def _direct(self, function: Callable[[], Any], done: Done) -> None:
        try:
            value = function()
        except BaseException as error:
            done(None, error)
        else:
            self._awaited(value, None, done)

    def _awaited(self, value: Any, error: BaseException | None, done: Done) -> None:
        if error is None and inspect.iscoroutine(value):
            self._await(value, done)
        else:
            done(value, error)

    def _await(self, coroutine: Coroutine[Any, Any, Any], done: Done) -> None:
        task = self._task = _start(_guarded(coroutine))
        if task.done():
            self._finished(coroutine, done, task)
        else:
            task.add_done_callback(partial(self._finished, coroutine, done))

    def _finished(self, coroutine: Coroutine[Any, Any, Any], done: Done, task: asyncio.Task[Any]) -> None:
        self._task = None
        _close(coroutine)
        if task.cancelled():
            done(None, asyncio.CancelledError())
        else:
            error = task.exception()
            done(None if error else task.result(), error)

    def _in_thread(self, function: Callable[[], Any], done: Done) -> None:
        (self._own or self._pool).run(function, done)

    def _settle(self, host: Host) -> bool:
        """Decide how each method is called from now on; return whether that is on the thread it was made on."""
        self.host = host
        self._relay = Relay(asyncio.get_running_loop())
        host.adapter.listen(self._relay)
        shape = host.adapter.shape
        self.environment_type = shape.cls.__name__
        self.allows_step_without_reset = host.adapter.allows_step_without_reset
        keeper = StateKeeper(host.adapter.environment)
        self.copies, self.reseeds = "state" if keeper.keeps else "", keeper.reseeds
        affine = getattr(shape.cls, "REQUIRES_SINGLE_THREAD_EXECUTOR", False)
        never_blocks = shape.non_blocking == VERBS and not shape.tells_long
        direct = shape.non_blocking if not affine or never_blocks else frozenset()
        # Reading the state of an async environment must not race with it from another thread.
        reads = direct == VERBS or {"reset", "step"} & shape.coroutines
        self._inline = direct | shape.coroutines | ({"state", *state_calls.VERBS} if reads else set())
        return bool(affine) and not self._inline >= VERBS

    def _give_back(self) -> None:
        if self._own is not None:
            self._pool.release(self._own)
            self._own = None


def _unless_long(host: Host) -> StepNow:
    """Return what takes the steps on the spot that do not take long."""
    takes_long, step = host.adapter.environment.takes_long, host.step_now

    def step_unless_long(action: Any) -> Answer | RequestError | None:
        try:
            if takes_long("step", {"action": action}):
                return None
        except BaseException:  # it is asked once more on the long way, where what it raises is reported
            return None
        return step(action)

    return step_unless_long


def _close(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Close a coroutine, which has not begun if its task was cancelled at once, and those that it was given.

    One that never begins would complain of that.
    """
    if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
        for value in inspect.getcoroutinelocals(coroutine).values():
            if inspect.iscoroutine(value):
                _close(value)
    coroutine.close()


async def _guarded(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Keep an environment's `sys.exit()` from ending the event loop."""
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"the environment raised {error!r}") from error


def _start(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Start a task; from Python 3.12 on it runs at once, up to its first real wait."""
    if sys.version_info >= (3, 12):
        return asyncio.Task(coroutine, loop=asyncio.get_running_loop(), eager_start=True)
    return asyncio.create_task(coroutine)
