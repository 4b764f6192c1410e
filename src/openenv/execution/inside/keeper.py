"""The keeper of one workspace: it starts what runs there, watches over it, and ends it.

It stands between the server and the agent's programs and is not held itself, so it runs nobody's code and believes
nothing that comes from below: time, memory, output and exit status are what it sees itself. When the server is
gone, by whatever way, everything here goes too. It is one thread around one `select`.
"""

from __future__ import annotations

import os
import select
import selectors
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from openenv.execution.inside import folder, tree
from openenv.execution.inside.child import Place, run_program, start
from openenv.execution.inside.children import Call, Child, forget_peak, interrupt, peak, plain_lines, type_into
from openenv.execution.inside.files import ACTIONS
from openenv.execution.inside.frames import FrameError, Reader, pack
from openenv.execution.inside.home import Home, make_mode
from openenv.execution.inside.interpreter import Interpreter
from openenv.execution.inside.shell import COMMAND, VARIABLES, WITHOUT_TERMINAL

__all__ = ["Keeper", "keep"]

READ_BYTES = 1 << 18
GRACE_S = 0.1
"""Seconds that an interrupted interpreter or shell has to come back by itself."""
LOOK_S = 0.25
"""How often the disk is looked at while something runs."""
END_S = 5.0
"""How long the end of a process that was killed is waited for."""
PYTHON = "python"


class Keeper:
    """Serves one workspace until its connection ends.

    Args:
        read: Descriptor that requests come from.
        write: Descriptor that answers go to.
    """

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._reader = Reader()
        self._selector = selectors.DefaultSelector()
        self._children: dict[str, Child] = {}
        self._lost: set[str] = set()  # those that were ended while nobody waited, until somebody is told
        self._files: folder.Files = {}
        self._ended = False
        self._next_look = 0.0
        self._newest = 0
        self._configuration: dict[str, Any] = {}
        self._home: Home
        self._place: Place

    def serve(self) -> None:
        """Serve until the connection ends, then end and remove everything."""
        tree.adopt()
        tree.stand_apart()
        self._selector.register(self._read, selectors.EVENT_READ, self._requested)
        try:
            while not self._ended:
                for key, _ in self._selector.select(self._pause()):
                    # An earlier one of this turn may have closed it, and the number may be another's by now.
                    if self._selector.get_map().get(key.fd) is key:
                        key.data()
                self._check_deadlines()
        finally:
            tree.end_all()
            if self._configuration:
                self._home.remove()
                self._home.remove_groups()

    # --- requests --------------------------------------------------------------------------------

    def _requested(self) -> None:
        try:
            data = os.read(self._read, READ_BYTES)
            frames = list(self._reader.feed(data))
        except (ConnectionError, FrameError):
            data, frames = b"", []
        if not data:
            self._ended = True
            return
        for header, body in frames:
            self._obey(header, body)

    def _obey(self, header: dict[str, Any], body: bytes) -> None:
        action = getattr(self, f"_do_{header['do']}")
        try:
            action(header, body)
        except Exception as error:
            self._send(
                {"id": header.get("id", 0), "event": "failed", "message": f"{type(error).__name__}: {error}"}
            )

    def _do_begin(self, header: dict[str, Any], _: bytes) -> None:
        """Make the folder; what comes with it says how processes run here."""
        self._home = Home(header)
        self._configuration = header
        self._place = self._home.place
        self._send({"id": header["id"], "event": "done", "folder": self._place.folder})

    def _do_end(self, _: dict[str, Any], __: bytes) -> None:
        self._ended = True

    def _do_stop(self, header: dict[str, Any], _: bytes) -> None:
        """End everything that runs; the files stay."""
        self._end_programs("the workspace was stopped")
        self._send({"id": header["id"], "event": "done"})

    def _do_reset(self, header: dict[str, Any], _: bytes) -> None:
        """End everything and begin anew."""
        self._end_programs("the workspace was reset")
        self._home.remove()
        self._files = {}
        self._do_begin({**self._configuration, "id": header["id"]}, b"")

    def _do_python(self, header: dict[str, Any], body: bytes) -> None:
        child = self._living(PYTHON)
        if child is None:
            child = self._begin(PYTHON, self._interpret, True, asked=True)
        self._ask(child, header, pack({"functions": header["functions"]}, body))

    def _do_answer(self, header: dict[str, Any], body: bytes) -> None:
        """Hand an interpreter what a function of the host has returned."""
        child = self._children.get(PYTHON)
        if child is not None and child.call is not None and child.call.number == header["call"]:
            self._tell(child, pack({key: header[key] for key in ("number", "result", "error") if key in header}))

    def _do_shell(self, header: dict[str, Any], body: bytes) -> None:
        name = f"shell {header['shell']}"
        child = self._living(name)
        if child is None:
            run = run_program(COMMAND, VARIABLES)
            try:
                child = self._begin(name, run, True, asked=True, terminal=tuple(header["size"]))
            except PermissionError:
                child = self._begin(name, _plain_shell, True, asked=True)
        self._ask(child, header, body + b"\0")

    def _do_type(self, header: dict[str, Any], body: bytes) -> None:
        child = self._children.get(f"shell {header['shell']}")
        told = {"id": header["id"], "event": "done"}
        if child is None or child.started.terminal is None:
            told["refused"] = f"there is no shell {header['shell']!r}, or it has no terminal"
        elif (taken := type_into(child.started.terminal, body)) < len(body):
            told["refused"] = f"the terminal took {taken} of {len(body)} bytes, for its program does not read"
        self._send(told)

    def _do_run(self, header: dict[str, Any], body: bytes) -> None:
        run = run_program(header["command"], header["env"])
        place = self._place
        if header["folder"]:
            place = Place(os.path.join(place.folder, header["folder"]), place.restrictions, place.groups, place.env)
        child = self._begin(f"run {header['id']}", run, False, stdin=body, place=place)
        self._busy(child, header)

    def _do_file(self, header: dict[str, Any], body: bytes) -> None:
        child = self._begin(
            f"file {header['id']}", partial(_act, header["action"], header["path"]), False, stdin=body
        )
        self._busy(child, header)

    def _do_kill(self, header: dict[str, Any], _: bytes) -> None:
        """End what a call has under way; nobody waits for its answer."""
        for child in list(self._children.values()):
            if child.call is not None and child.call.number == header["call"]:
                self._kill(child)
                # What is asked next finds it gone.
                if select.select([child.started.ended], [], [], END_S)[0]:
                    self._has_ended(child)

    # --- children --------------------------------------------------------------------------------

    def _end_programs(self, why: str) -> None:
        tree.end_all()
        for child in list(self._children.values()):
            if child.call is not None:
                self._send({"id": child.call.number, "event": "failed", "message": why})
            self._drop(child)

    def _begin(
        self, name: str, run: Callable[[], None], stays: bool, *, place: Place | None = None, **how: Any
    ) -> Child:
        make_mode(self._place.folder, 0o700)  # whatever its programs have made of it
        begin = partial(start, place or self._place, run, **how)
        try:
            started = begin()
        except BlockingIOError:  # there are as many processes as may be
            self._make_room()
            started = begin()
        child = self._children[name] = Child(name, started, stays)
        listen = partial(self._selector.register, events=selectors.EVENT_READ)
        for number, descriptor in enumerate(child.started.outputs):
            listen(descriptor, data=partial(self._wrote, child, number))
        if child.started.answers is not None:
            listen(child.started.answers, data=partial(self._answered, child))
        listen(child.started.ended, data=partial(self._has_ended, child))
        if child.started.terminal is not None:
            plain_lines(child.started.terminal)
        return child

    def _living(self, name: str) -> Child | None:
        """Return a process that stays, if it is still there."""
        child = self._children.get(name)
        if child is not None and child.call is None and select.select([child.started.ended], [], [], 0)[0]:
            self._has_ended(child)
            return None
        return child

    def _make_room(self) -> None:
        """End all that nobody waits for; who comes back to one of these interpreters and shells is told."""
        for child in [child for child in self._children.values() if child.call is None]:
            self._kill(child)
            if select.select([child.started.ended], [], [], END_S)[0]:
                self._has_ended(child)

    def _interpret(self) -> None:
        Interpreter(3, 4, self._home.packages).serve()

    def _ask(self, child: Child, header: dict[str, Any], request: bytes) -> None:
        if child.call is not None:
            raise RuntimeError(f"{child.name} is busy")
        self._drain(child)  # what its earlier programs wrote since is nobody's
        self._busy(child, header)
        forget_peak(child.pid)
        self._tell(child, request)

    def _busy(self, child: Child, header: dict[str, Any]) -> None:
        child.call = Call(header["id"], header["timeout_s"], header["output_bytes"], header.get("streams", False))
        child.interrupted = False
        self._next_look = child.call.started + LOOK_S

    def _tell(self, child: Child, request: bytes) -> None:
        child.unsent += request
        self._write_on(child)

    def _write_on(self, child: Child) -> None:
        """Write what a process has not read yet; it need not ever read."""
        line = child.started.requests
        assert line is not None
        try:
            while child.unsent:
                del child.unsent[: os.write(line, child.unsent)]
        except BlockingIOError:
            if line not in self._selector.get_map():
                self._selector.register(line, selectors.EVENT_WRITE, partial(self._write_on, child))
            return
        except OSError:  # it has ended, which is seen in a moment
            child.unsent.clear()
        if line in self._selector.get_map():
            self._selector.unregister(line)

    def _wrote(self, child: Child, number: int) -> bool:
        """Take what a process has written; return whether there was anything."""
        descriptor = child.started.outputs[number]
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:  # a terminal that nobody has open any more
            data = b""
        if not data:
            if descriptor in self._selector.get_map():
                self._selector.unregister(descriptor)
            return False
        call = child.call
        if call is not None:
            shown = call.outputs[number].take(data)
            if shown and call.streams:
                self._send({"id": call.number, "event": "output", "stream": number + 1}, shown)
        return True

    def _drain(self, child: Child) -> None:
        for number in range(len(child.started.outputs)):
            for _ in range(64):  # what a background program goes on writing is not waited for
                if not self._wrote(child, number):
                    break

    def _answered(self, child: Child) -> None:
        assert child.started.answers is not None
        try:
            data = os.read(child.started.answers, READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(child.started.answers)
            if not child.interrupted:
                self._kill(child)  # it has closed the line, and would never answer again
            return
        if child.name == PYTHON:
            self._python_answered(child, data)
        else:
            child.said += data
            if b"\0" in child.said:
                status, _, child.said = child.said.partition(b"\0")
                self._done(child, exit=int(status) if status.isdigit() else 1)
            elif len(child.said) > 64:
                self._kill(child)

    def _python_answered(self, child: Child, data: bytes) -> None:
        try:
            for header, _ in child.reader.feed(data):
                if child.call is None:
                    continue
                if "call" in header:
                    asked = {key: header.get(key) for key in ("number", "args", "kwargs")}
                    self._send({"id": child.call.number, "event": "call", "name": str(header["call"]), **asked})
                else:
                    self._done(child, **_claims(header))
        except FrameError:
            self._kill(child)

    def _has_ended(self, child: Child) -> None:
        _, status, usage = os.wait4(child.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        del self._children[child.name]
        self._end_left_behind()
        self._drain(child)
        if child.call is None and child.stays:
            self._lost.add(child.name)
        if child.call is not None:
            told: dict[str, Any] = {"exit": code} if code >= 0 else {"exit": None, "signal": -code}
            self._done(child, **told, peak=usage.ru_maxrss * 1024, lost=child.stays)
        self._drop(child)

    def _end_left_behind(self) -> None:
        """Kill the processes that have come to us and belong to the session of nobody who still runs."""
        leaders = {child.pid for child in self._children.values()}
        ours = os.getpid()
        while True:
            found = tree.processes()
            # One that was started just now is not the leader of its session yet.
            orphans = [one for one in found if one.parent == ours and not {one.pid, one.session} & leaders]
            if not orphans:
                return
            for orphan in orphans:
                for process in (orphan, *tree.below(orphan.pid, found)):
                    tree.kill(process.pid)
            for orphan in orphans:
                with suppress(ChildProcessError):  # not ours after all, where that cannot be told
                    os.waitpid(orphan.pid, 0)

    def _kill(self, child: Child) -> None:
        """Kill a process and all below it; its end is seen in a moment, and nothing that it still says counts."""
        answers = child.started.answers
        if answers is not None and answers in self._selector.get_map():
            # Else an answer that crosses with the kill would end the call, and the next one would meet the dying.
            self._selector.unregister(answers)
        found = tree.processes()
        tree.kill(child.pid)
        for process in tree.below(child.pid, found):
            tree.kill(process.pid)
        for process in found:
            if process.session == child.pid:
                tree.kill(process.pid)

    def _drop(self, child: Child) -> None:
        self._children.pop(child.name, None)
        child.call = None
        started = child.started
        for descriptor in (*started.outputs, started.answers, started.requests, started.ended):
            if descriptor is not None:
                if descriptor in self._selector.get_map():
                    self._selector.unregister(descriptor)
                os.close(descriptor)

    def _reap(self) -> None:
        """Collect what has come to us and has ended since."""
        leaders = {child.pid for child in self._children.values()}
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None or ended.si_pid in leaders:
                return
            os.waitpid(ended.si_pid, 0)

    # --- answers ---------------------------------------------------------------------------------

    def _done(self, child: Child, **told: Any) -> None:
        call = child.call
        if call is None:
            return
        self._drain(child)
        child.call = None
        self._reap()
        seconds = time.monotonic() - call.started
        usage = folder.files(self._place.folder)
        before, self._files = self._files, usage.files
        out, err = (output.kept() for output in call.outputs)
        told.setdefault("peak", peak(child.pid))
        answer = {
            "id": call.number,
            "event": "done",
            "out": len(out),
            "cut": [output.cut for output in call.outputs],
            "seconds": seconds,
            "files": folder.changed(before, usage.files),
            "timed_out": call.timed_out,
            "killed_for": call.killed_for,
            "lost": child.name in self._lost,
            **told,
        }
        self._lost.discard(child.name)
        self._send(answer, out + err)

    def _send(self, header: dict[str, Any], body: bytes = b"") -> None:
        data = memoryview(pack(header, body))
        try:
            while data:
                data = data[os.write(self._write, data) :]
        except OSError:  # the server is gone; the reading side sees it
            self._ended = True

    # --- time and space --------------------------------------------------------------------------

    def _pause(self) -> float | None:
        calls = [child.call for child in self._children.values() if child.call is not None]
        if not calls:
            return None
        ends = [call.deadline for call in calls if call.deadline is not None]
        return max(0.0, min([self._next_look, *ends]) - time.monotonic())

    def _check_deadlines(self) -> None:
        now = time.monotonic()
        for child in list(self._children.values()):
            call = child.call
            if call is not None and call.deadline is not None and now >= call.deadline:
                call.timed_out = True
                if child.stays and not child.interrupted:
                    child.interrupted = True
                    call.deadline = now + GRACE_S
                    interrupt(child.started, group=child.name != PYTHON)
                else:
                    call.deadline = None
                    self._kill(child)
        busy = [child for child in self._children.values() if child.call is not None]
        if busy and now >= self._next_look:
            self._next_look = now + LOOK_S
            reason = ""
            if folder.files(self._home.root).bytes > self._configuration["disk_bytes"]:
                reason = "disk"
            elif self._too_many():
                reason = "processes"
            for child in busy if reason else ():
                assert child.call is not None
                child.call.killed_for = reason
                self._kill(child)

    def _too_many(self) -> bool:
        """Return whether there are too many processes, if it is for us to see that."""
        most: int | None = self._configuration.get("processes")
        if most is None or abs((last := tree.newest()) - self._newest) < most / 2:  # to look costs more than to ask
            return False
        self._newest = last
        return len(tree.below(os.getpid(), tree.processes())) > most


def keep(read: int, write: int) -> None:
    """Be a keeper, and end this process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    status = 1
    try:
        Keeper(read, write).serve()
        status = 0
    except BaseException as error:
        os.write(2, f"The keeper of a workspace has failed: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(status)


def _plain_shell() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    run_program(COMMAND, WITHOUT_TERMINAL)()


def _act(action: str, path: str) -> None:
    with open(0, "rb", closefd=False) as source:
        data = source.read()
    with open(1, "wb", closefd=False) as target:
        target.write(ACTIONS[action](path, data))


def _claims(header: dict[str, Any]) -> dict[str, Any]:
    """Return of an interpreter's answer what has the right form, and nothing else."""
    found: dict[str, Any] = {"exit": header.get("exit") if isinstance(header.get("exit"), int) else 1}
    if isinstance(header.get("value"), str):
        found |= {"value": header["value"], "plain": header.get("plain") is True}
    error = header.get("error")
    if isinstance(error, dict):
        found["error"] = {key: str(error.get(key, "")) for key in ("type", "message", "traceback")}
    return found
