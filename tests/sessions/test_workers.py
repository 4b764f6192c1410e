"""Environments in processes of their own: how they die, what they leave behind, and that nobody else notices."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.servers import BOUND_S, wait_until
from tests.sessions.environments import Do, Undeclared, UndeclaredNeverBorn
from tests.sessions.wire import Remote, Wires, used

from openenv.server.budgets import Budgets
from openenv.server.worker.messages import packed
from openenv.server.worker.target import Target


def runs(pid: int) -> bool:
    """Return whether there is such a process, and it is more than a remembered exit status."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:  # no such folder on this system, or no such process any more
        return not Path("/proc/self/stat").exists()
    except ProcessLookupError:  # it has ended since the file was opened
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def is_gone(pid: int) -> bool:
    """Return whether a process ends within a bounded time."""
    return wait_until(lambda: not runs(pid))


def descriptors() -> int:
    """Return how many file descriptors this process, and so the server, has open."""
    return len(os.listdir("/proc/self/fd" if os.path.exists("/proc/self/fd") else "/dev/fd"))


DEATHS = {
    "kill": "was killed by SIGKILL",
    "segfault": "was killed by SIGSEGV",
    "exit": "ended with exit code 1",
}


@pytest.mark.parametrize("deed", DEATHS)
def test_the_death_of_a_worker_in_a_step_is_told_and_a_reset_starts_a_new_one(shared, both: Wires, deed):
    session = both(shared(Undeclared)).play()
    pid = session.step()["pid"]
    assert pid != os.getpid()
    error = session.error(session.begin(deed))
    assert error["code"] == "ENVIRONMENT_DIED"
    assert DEATHS[deed] in error["message"]
    assert "reset() starts over" in error["message"]
    assert session.phase() == "broken"
    assert session.error(session.begin())["message"] == error["message"]
    assert session.reset()["steps"] == 0
    assert session.step()["pid"] != pid
    assert is_gone(pid)


def test_the_last_lines_of_a_worker_are_told(shared, wires: Wires):
    session = wires(shared(Undeclared)).play()
    error = session.error(session.begin("exit", amount=7))
    assert "ended with exit code 7" in error["message"]
    assert error["message"].endswith("leaving without a word of goodbye")


def test_a_worker_that_dies_in_its_reset_is_told(shared, wires: Wires):
    session = wires(shared(Undeclared)).play()
    error = session.error(session.send("reset", {"trouble": "kill"}))
    assert error["code"] == "ENVIRONMENT_DIED"
    assert session.reset()["steps"] == 0


def test_a_worker_that_is_killed_between_two_requests_is_told_at_the_next(shared, wires: Wires):
    session = wires(shared(Undeclared)).play()
    pid = session.step()["pid"]
    os.kill(pid, signal.SIGKILL)
    assert is_gone(pid)
    error = session.error(session.begin())
    assert error["code"] == "ENVIRONMENT_DIED"
    assert session.reset()["steps"] == 0


def test_a_reset_right_after_the_death_works_at_once(shared, wires: Wires):
    session = wires(shared(Undeclared)).play()
    os.kill(session.step()["pid"], signal.SIGKILL)
    number = session.send("reset")
    answer = session.wire.answer(number)
    if answer["type"] == "error":  # the request was there before the news of the death
        assert answer["data"]["code"] == "ENVIRONMENT_DIED"
        session.reset()
    assert session.step()["steps"] == 1


def test_the_death_of_one_worker_is_nothing_to_the_others(shared, wires: Wires):
    wire = wires(shared(Undeclared))
    doomed, beside = wire.play(), wire.play()
    pid = beside.step()["pid"]
    doomed.error(doomed.begin("kill"))
    seen = beside.step()
    assert (seen["steps"], seen["pid"]) == (2, pid)


def test_a_worker_that_hangs_is_killed_by_the_budget(shared, wires: Wires):
    session = wires(shared(Undeclared)).play()
    pid = session.step()["pid"]
    number = session.send("step", {"what": "hang"}, timeout_s=0.1)
    assert session.error(number)["code"] == "BUDGET_EXCEEDED"
    assert is_gone(pid)


def test_what_a_worker_has_started_ends_with_it(shared, wires: Wires):
    session = wires(shared(Undeclared)).play()
    child = int(session.step("spawn")["note"])
    assert runs(child)
    session.error(session.begin("kill"))
    assert is_gone(child)


def test_what_a_worker_has_started_ends_with_its_session(shared, wires: Wires):
    session = wires(shared(Undeclared)).play()
    seen = session.step("spawn")
    assert runs(seen["pid"])
    assert runs(int(seen["note"]))
    session.wire.ask("close", session=session.id)
    assert is_gone(seen["pid"])
    assert is_gone(int(seen["note"]))


@pytest.mark.parametrize("size", [10, 300_000])
def test_what_an_environment_prints_does_not_get_into_its_answers(shared, both: Wires, size):
    session = both(shared(Undeclared)).play()
    assert [session.step("speak", amount=size)["steps"] for _ in range(3)] == [1, 2, 3]


def test_a_flood_of_output_keeps_nobody_waiting(shared, wires: Wires):
    wire = wires(shared(Undeclared))
    loud, calm = wire.play(), wire.play()
    flooding = loud.begin("flood", amount=60_000)
    for _ in range(50):
        calm.step()
    assert wire.ask("cancel", target=flooding)["found"], "the others waited until the flood was over"
    assert loud.error(flooding)["code"] == "CANCELLED"


def test_what_an_environment_opened_when_it_was_imported_is_open_in_its_worker(shared, wires: Wires):
    session = wires(shared(Undeclared)).play()
    assert session.step("read_what_was_opened_at_import")["note"] == '"""'


def test_a_worker_that_closes_its_output_is_left_alone(shared, wires: Wires):
    server = shared(Undeclared)
    session = wires(server).play()
    session.step("close_output")
    runner = server.manager.get(session.id)._runner
    assert wait_until(lambda: runner._output_fd == -1), "its end of the pipe is looked at again and again"
    assert session.step()["steps"] == 2


def test_a_fork_server_that_dies_as_a_worker_is_asked_for_leaves_no_file_open(serve, wires: Wires):
    server = serve(Undeclared)
    wire = wires(server)

    def kill_and_ask() -> None:
        forks = server.manager._forks
        os.kill(forks._process.pid, signal.SIGKILL)
        forks._process.wait()  # the news of it waits for its turn on this loop
        server.manager.open()

    counts = []
    for _ in range(4):
        session = wire.play()
        server.on_loop(kill_and_ask)
        wire.ask("close", session=session.id)
        assert wait_until(lambda: used(server) == 0)
        counts.append(descriptors())
    assert counts == counts[:1] * 4


def test_sessions_of_an_environment_that_declares_nothing_share_nothing(shared, wires: Wires):
    wire = wires(shared(Undeclared))
    sessions = [wire.play() for _ in range(3)]
    for number, session in enumerate(sessions):
        session.step("remember", amount=number)
    notes = [session.step("remember", amount=10 + number)["note"] for number, session in enumerate(sessions)]
    assert notes == ["[0, 10]", "[1, 11]", "[2, 12]"]
    assert len({session.step()["pid"] for session in sessions}) == 3


def test_a_new_session_starts_from_a_clean_process(shared, wires: Wires):
    wire = wires(shared(Undeclared))
    first = wire.play()
    first.step("remember", amount=5)
    wire.ask("close", session=first.id)
    assert wire.play().step("remember", amount=6)["note"] == "[6]"


@pytest.mark.parametrize(
    ("verb", "data"),
    [("reset", {"seed": 2**70}), ("step", {"anything": {"deep": [2**70]}}), ("step", {"amount": -(2**65)})],
)
def test_a_number_that_does_not_fit_through_is_refused_and_nothing_is_executed(shared, wires: Wires, verb, data):
    session = wires(shared(Undeclared)).play()
    error = session.error(session.send(verb, data))
    assert error["code"] == "VALIDATION_ERROR"
    assert "process" in error["message"]
    assert session.reset()["steps"] == 0
    assert session.step()["steps"] == 1


def test_the_fork_server_that_is_killed_takes_its_workers_along_and_a_reset_starts_all_of_them_again(
    serve, wires: Wires
):
    server = serve(Undeclared, budgets=Budgets(step=BOUND_S))
    session = wires(server).play()
    pid = session.step()["pid"]
    os.kill(server.manager._forks._process.pid, signal.SIGKILL)
    assert is_gone(pid)
    error = session.error(session.begin())
    assert error["code"] == "ENVIRONMENT_DIED"
    assert session.reset()["steps"] == 0
    assert wires(server).play().step()["steps"] == 1


def test_a_fork_server_whose_server_is_killed_ends_without_a_word():
    """It finds answers that nobody has read, and so a connection that was reset."""
    ours, theirs = socket.socketpair()
    forks = subprocess.Popen(
        [sys.executable, "-m", "openenv.server.worker.forkserver", str(theirs.fileno())],
        pass_fds=(theirs.fileno(),),
        stderr=subprocess.PIPE,
    )
    theirs.close()
    with ours:
        ours.sendall(
            packed(
                {
                    "target": Target.of(Undeclared).to_wire(),
                    "action": [Target.of(Do).to_wire()],
                    "path": list(sys.path),
                }
            )
        )
        ours.settimeout(3 * BOUND_S)
        assert ours.recv(1)  # the first byte of "ready"; the others stay unread
    _, said = forks.communicate(timeout=3 * BOUND_S)
    assert (forks.returncode, said.decode()) == (0, "")


def test_more_sessions_at_once_than_the_fork_server_can_be_told_of_keep_nobody_waiting(
    serve, wires: Wires, monkeypatch
):
    whole = socket.socketpair

    def narrow(*arguments) -> tuple[socket.socket, socket.socket]:
        pair = whole(*arguments)
        for end in pair:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # room for a handful of messages
        return pair

    monkeypatch.setattr(socket, "socketpair", narrow)
    wire = wires(serve(Undeclared))
    sessions = wire.open(40)
    assert all(session.reset()["steps"] == 0 for session in sessions)


def test_a_session_closed_before_its_worker_is_there_leaves_no_process(serve, wires: Wires):
    server = serve(UndeclaredNeverBorn)
    wire = wires(server)
    for _ in range(3):
        [session] = wire.open()
        wire.ask("close", session=session.id)
    assert wait_until(lambda: used(server) == 0)
    fork_server = server.manager._forks._process.pid
    children = Path(f"/proc/{fork_server}/task/{fork_server}/children")
    if children.exists():
        assert wait_until(lambda: not children.read_text().split())


def test_a_server_that_stops_takes_its_workers_along(serve, wires: Wires):
    server = serve(Undeclared)
    first, second = wires(server).play(), wires(server).play()
    first.begin("hang")
    pids = [second.step()["pid"], int(second.step("spawn")["note"]), server.manager._forks._process.pid]
    server.stop()
    assert all(is_gone(pid) for pid in pids)


def test_dead_workers_leave_no_file_open(shared, wires: Wires):
    wire = wires(shared(Undeclared))

    def live_and_die() -> None:
        session: Remote = wire.play()
        session.error(session.begin("kill"))
        session.reset()
        session.error(session.send("step", {"what": "hang"}, timeout_s=0.02))
        wire.ask("close", session=session.id)

    live_and_die()
    server = shared(Undeclared)
    open_now = used(server)
    before = descriptors()
    for _ in range(4):
        live_and_die()
    assert wait_until(lambda: used(server) <= open_now)
    assert wait_until(lambda: descriptors() <= before)
