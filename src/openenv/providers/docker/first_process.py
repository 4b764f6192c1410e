"""The first process of a container: it runs the image's own command, ends it in time, and opens a way to it.

It is handed to the engine as text (`python3 -I -S -c ...`), so the image needs nothing of this project, only a
Python of 3.8 or later; that is why it uses the standard library alone and no newer syntax.

* It starts the image's command, passes signals on, collects zombies, and ends with the command's exit code. As it
  is process 1, everything else in the container ends with it.
* When the lifetime is over it ends all, though nobody outside may be left to ask for it.
* A container without a network has a socket in a read-only folder. Over it a relay outside asks for connections;
  each is made here, to the server's port on the container's own loopback, and handed out as a descriptor. Nothing
  is ever handed in that could lead out. When the relay is gone, so is the program it belonged to: all ends.
"""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import struct
import sys
import time

LIFETIME_OVER = 124  # as of coreutils' timeout
PROGRAM_GONE = 125
NO_RELAY = 119
LONGEST_POLL_S = 3600.0
RETRY_S = 0.005
CONNECT_S = 0.25
LONGEST_REQUEST = 64
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_GET_NO_NEW_PRIVS = 39
SECCOMP_MODE_FILTER = 2

# The number of the call `socket`; where it is another the filter does without.
SOCKET_CALL = {"x86_64": 41, "aarch64": 198}.get(os.uname().machine, 0xFFFF)
AF_VSOCK = 40
# io_uring (calls 425 to 427, on every architecture and in both numberings of x86-64) and sockets to the hypervisor
# fail with EPERM.
REFUSALS = (
    (0x20, 0, 0, 0),
    (0x54, 0, 0, 0xBFFFFFFF),
    (0x15, 0, 2, SOCKET_CALL),
    (0x20, 0, 0, 16),
    (0x15, 2, 3, AF_VSOCK),
    (0x35, 0, 2, 425),
    (0x25, 1, 0, 427),
    (0x06, 0, 0, 0x00050001),
    (0x06, 0, 0, 0x7FFF0000),
)

FORWARDED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


def main(lifetime_s: float, grace_s: float, port: int, relay: str, command: list[str]) -> int:
    """Run the command and return its exit code, or one that says why it was ended."""
    keep_to_oneself()
    woken, received = listen_to_signals()
    door = Door(reach(relay), port) if relay else None
    child = spawn(command)
    ends = time.monotonic() + lifetime_s if lifetime_s else None
    poll = select.poll()
    poll.register(woken, select.POLLIN)
    if door:
        poll.register(door.control, select.POLLIN)
    while True:
        ready = [descriptor for descriptor, _ in poll.poll(math.ceil(1000 * pause(ends, door)))]
        if woken in ready:
            os.read(woken, 4096)
        while received:
            send(child, received.pop(0))
        code = reap(child)
        if code is not None:
            return code
        if door and door.control.fileno() in ready and not door.take():
            say("the program that started this container is gone")
            return end(child, grace_s, woken, PROGRAM_GONE)
        if door:
            door.serve()
        if ends is not None and time.monotonic() >= ends:
            say(f"the lifetime of {lifetime_s:g} s is over")
            return end(child, grace_s, woken, LIFETIME_OVER)


def pause(ends: float | None, door: Door | None) -> float:
    """Return how many seconds nothing is to be done."""
    left = LONGEST_POLL_S if ends is None else max(0.0, ends - time.monotonic())
    if door and door.waiting:
        left = min(left, RETRY_S)
    return min(left, LONGEST_POLL_S)


class Door:
    """Makes connections to the server for the relay outside.

    Until the server listens for the first time a request waits for it; afterwards one that is refused is told so.
    """

    def __init__(self, control: socket.socket, port: int) -> None:
        self.control = control
        self.port = port
        self.waiting: list[bytes] = []
        self.reached = False

    def take(self) -> bool:
        """Read the requests that have come; return whether there is somebody to come from."""
        while True:
            try:
                request = self.control.recv(LONGEST_REQUEST, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not request:
                return False
            self.waiting.append(request)

    def serve(self) -> None:
        """Answer what can be answered now: a request comes back, with a connection or without one."""
        while self.waiting:
            connection = self.connect()
            if connection is None and not self.reached:
                return
            self.reached = True
            request = self.waiting.pop(0)
            handed = [] if connection is None else [struct.pack("i", connection.fileno())]
            try:
                self.control.sendmsg(
                    [request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights) for rights in handed]
                )
            except OSError:
                pass  # the next reading tells that it is gone
            if connection is not None:
                connection.close()

    def connect(self) -> socket.socket | None:
        """Return a new connection to the server, or None."""
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.settimeout(CONNECT_S)
        try:
            connection.connect(("127.0.0.1", self.port))
        except OSError:
            connection.close()
            return None
        return connection


def reach(relay: str) -> socket.socket:
    """Return the connection to the relay."""
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        control.connect(relay)
    except OSError as error:
        say(f"the relay outside cannot be reached at {relay}: {error}")
        sys.exit(NO_RELAY)
    return control


def keep_to_oneself() -> None:
    """Make this process one that no other of the same user can trace, and have some calls refused to all.

    Newer engines refuse these themselves: io_uring, and sockets to the hypervisor.
    """
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        if prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1:  # else a filter is not ours to lay on
            code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in REFUSALS))
            program = struct.pack("HxxxxxxP", len(REFUSALS), ctypes.addressof(code))
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass  # a small image; who traces this process can at worst outlive its lifetime


def listen_to_signals() -> tuple[int, list[int]]:
    """Return a descriptor that is readable after a signal, and the list of those to pass on."""
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    received: list[int] = []
    for number in FORWARDED:
        signal.signal(number, lambda number, frame: received.append(number))
    return woken, received


def spawn(command: list[str]) -> int:
    """Start the command and return its process id."""
    child = os.fork()
    if child:
        return child
    try:
        for number in (*FORWARDED, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)  # noqa: S606
    except BaseException as error:
        say(f"{command[0]} cannot be run: {error}")
    os._exit(127)


def end(child: int, grace_s: float, woken: int, code: int) -> int:
    """Ask the command to end, kill it after the grace, and return the code; what is left ends with process 1."""
    send(child, signal.SIGTERM)
    last = time.monotonic() + grace_s
    while reap(child) is None and time.monotonic() < last:
        if select.select([woken], [], [], max(0.0, last - time.monotonic()))[0]:
            os.read(woken, 4096)
    send(child, signal.SIGKILL)
    return code


def send(process: int, number: int) -> None:
    """Send a signal, unless there is nobody to send it to."""
    try:
        os.kill(process, number)
    except OSError:
        pass


def reap(child: int) -> int | None:
    """Collect every process that has ended; return the command's exit code if it was among them."""
    code = None
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if process == 0:
            return code
        if process == child:
            code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def say(what: str) -> None:
    """Write a line to the container's log."""
    os.write(2, f"openenv: {what}\n".encode("utf-8", "replace"))


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5:]))
