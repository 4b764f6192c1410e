"""What processes know of one another, and the lines between them, without any server."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.servers import BOUND_S

from openenv.errors import SessionLost
from openenv.server.processes.ledger import Ledger, Row, SharedSlots, load_of
from openenv.server.processes.line import FRAME, Line


@pytest.fixture
def ledger():
    made = Ledger.make(2)
    yield made
    os.close(made.descriptor)


@pytest.fixture
def both(ledger: Ledger) -> list[SharedSlots]:
    """The slots as two processes see them."""
    return [SharedSlots(ledger, index, ledger.begin(index)) for index in range(2)]


def test_the_limit_is_that_of_both(both: list[SharedSlots]):
    one, other = both
    assert [one.take(3, 1), other.take(3, 2), one.take(3, 3)] == [True] * 3
    assert [one.take(3, 4), other.take(3, 5)] == [False] * 2
    assert (one.taken, other.taken) == (3, 3)
    other.give()
    assert one.take(3, 6)


def test_nobody_takes_a_slot_before_one_who_waits_longer_in_another_process(both: list[SharedSlots]):
    one, other = both
    one.queue(2, since=10)
    assert (one.waiting, other.waiting) == (2, 2)
    assert not other.take(5, 11)
    assert one.take(5, 10)
    one.queue(0, since=0)
    assert other.take(5, 11)


def test_an_id_says_where_its_session_is(ledger: Ledger, both: list[SharedSlots]):
    one, other = both
    session = other.new_id()
    assert one.elsewhere(session) == other.number
    assert other.elsewhere(session) is None
    assert one.elsewhere("p999-x") is one.elsewhere("p0-x") is one.elsewhere("x") is None
    ledger.clear(1)
    with pytest.raises(SessionLost, match="died"):
        one.elsewhere(session)
    again = SharedSlots(ledger, 1, ledger.begin(1))
    with pytest.raises(SessionLost, match="died"):
        again.elsewhere(session)  # a number is never used twice
    assert again.home() == one.number


def test_the_load_of_a_process_counts_what_is_on_its_way_to_it():
    assert load_of(Row(1, sessions=2, taken=5, open=3), handed=7) == 2 + 3 + 2
    assert load_of(Row(1, taken=5), handed=4) == 0  # it was just started again


def test_a_row_is_never_seen_half_written(ledger: Ledger):
    code = (
        "import sys\nfrom openenv.server.processes.ledger import *\n"
        "slots = SharedSlots(Ledger(int(sys.argv[1])), 0, 1)\n"
        "for n in range(100_000): slots.connections(7, 7)\n"
    )
    ledger.begin(0)
    source = str(Path(__file__).parents[2] / "src")
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(ledger.descriptor)],
        pass_fds=(ledger.descriptor,),
        env={**os.environ, "PYTHONPATH": source},
    )
    try:
        while writer.poll() is None:
            row = ledger.rows()[0]
            assert row.number == 1
            assert {row.taken, row.open} <= {0, 7}
    finally:
        writer.kill()
        writer.wait()
    assert ledger.rows()[0].taken == 7


def test_what_was_said_on_a_line_that_was_given_up_before_it_was_there_is_not_heard():
    async def play() -> tuple[list[bytes], list[str]]:
        loop = asyncio.get_running_loop()
        heard: list[bytes] = []
        lost: list[str] = []
        over = asyncio.Event()
        ends = socket.socketpair()
        far = Line(lambda _, content: heard.append(content), over.set, 1000)
        near = Line(lambda *_: None, lambda: lost.append("near"), 1000)
        near.send(FRAME, b"resume")
        near.close()
        for line, end in zip((far, near), ends, strict=True):
            end.setblocking(False)
            await loop.connect_accepted_socket(lambda line=line: line, end)
        await asyncio.wait_for(over.wait(), BOUND_S)
        return heard, lost

    assert asyncio.run(play()) == ([], ["near"])


def test_frames_of_any_size_pass_a_line_in_order_and_a_reader_that_stops_is_noticed():
    async def play() -> tuple[list[int], bool]:
        loop = asyncio.get_running_loop()
        sizes = [0, 1, 70_000, 3, 2_000_000]
        heard: list[int] = []
        done = asyncio.Event()

        def received(_kind: bytes, content: bytes) -> None:
            heard.append(len(content))
            if len(heard) == len(sizes):
                done.set()

        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        near = Line(lambda *_: None, lambda: None, 4_000_000)
        far = Line(received, lambda: None, 4_000_000)
        await loop.connect_accepted_socket(lambda: near, ours)
        for size in sizes:
            near.send(FRAME, bytes(size))
        await loop.connect_accepted_socket(lambda: far, theirs)
        await asyncio.wait_for(done.wait(), BOUND_S)
        far._transport.pause_reading()
        taken = all(near.send(FRAME, bytes(1_000_000)) for _ in range(100))
        near.abort()
        far.abort()
        return heard, taken

    assert asyncio.run(play()) == ([0, 1, 70_000, 3, 2_000_000], False)
