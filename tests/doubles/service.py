"""An HTTP service in a thread, made of routes. What no route knows is answered 404 and held against the caller."""

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Request:
    """A request, its body read as JSON."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any = None


class Refused(Exception):
    """An answer other than 200: its status, and what it says."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status, body)
        self.status, self.body = status, body


@dataclass
class Service:
    """Routes, by method and pattern of the path; the groups of the pattern are arguments of the handler.

    Attributes:
        violations: Requests that the real service would not know, or would refuse for their form.
        fault: Called with every request first; may raise `Refused`.
    """

    routes: list[tuple[str, re.Pattern[str], Callable[..., Any]]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    seen: list[Request] = field(default_factory=list)
    fault: Callable[[Request], None] = lambda request: None

    def __post_init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def route(self, method: str, pattern: str, handler: Callable[..., Any]) -> None:
        self.routes.append((method, re.compile(pattern + r"\Z"), handler))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wrong(self, what: str, status: int = 400) -> Refused:
        """Hold a request against the caller, and return what to answer it with."""
        self.violations.append(what)
        return Refused(status, {"message": what})

    def answer(self, request: Request) -> tuple[int, Any]:
        self.seen.append(request)
        try:
            self.fault(request)
            for method, pattern, handler in self.routes:
                if method == request.method and (found := pattern.match(request.path)):
                    return 200, handler(request, *map(unquote, found.groups()))
            raise self.wrong(f"nothing is at {request.method} {request.path}", 404)
        except Refused as refused:
            return refused.status, refused.body
        except Exception as error:
            self.violations.append(f"{request.method} {request.path}: {error!r}")
            raise


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            content = self.rfile.read(length)
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = json.loads(content) if content else None
            request = Request(self.command, parts.path, parse_qs(parts.query), headers, body)
            status, answer = service.answer(request)
            more: dict[str, str] = {}
            if isinstance(answer, tuple):
                answer, more = answer
            text = isinstance(answer, str)
            content = answer.encode() if text else b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "text/plain" if text else "application/json")
            self.send_header("content-length", str(len(content)))
            for name, value in more.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler
