"""The relay and the first process of containers, without a container: both run on this machine here."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from tests.servers import BOUND_S, wait_until

from openenv.errors import PortTakenError
from openenv.providers.docker._relay import Relay as Joining
from openenv.providers.docker.command import first_process
from openenv.providers.docker.first_process import LIFETIME_OVER, NO_RELAY, PROGRAM_GONE
from openenv.providers.docker.relay import Relay

ECHO = """
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)
        self.request.sendall(b"bye")
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, request_queue_size, daemon_threads = True, 64, True
Server(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()
"""
SLEEP = [sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"]
STUBBORN = [
    sys.executable,
    "-I",
    "-S",
    "-c",
    "import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True); signal.pause()",
]
SEVERAL_MB = 5_000_000


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def begin() -> Iterator[Callable[..., subprocess.Popen]]:
    """A maker of first processes, in a session of their own; what is left of it is killed after the test."""
    made = []

    def start(command: list[str], relay: Relay | None = None, lifetime_s=None, port=1) -> subprocess.Popen:
        path = str(relay.folder / "meet") if relay else None
        whole = first_process(command, lifetime_s=lifetime_s, grace_s=0.2, port=port, relay=path)
        made.append(
            subprocess.Popen(
                [sys.executable, *whole[1:]],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        return made[-1]

    yield start
    for process in made:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def relay() -> Iterator[Relay]:
    made = Relay()
    yield made
    made.stop()


def connected(relay: Relay) -> socket.socket:
    port = int(relay.url.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=BOUND_S)


def received(connection: socket.socket) -> bytes:
    found = b""
    while data := connection.recv(65536):
        found += data
    return found


def talk(relay: Relay, size: int) -> bytes:
    with connected(relay) as connection:
        sender = threading.Thread(target=lambda: (connection.sendall(b"x" * size), connection.shutdown(1)))
        sender.start()
        found = received(connection)
        sender.join(BOUND_S)
        return found


def test_a_client_that_comes_before_the_server_is_answered_when_it_listens(relay, begin, free_port):
    with connected(relay) as early:
        early.sendall(b"hello")
        begin([sys.executable, "-I", "-S", "-c", ECHO, str(free_port)], relay, port=free_port)
        assert early.recv(5) == b"hello"


def test_everything_goes_through_and_one_side_may_end_first(relay, begin, free_port):
    begin([sys.executable, "-I", "-S", "-c", ECHO, str(free_port)], relay, port=free_port)
    for size in (0, 1, SEVERAL_MB):
        assert talk(relay, size) == b"x" * size + b"bye"


def test_a_reader_that_is_slow_loses_nothing(relay, begin, free_port):
    begin([sys.executable, "-I", "-S", "-c", ECHO, str(free_port)], relay, port=free_port)
    with connected(relay) as slow, connected(relay) as quick:
        sender = threading.Thread(target=lambda: (slow.sendall(b"y" * SEVERAL_MB), slow.shutdown(1)))
        sender.start()
        quick.sendall(b"still served")
        assert quick.recv(64) == b"still served"
        assert received(slow) == b"y" * SEVERAL_MB + b"bye"
        sender.join(BOUND_S)


def test_what_was_sent_before_the_end_is_read_though_the_end_was_told_first():
    """As happens in one turn: the end was told while the other side was owed something, which it then took."""
    (client, to_client), (to_server, server) = connected_pair(), connected_pair()
    joining = Joining(socket.socket(), socket.socket())
    with client, server, joining._listener, joining._control:
        joining._join(to_client, to_server)
        side = joining._sides[to_server.fileno()]
        server.sendall(b"bye")
        client.shutdown(socket.SHUT_WR)
        joining._pass_on(joining._sides[to_client.fileno()], select.EPOLLIN)
        server.close()
        assert wait_until(lambda: select.select([to_server], [], [], 0)[0], BOUND_S)
        joining._pass_on(side, select.EPOLLHUP)
        joining._pass_on(side, select.EPOLLHUP)
        client.settimeout(BOUND_S)
        assert received(client) == b"bye"


def connected_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname(), timeout=BOUND_S)
        return one, listener.accept()[0]


def test_many_connections_are_served_at_the_same_time(relay, begin, free_port):
    begin([sys.executable, "-I", "-S", "-c", ECHO, str(free_port)], relay, port=free_port)
    with contextlib.ExitStack() as all_of_them:
        many = [all_of_them.enter_context(connected(relay)) for _ in range(50)]
        for number, one in enumerate(many):
            one.sendall(b"%03d" % number)
        assert [one.recv(3) for one in many] == [b"%03d" % number for number in range(50)]


def test_once_it_has_listened_a_server_that_does_not_is_told_at_once(relay, begin, free_port):
    once = f"import socket; s = socket.create_server(('127.0.0.1', {free_port})); s.accept(); s.close()"
    begin([sys.executable, "-I", "-S", "-c", f"{once}\nimport signal; signal.pause()"], relay, port=free_port)
    with connected(relay) as first:
        first.recv(1)
    with connected(relay) as second:
        assert second.recv(1) == b""


def test_nothing_is_left_to_connect_to_when_they_have_met(relay, begin):
    assert (relay.folder / "meet").exists()
    begin(SLEEP, relay)
    assert wait_until(lambda: not relay.folder.exists())


def test_what_is_no_tcp_connection_is_not_believed(relay):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as liar:
        liar.connect(str(relay.folder / "meet"))
        with connected(relay) as client, open("/dev/null", "rb") as file:
            request = liar.recv(64)
            socket.send_fds(liar, [request], [file.fileno()])
            assert client.recv(1) == b""
        with connected(relay) as client:
            request = liar.recv(64)
            ours, theirs = socket.socketpair()
            with ours, theirs:
                socket.send_fds(liar, [request + b"?"], [theirs.fileno()])
                socket.send_fds(liar, [request], [theirs.fileno()])
                assert client.recv(1) == b""


def test_the_command_ends_with_the_program(relay, begin):
    process = begin(SLEEP, relay)
    assert wait_until(lambda: not relay.folder.exists())
    relay.stop()
    output, _ = process.communicate(timeout=BOUND_S)
    assert process.returncode == PROGRAM_GONE
    assert "the program that started this container is gone" in output


def test_a_relay_that_is_not_there_is_told(begin, tmp_path, relay):
    relay.stop()
    process = begin(SLEEP, relay)
    output, _ = process.communicate(timeout=BOUND_S)
    assert process.returncode == NO_RELAY
    assert "the relay outside cannot be reached" in output


def test_the_lifetime_ends_a_command_that_does_not_want_to(begin):
    process = begin(STUBBORN, lifetime_s=0.5)
    output, _ = process.communicate(timeout=BOUND_S)
    assert process.returncode == LIFETIME_OVER
    assert "the lifetime of 0.5 s is over" in output


def test_it_ends_with_the_command_s_exit_code(begin):
    for code, expected in (("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 137)):
        process = begin([sys.executable, "-I", "-S", "-c", code])
        process.communicate(timeout=BOUND_S)
        assert process.returncode == expected
    process = begin(["/no/such/program"])
    output, _ = process.communicate(timeout=BOUND_S)
    assert process.returncode == 127
    assert "/no/such/program cannot be run" in output


def test_a_signal_is_passed_on(begin):
    code = "import signal, sys; signal.signal(15, lambda *_: sys.exit(5)); print('up', flush=True); signal.pause()"
    process = begin([sys.executable, "-I", "-S", "-c", code])
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=BOUND_S)
    assert process.returncode == 5


def test_a_port_that_is_taken_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PortTakenError, match="Choose another"):
            Relay(port=taken.getsockname()[1])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("uds", [False, True])
def test_a_program_that_is_killed_leaves_no_folder(tmp_path, uds):
    holding = (
        "import signal, sys, tempfile; from openenv.providers.docker.relay import Relay;"
        "tempfile.tempdir = sys.argv[1]; relay = Relay(uds=bool(sys.argv[2]));"
        "print(relay.folder, flush=True); signal.pause()"
    )
    command = [sys.executable, "-c", holding, str(tmp_path), "uds" * uds]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        folder = program.stdout.readline().strip()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as first_process:
            first_process.connect(f"{folder}/meet")
            assert wait_until(lambda: not os.path.exists(folder))
            program.kill()
            assert wait_until(lambda: not list(tmp_path.iterdir()))


def test_a_relay_on_a_unix_domain_socket_leaves_nothing(begin, free_port):
    relay = Relay(uds=True)
    path = relay.url.removeprefix("unix://")
    try:
        begin([sys.executable, "-I", "-S", "-c", ECHO, str(free_port)], relay, port=free_port)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(BOUND_S)
            connection.connect(path)
            connection.sendall(b"hello")
            assert connection.recv(5) == b"hello"
    finally:
        relay.stop()
    assert not os.path.exists(os.path.dirname(path))
