"""Environments that are bound to the thread they were made on."""

from tests.servers import wait_until
from tests.sessions.environments import Blocking, OneThread
from tests.sessions.wire import Wires, used


def test_every_call_of_a_session_is_made_on_the_thread_of_its_constructor(serve, both: Wires, caplog):
    server = serve(OneThread)
    wire = both(server)
    sessions = [wire.play() for _ in range(4)]
    seen = [[session.step() for session in sessions] for _ in range(5)]
    assert {one["note"] for row in seen for one in row} == {"True"}
    assert len({one["thread"] for one in seen[0]}) == 4, "each session has a thread of its own"
    for session in sessions:
        session.state()
        wire.ask("close", session=session.id)
    assert wait_until(lambda: used(server) == 0)
    assert "close failed" not in caplog.text


def test_the_thread_is_kept_while_the_connection_is_not(serve, both: Wires):
    server = serve(OneThread)
    session = both(server).play()
    first = session.step()
    session.wire.drop()
    session.resume(both(server))
    assert session.step() == {**first, "steps": 2}


def test_the_environment_that_replaces_one_that_hung_has_a_thread_of_its_own_too(serve, wires: Wires):
    session = wires(serve(OneThread)).play()
    first = session.step()
    hung = session.send("step", {"what": "hang"}, timeout_s=0.1)
    assert session.error(hung)["code"] == "BUDGET_EXCEEDED"
    session.reset()
    second = session.step()
    assert second["note"] == first["note"] == "True"
    assert second["thread"] != first["thread"]


def test_sessions_that_do_not_run_share_threads(serve, wires: Wires):
    wire = wires(serve(Blocking))
    sessions = [wire.play() for _ in range(10)]
    assert len({session.step()["thread"] for session in sessions}) < 10
