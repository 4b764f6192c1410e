"""Processes that die, a server that is stopped, and the limit that all processes share."""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.processes.environments import Do, Seen
from tests.processes.running import PATIENCE_S, ROOT, Several, Wires, children, kill, lives, process_of
from tests.servers import wait_until

from openenv.client import EnvClient
from openenv.errors import SessionLost
from openenv.models import State

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("processes")]

Start = Callable[..., Several]


class CounterEnv(EnvClient[Do, Seen, State]):
    pass


def test_the_sessions_of_a_process_that_dies_are_lost_and_the_others_are_not(start: Start, stack: ExitStack):
    server = start()
    here, there = Wires(server, stack).one_in_each()
    doomed, safe = here.play(), there.play()
    over_http = [server.http.post("/sessions").json()["session_id"] for _ in range(2)]
    lost = [one for one in over_http if process_of(one) == process_of(doomed.id)]
    before = server.pids()
    kill(doomed.step()["process"])

    assert here.close_code() is None  # no word: it is dead
    assert safe.step()["total"] == 1
    assert wait_until(lambda: len(server.pids() - before) == 1, PATIENCE_S)
    server.wait_for("(?s)(startup complete.*){3}")
    wires = Wires(server, stack)
    for wire in (there, *wires.one_in_each()):
        error = wire.refused("resume", session=doomed.id, token=doomed.token)
        assert (error["code"], "died" in error["message"]) == ("SESSION_LOST", True)
    assert safe.step()["total"] == 2
    for session in over_http:
        with server.fresh() as http:
            assert http.get(f"/sessions/{session}").status_code == (410 if session in lost else 200)
    assert "was killed by SIGKILL" in server.log.read_text()


def test_a_connection_that_holds_sessions_of_a_process_that_dies_is_resumed_with_the_others(
    start: Start, stack: ExitStack
):
    server = start()
    here, there = Wires(server, stack).one_in_each()
    own, away = there.play(), here.play()
    away.resume(there)
    kill(away.step()["process"])
    assert there.close_code() == 1012
    server.wait_for("was killed by SIGKILL")  # else the next connection may still be given to it
    again = Wires(server, stack)()
    assert again.refused("resume", session=away.id, token=away.token)["code"] == "SESSION_LOST"
    assert own.resume(again)["phase"] == "running"
    assert own.step()["total"] == 1


@pytest.mark.parametrize("workers", [2, 3])
def test_steps_are_executed_once_however_often_connections_are_lost(start: Start, workers: int):
    server = start("app", workers)
    dice = random.Random(workers)

    async def play() -> list[int]:
        async with CounterEnv.vector(base_url=server.url, num_envs=12, connections=4) as envs:
            await envs.reset()
            for step in range(1, 61):
                stepping = asyncio.create_task(envs._step(dict.fromkeys(range(12), Do())))
                for _ in range(3):
                    for lane in envs._keeper.link._lanes:
                        if dice.random() < 0.2 and lane._mux.socket is not None:
                            lane._mux.socket.abort()
                    await asyncio.sleep(dice.random() * 0.01)  # the next cut may hit what resumes
                results = await stepping
                assert [getattr(result, "error", None) for result in results] == [None] * 12
                assert [result.observation.total for result in results] == [step] * 12
            return [state.step_count for state in await envs.state()]

    assert asyncio.run(play()) == [60] * 12


def test_the_limit_of_sessions_is_that_of_all_processes_and_so_is_the_queue(start: Start, stack: ExitStack):
    server = start("small")
    here, there = Wires(server, stack).one_in_each()
    three = [*here.open(2), *there.open()]
    assert server.http.get("/capacity").json() == {"active_sessions": 3, "max_sessions": 3, "waiting": 0}
    with server.fresh() as http:
        assert http.post("/sessions").status_code == 503
    first = there.send("open")
    assert wait_until(lambda: server.http.get("/capacity").json()["waiting"] == 1)
    second = here.send("open")
    assert wait_until(lambda: server.http.get("/capacity").json()["waiting"] == 2)
    here.ask("close", session=three[0].id)  # here makes room, there has waited longest
    opened = there.answer(first)
    assert opened["type"] == "opened"
    assert process_of(opened["sessions"][0]["session"]) == process_of(three[2].id)
    there.ask("close", session=three[2].id)
    assert here.answer(second)["type"] == "opened"
    assert server.http.get("/capacity").json() == {"active_sessions": 3, "max_sessions": 3, "waiting": 0}


def test_a_slot_of_a_process_that_died_is_free_again(start: Start, stack: ExitStack):
    server = start("small")
    here, there = Wires(server, stack).one_in_each()
    here.open(2)
    victim = here.play()
    assert server.http.get("/capacity").json()["active_sessions"] == 3
    kill(victim.step()["process"])
    assert wait_until(lambda: server.http.get("/capacity").json()["active_sessions"] == 0, PATIENCE_S)
    assert there.open(3)


def test_a_server_that_is_stopped_tells_everybody_and_leaves_nothing(start: Start, stack: ExitStack):
    server = start()
    here, there = Wires(server, stack).one_in_each()
    own, away = there.play(), here.play()
    away.resume(there)
    assert here.notice()["session"] == away.id
    processes = {server.process.pid, *server.pids()}
    server.process.terminate()
    notices = [there.notice(), there.notice()]
    assert {notice["session"] for notice in notices} == {own.id, away.id}
    assert {notice["type"] for notice in notices} == {"ended"}
    assert {notice["data"]["message"] for notice in notices} == {"The server is shutting down"}
    assert there.close_code() == 1012
    assert server.process.wait(PATIENCE_S) == 0
    assert not [process for process in processes if lives(process)]


def test_a_client_is_told_at_once_when_its_server_is_stopped(start: Start):
    server = start()
    with CounterEnv(server.url) as env:
        env.reset()
        server.process.terminate()
        server.process.wait(PATIENCE_S)
        with pytest.raises(SessionLost, match="shutting down"):
            env.step(Do())


def test_nothing_is_left_of_a_server_whose_first_process_is_killed(start: Start):
    server = start("app", 3)
    processes = server.pids()
    assert len(processes) == 3
    below = set().union(*(children(process) for process in processes))
    kill(server.process.pid)
    assert wait_until(lambda: not [one for one in processes | below if lives(one)], PATIENCE_S)


def test_a_process_that_keeps_dying_is_started_again_and_again(start: Start):
    server = start()
    for _ in range(3):
        [one, *_] = before = server.pids()
        kill(one)
        assert wait_until(lambda before=before: len(server.pids() - before) == 1, PATIENCE_S)
    with server.fresh() as http:
        assert http.get("/health").status_code == 200


def test_an_app_that_can_not_start_ends_the_server(tmp_path: Path):
    broken = tmp_path / "broken_app.py"
    broken.write_text(
        "import os\nfrom tests.processes.environments import app\n"
        "if os.environ.get('BROKEN_IN') != str(os.getppid()):\n    os.environ['BROKEN_IN'] = str(os.getpid())\n"
        "else:\n    raise SystemExit(7)\n"
    )
    places = os.pathsep.join(map(str, [ROOT / "src", ROOT, tmp_path]))
    ended = subprocess.run(
        [sys.executable, "-m", "openenv", "serve", "broken_app:app", "--workers", "2", "--port", "0"],
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        cwd=tmp_path,
    )
    assert ended.returncode == 7
    assert "before it could serve" in ended.stderr


def test_several_processes_serve_a_unix_domain_socket(start: Start, tmp_path: Path):
    path = tmp_path / "env.sock"
    server = start("app", 2, "--uds", str(path))
    assert server.url == f"unix://{path}"
    with CounterEnv.vector(base_url=server.url, num_envs=6, connections=6) as envs:
        assert len({result.observation.process for result in envs.reset()}) == 2
        assert [result.observation.total for result in envs.step([Do(amount=3)] * 6)] == [3] * 6
    assert (path.stat().st_mode & 0o777) == 0o600
    server.process.terminate()
    server.process.wait(PATIENCE_S)
    assert not path.exists()
