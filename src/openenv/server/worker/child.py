"""What runs in a worker: one environment, one operation after the other, until the server hangs up."""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter

from openenv.environment.keeping import StateKeeper
from openenv.errors import RequestError, SnapshotUnsupportedError
from openenv.protocol.formats import FORMATS
from openenv.protocol.unions import wire_type
from openenv.server import state_calls
from openenv.server.host import Answer, Host, Operation, Reporter, ResetOp, StateOp, StepOp
from openenv.server.progress import Outlet, Report
from openenv.server.worker.forking import fork_worker
from openenv.server.worker.messages import packed, packed_raw, receive
from openenv.values import reason


def work(connection: socket.socket, factory: Callable[[], Any], action: TypeAdapter[Any]) -> None:
    """Construct the environment, serve it, close it.

    Args:
        connection: The server, on a blocking socket.
        factory: Makes the environment.
        action: Validates actions.
    """
    options = receive(connection)
    if options is None:
        return
    report = _Reporter(options["label"], options["expose_errors"])
    try:
        host = Host(factory(), report, strict=options["strict"], mode=options["mode"])
    except BaseException as error:
        connection.sendall(packed({"error": report.factory(error).to_wire(), "log": report.take()}))
        return
    keeper = StateKeeper(host.adapter.environment)
    connection.sendall(
        packed(
            {
                "type": host.adapter.shape.cls.__name__,
                "allows_step_without_reset": host.adapter.allows_step_without_reset,
                "keeps_state": keeper.keeps,
                "reseeds": keeper.reseeds,
                "metadata": host.adapter.metadata().model_dump(),
            }
        )
    )
    outlet = Outlet(connection.sendall, _encoded)
    host.adapter.listen(outlet)
    with asyncio.Runner() as runner:
        _serve(connection, outlet, host, action, report, runner)
        closing = host.adapter.close() if host.adapter.has_close else None
        if inspect.iscoroutine(closing):
            runner.run(closing)


class _Reporter(Reporter):
    """Keeps what is to be logged for the server, whose log it belongs in."""

    _log = ""

    def log(self, what: str, error: BaseException) -> None:
        self._log += "".join([what, "\n", *traceback.format_exception(error)])

    def take(self) -> str:
        """Return what is to be logged, once."""
        log, self._log = self._log, ""
        return log


def _encoded(progress: Report) -> bytes:
    try:
        return packed({"progress": progress})
    except Exception as error:  # whatever a value's own methods raise
        return packed({"progress": None, "log": f"A report of progress can not be told: {reason(error)}"})


def _serve(
    connection: socket.socket,
    outlet: Outlet,
    host: Host,
    action: TypeAdapter[Any],
    report: _Reporter,
    runner: asyncio.Runner,
) -> None:
    while (message := receive(connection)) is not None and message["verb"] != "close":
        if message["verb"] == "use":
            host.format = FORMATS[message["format"]]
            continue
        if message["verb"] == "fork":
            _fork(connection, outlet, runner)
            continue
        if message["verb"] == "be":  # what was forked is told whose it is now
            report.label = message["label"]
            continue
        outlet.begin(message.get("progress", False))
        try:
            operation = _operation(message, action)
            answer = _answer(host, operation, report, runner)
        except RequestError as refused:
            answer = refused
        if isinstance(answer, RequestError):
            outlet.answer(packed({"error": answer.to_wire(), "log": report.take()}))
        else:
            message = {"kind": answer.kind, "data": answer.data, "done": answer.done}
            if answer.error is not None:
                message["failed"] = answer.error.to_wire()
            if answer.episode_id is not None:
                message["episode_id"] = answer.episode_id
            if answer.tools_changed:
                message["tools_changed"] = True
            outlet.answer(packed_raw(message))


def _fork(connection: socket.socket, outlet: Outlet, runner: asyncio.Runner) -> None:
    """Fork, and say so; the fork says nothing, and waits for what it is to be."""
    outlet.settle()
    try:
        pid = fork_worker(connection, getattr(runner, "_loop", None))  # asking it for its loop would make one
    except RequestError as refused:
        outlet.answer(packed({"error": refused.to_wire()}))
    except OSError as error:
        refusal = SnapshotUnsupportedError(f"The environment's process can not be forked now: {reason(error)}")
        outlet.answer(packed({"error": refusal.to_wire()}))
    else:
        if pid != 0:
            outlet.answer(packed({"forked": pid}))


def _answer(host: Host, operation: Operation, report: Reporter, runner: asyncio.Runner) -> Answer | RequestError:
    value = host.call(operation, operation.bind(host.adapter))
    if not inspect.iscoroutine(value):
        return value  # type: ignore[return-value]
    try:
        returned = runner.run(value)
    except BaseException as error:
        return report(operation.verb, error)
    return host.finish(operation, returned)


def _operation(message: dict[str, Any], action: TypeAdapter[Any]) -> Operation:
    verb = message["verb"]
    if verb == "step":
        return StepOp(action.validate_python(message["action"]), message["timeout_s"], message["options"])
    if verb == "reset":
        reset = ResetOp(message["seed"], message["episode_id"], message["options"])
        reset.notice = message["notice"]
        return reset
    if verb == "state":
        return StateOp(message["known"], message["forked"])
    return state_calls.told(message)


def action_adapter(action: Any) -> TypeAdapter[Any]:
    """Return what validates actions of a class or union."""
    return TypeAdapter(wire_type(action))


def become_worker(output: int) -> None:
    """Make a freshly forked process a worker: its own session, its output to the server, no input."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(null)
    os.close(output)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # else the last lines are lost
