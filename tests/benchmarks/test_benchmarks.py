"""That the benchmarks run and tell the truth about limits; never how fast anything is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks._figures import Bench, BenchmarkError, Figure, Limit
from benchmarks._peer import Peer
from benchmarks._processes import Child, environ
from benchmarks._report import COLUMNS, markdown, row
from benchmarks._rounds import Contestant, compare, peer_of

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
    ],
)
def test_both_ends_of_every_kind_step_in_processes_of_their_own(contestant):
    bench = Bench(Peer(wanted=False), rounds=1, seconds=0.2)
    socket = Contestant("socket")
    figures, reached = compare(bench, [("steps", contestant, AT_LEAST)], socket)
    assert reached.keys() == {contestant, socket}
    assert peer_of(contestant) not in reached
    assert figures[0].value > 0
    assert figures[0].verdict == "not compared"
