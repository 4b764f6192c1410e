"""That the benchmarks run and tell the truth about limits; never how fast anything is."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks._figures import Bench, BenchmarkError, Figure, Limit
from benchmarks._held import Held
from benchmarks._peer import Peer
from benchmarks._plots import Curve, Line, Plot, draw
from benchmarks._processes import Child, environ
from benchmarks._report import COLUMNS, markdown, row
from benchmarks._rounds import Contestant, compare, counted, peer_of
from benchmarks._wiretap import Wiretap

ROOT = Path(__file__).parents[2]
AT_LEAST = Limit("least", 1.5, "ratio")


def benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        (Figure("seconds", 0.2, limit=Limit("most", 0.3)), "meets"),
        (Figure("seconds", 0.4, limit=Limit("most", 0.3)), "misses"),
        (Figure("steps", 3000, peer=2000, limit=AT_LEAST), "meets"),
        (Figure("steps", 2900, peer=2000, limit=AT_LEAST), "misses"),
        (Figure("steps", 3000, limit=AT_LEAST), "not compared"),
        (Figure("steps", 3000, peer=1), ""),
    ],
)
def test_a_verdict_says_whether_the_limit_holds(figure, verdict):
    assert figure.verdict == verdict


def test_a_figure_is_shown_with_its_ratio_and_its_limit():
    figure = Figure("steps", 3123.4, "/s", peer=2000, limit=AT_LEAST, note="3,000 to 3,200")
    assert row(figure) == ("steps", "3,123/s", "2,000/s", "1.56", "ratio ≥ 1.5", "meets", "3,000 to 3,200")
    assert len(row(figure)) == len(COLUMNS)
    assert "| steps | 3,123/s |" in markdown({"group": [figure]}, "a machine", "a command")


def test_an_unknown_name_is_answered_with_those_there_are():
    ran = benchmarks("speed")
    assert ran.returncode == 2
    assert "async_client" in ran.stderr


def test_results_are_written_for_a_run_of_all_only():
    ran = benchmarks("cli_help", "--write")
    assert ran.returncode == 2
    assert "leave out the names" in ran.stderr


def test_a_program_that_ends_early_is_reported_with_what_it_wrote():
    command = [sys.executable, "-c", "import sys; sys.exit('no luck')"]
    with (
        Child("The program", command, environ()) as child,
        pytest.raises(BenchmarkError, match="The program ended; it wrote:\nno luck"),
    ):
        child.hear(10)


def test_a_program_ends_when_its_benchmark_does():
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with Child("The program", command, environ()) as child:
        process = child.process
    assert process.returncode == 0


def test_the_peer_sees_nothing_of_this_project():
    assert os.fspath(ROOT / "src") not in Contestant("peer").environ()["PYTHONPATH"]


def test_against_a_vector_stand_clients_that_step_on_their_own():
    peer = peer_of(Contestant("ours", "non-blocking", face="vector", clients=64))
    assert (peer.side, peer.environment, peer.face, peer.clients) == ("peer", "sync", "async", 32)


def test_a_wiretap_passes_on_and_counts():
    with socket.create_server(("127.0.0.1", 0)) as server, Wiretap(server.getsockname()[1]) as tap:
        with socket.create_connection(("127.0.0.1", tap.port), timeout=10) as client:
            client.sendall(b"12345")
            served, _ = server.accept()
            served.settimeout(10)
            with served:
                assert served.recv(5, socket.MSG_WAITALL) == b"12345"
                served.sendall(b"678")
                assert client.recv(3, socket.MSG_WAITALL) == b"678"
        assert (tap.sent, tap.received) == (5, 3)


def test_a_plot_is_drawn_and_shown_in_the_results(tmp_path):
    pytest.importorskip("matplotlib")
    curves = [Curve("this project", [(1, 100), (1000, 5000)]), Curve("another", [(1, 10)], peer=True)]
    plot = Plot("speed", "Speed", "sessions", "steps per second", curves, [Line("limit", 50)], command="a command")
    for one in (plot, replace(plot, name="level", log_y=False)):
        assert draw(one, "a machine", tmp_path).read_bytes().startswith(b"\x89PNG")
    assert "![Speed](plots/speed.png)" in markdown({}, "a machine", "a command", plots=[plot])


@pytest.mark.slow
def test_the_command_prints_a_table_and_writes_json(tmp_path):
    file = tmp_path / "figures.json"
    ran = benchmarks("cli_help", "--no-peer", "--json", str(file))
    assert ran.returncode == 0, ran.stderr
    assert "openenv --help" in ran.stdout
    (figure,) = json.loads(file.read_text())["figures"]
    assert figure["benchmark"] == "cli_help"
    assert figure["unit"] == "s"


@pytest.mark.slow
@pytest.mark.parametrize(
    "contestant",
    [
        Contestant("ours", "sync"),
        Contestant("ours", "non-blocking", face="blocking"),
        Contestant("ours", "async", route="asgi", clients=3),
        Contestant("ours", hooks=True),
        Contestant("ours", "sync", face="vector", clients=3),
        Contestant("ours", "frames"),
    ],
)
def test_both_ends_of_every_kind_step_in_processes_of_their_own(contestant):
    bench = Bench(Peer(wanted=False), rounds=1, seconds=0.2)
    raw = Contestant("socket")
    figures, reached = compare(bench, [("steps", contestant, AT_LEAST)], full=(raw,))
    assert reached.keys() == {contestant, raw}
    assert peer_of(contestant) not in reached
    assert figures[0].value > 0
    assert figures[0].verdict == "not compared"


@pytest.mark.slow
def test_what_a_socket_carries_for_a_step_is_counted():
    assert 84 * 84 * 4 < counted(Contestant("ours", "frames"), sys.executable, 0.2) < 84 * 84 * 5


@pytest.mark.slow
def test_sessions_are_held_and_step_once_a_second():
    with Held("non-blocking", 30) as held:
        assert held.grow(30) > 0
        paced = held.pace(1.0)
    assert (paced.sessions, paced.steps) == (30, 30)
    assert 0 < paced.p50 <= paced.p90 <= paced.p99 <= paced.slowest
