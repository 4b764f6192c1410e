"""A server of a few lines, up in 20 ms, that misbehaves as told: `toy_server.py FD [MODE ...]`.

It is healthy unless a mode says otherwise, and writes the process ids it wants to be looked for.
"""

import os
import signal
import socket
import sys
import threading

HEALTHY = b'{"status":"healthy"}'


def main(fd: int, modes: list[str]) -> None:
    if said := os.environ.get("TOY_SAYS"):
        print(said, flush=True)
    if "dies" in modes:
        print("loading\nthe weights are missing", file=sys.stderr)
        sys.exit(3)
    if "crashes" in modes:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "stubborn" in modes:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "floods" in modes:
        threading.Thread(target=flood, daemon=True).start()
    if "grandchild" in modes:
        report("grandchild", fork_and_wait())
    if "runaway" in modes:
        report("runaway", fork_and_wait(os.setsid))
    if "polite" in modes:
        print("polite", flush=True)
        signal.signal(signal.SIGTERM, say_goodbye)
    for mode in modes:
        name, _, path = mode.partition("=")
        if name in ("reads", "writes"):
            print(f"{path}={attempt(name, path)}", flush=True)
    serve(socket.socket(fileno=fd), modes)


def say_goodbye(*_) -> None:
    print("goodbye", flush=True)
    sys.exit(0)


def attempt(what: str, path: str) -> str:
    try:
        with open(path, "r" if what == "reads" else "w") as file:
            return file.read() if what == "reads" else "written" * (file.write("x") == 1)
    except OSError as error:
        return str(error)


def serve(listener: socket.socket, modes: list[str]) -> None:
    status = b"503 Busy" if "busy" in modes else b"200 OK"
    health = b'{"status":"sick"}' if "sick" in modes else b"<html>" if "garbled" in modes else HEALTHY
    if "mute" in modes:
        signal.pause()
    while True:
        connection, _ = listener.accept()
        with connection:
            request = connection.recv(65536)
            body = b'{"active_sessions":0}' if request.startswith(b"GET /capacity") else health
            head = b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
            connection.sendall(head + body)
        if "stuck" in modes:
            hold_the_interpreter()


def fork_and_wait(first=lambda: None) -> int:
    child = os.fork()
    if child == 0:
        first()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            signal.pause()
    return child


def report(name: str, process: int) -> None:
    print(f"{name} {process}", flush=True)


def flood() -> None:
    line = b"x" * 99 + b"\n"
    while True:
        os.write(1, line * 100)


def hold_the_interpreter() -> None:
    import ctypes

    print("stuck", flush=True)
    ctypes.PyDLL(None).sleep(600)  # PyDLL: without letting any other Python code run


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
