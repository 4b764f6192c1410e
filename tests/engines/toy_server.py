"""A server for containers: healthy at /health, and /eat to take memory, /die to end, /who to tell what it is."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

eaten = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/health":
            self.reply(json.dumps({"status": "healthy"}))
        elif self.path == "/who":
            self.reply(json.dumps({"uid": os.getuid(), "env": dict(os.environ), "files": os.listdir("/")}))
        elif self.path == "/uring":
            import ctypes

            libc = ctypes.CDLL(None, use_errno=True)
            self.reply(str([libc.syscall(425, 1, ctypes.create_string_buffer(120)), ctypes.get_errno()]))
        elif self.path.startswith("/write/"):
            with open(self.path[len("/write") :], "w") as file:
                file.write("kept")
            self.reply("{}")
        elif self.path.startswith("/blob/"):
            self.reply("x" * int(self.path[len("/blob/") :]))
        elif self.path == "/eat":
            while True:
                eaten.append(b"x" * 10_000_000)
        elif self.path == "/die":
            print("the weights are missing", flush=True)
            os._exit(7)
        else:
            self.send_error(404)

    def do_POST(self):
        got = self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(str(len(got)))

    def reply(self, text):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


print("secret:", os.environ.get("API_TOKEN"), flush=True)
Server(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
