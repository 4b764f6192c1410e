"""The interpreter that runs an agent's Python: one namespace for as long as the process lives.

The code runs in this very process and may do anything to it, so what is answered from here is a claim: whoever
reads it goes by what the process, its output and its exit status show, and by values that it could not have known.
"""

from __future__ import annotations

import ast
import io
import linecache
import os
import signal
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any

from openenv.execution.inside.frames import Reader, pack

__all__ = ["Interpreter"]

LONGEST_TEXT = 64 * 1024
READ_BYTES = 64 * 1024  # no more, for the code may have left little memory
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))
_CONTAINERS = (list, tuple, set, frozenset, dict)
_MOST_VALUES = 100_000


class Interpreter:
    """Answers requests until there are no more.

    Args:
        requests: Descriptor that they come from.
        answers: Descriptor that the answers go to.
        path: Folders to import from, besides the standard library's.
    """

    def __init__(self, requests: int, answers: int, path: list[str]) -> None:
        self._requests, self._answers = requests, answers
        self._reader = Reader()
        self._count = self._calls = 0
        self._running = False
        self._process = os.getpid()
        for name in [name for name in sys.modules if name.partition(".")[0] == "openenv"]:
            del sys.modules[name]
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main
        self._names = main.__dict__
        sys.path[:] = ["", *path, *(entry for entry in sys.path if _is_standard(entry))]
        sys.argv = [""]
        if "tempfile" in sys.modules:
            vars(sys.modules["tempfile"])["tempdir"] = None  # that of the process this one is a fork of
        sys.stdin, sys.stdout, sys.stderr = _text(0, "r"), _text(1, "w"), _text(2, "w")
        vars(sys).update(__stdin__=sys.stdin, __stdout__=sys.stdout, __stderr__=sys.stderr)
        signal.signal(signal.SIGINT, self._interrupt)

    def serve(self) -> None:
        """Run what is asked for, and return at the end of the requests."""
        while (request := self._next()) is not None:
            header, body = request
            if "functions" not in header:  # an answer that the code no longer waits for
                continue
            answer: dict[str, Any] = {}
            try:
                self._running = True
                answer = self._run(header, body)
            except KeyboardInterrupt:  # it came between the code and here
                answer = {"exit": 130}
            finally:
                self._running = False
            if os.getpid() != self._process:  # a fork that the code has made; one of us answers
                os._exit(0)
            self._send(answer)

    def _next(self) -> tuple[dict[str, Any], bytes] | None:
        data = b""  # there may be one that came together with the last
        while True:
            for frame in self._reader.feed(data):
                return frame
            if not (data := os.read(self._requests, READ_BYTES)):
                return None

    def _send(self, header: dict[str, Any]) -> None:
        data = memoryview(pack(header))
        while data:
            data = data[os.write(self._answers, data) :]

    def _interrupt(self, *_: object) -> None:
        if self._running:
            raise KeyboardInterrupt

    # --- one piece of code -----------------------------------------------------------------------

    def _run(self, header: dict[str, Any], body: bytes) -> dict[str, Any]:
        self._count += 1
        name = f"<step {self._count}>"
        for function in header.get("functions", ()):
            self._names[function] = self._host_function(function)
        answer: dict[str, Any] = {"exit": 0}
        try:
            source = body.decode("utf-8")
            linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
            value = self._executed(source, name)
            if value is not None:
                answer["value"], answer["plain"] = _shown(value), is_plain(value)
        except SystemExit as leaving:
            answer["exit"] = _exit_code(leaving)
        except BaseException as error:
            answer |= {"exit": 1, "error": _told(error, name)}
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BaseException:  # noqa: S110 - it may be anything by now
                pass
        return answer

    def _executed(self, source: str, name: str) -> Any:
        tree = ast.parse(source, name)
        last = tree.body[-1] if tree.body else None
        if isinstance(last, ast.Expr):
            tree.body.pop()
        exec(compile(tree, name, "exec", dont_inherit=True), self._names)  # noqa: S102 - what it is for
        if not isinstance(last, ast.Expr):
            return None
        expression = ast.Expression(last.value)
        return eval(compile(expression, name, "eval", dont_inherit=True), self._names)  # noqa: S307 - likewise

    def _host_function(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._calls += 1
            number = self._calls
            self._send({"call": name, "number": number, "args": args, "kwargs": kwargs})
            while (answer := self._next()) is not None:
                header, _ = answer
                if header.get("number") != number:  # of a call that was interrupted
                    continue
                if "error" in header:
                    raise RuntimeError(header["error"])
                return header.get("result")
            raise SystemExit

        call.__name__ = call.__qualname__ = name
        return call


# --- what is told of it ------------------------------------------------------------------------------


def is_plain(value: Any) -> bool:
    """Whether a value is made of nothing but what a literal of Python can stand for, and not too large."""
    waiting = [value]
    seen = 0
    while waiting:
        one = waiting.pop()
        seen += 1
        if seen > _MOST_VALUES:
            return False
        if type(one) is dict:
            waiting += one.keys()
            waiting += one.values()
        elif type(one) in _CONTAINERS:
            waiting += one
        elif type(one) not in _PLAIN:
            return False
    return True


def _shown(value: Any) -> str:
    try:
        return _shortened(repr(value))
    except BaseException as error:
        return f"<{type(value).__name__} whose repr() raised {type(error).__name__}>"


def _shortened(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        half = LONGEST_TEXT // 2
        text = f"{text[:half]}\n[... {len(text) - 2 * half:,} characters were cut here ...]\n{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode()


def _told(error: BaseException, name: str) -> dict[str, str]:
    """Return an error as text, and write it to standard error as an interpreter does."""
    try:
        lines = traceback.format_exception(type(error), error, _own_frames(error, name))
        text = "".join(lines)
        message = str(error)
    except BaseException:  # whatever its own methods do
        text = message = ""
    text = text or f"{type(error).__name__}: <an error that cannot be shown>\n"
    try:
        sys.stderr.write(_shortened(text))
    except BaseException:  # noqa: S110 - it may be anything by now
        pass
    return {"type": type(error).__name__, "message": _shortened(message), "traceback": _shortened(text)}


def _own_frames(error: BaseException, name: str) -> Any:
    """Return the traceback without the frames that are ours."""
    found = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename != name:
        found = found.tb_next
    return found


def _exit_code(leaving: SystemExit) -> int:
    code = leaving.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    try:
        print(code, file=sys.stderr)
    except BaseException:  # noqa: S110 - as for any hostile object
        pass
    return 1


def _text(descriptor: int, mode: str) -> Any:
    raw = io.FileIO(descriptor, mode, closefd=False)
    buffer = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _is_standard(entry: str) -> bool:
    return bool(entry) and entry.startswith((sys.base_prefix, sys.base_exec_prefix)) and "-packages" not in entry
