"""The bounded memory of what a process wrote."""

import os

import pytest

from openenv.providers.log_tail import KEPT_BYTES, LogTail


@pytest.fixture
def written():
    """The tail of what was written, once all of it has been read."""

    def write(content: bytes, *, lines: int = 100) -> LogTail:
        read_end, write_end = os.pipe()
        log = LogTail(os.fdopen(read_end, "rb"), lines=lines)
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(content)
        log.finish(5)
        return log

    return write


def test_the_last_lines_come_oldest_first(written):
    assert written(b"a\nb\nc\n").tail(2) == "b\nc"


def test_a_last_line_without_an_end_is_shown(written):
    assert written(b"a\nb").tail(5) == "a\nb"


def test_no_more_lines_are_kept_than_wanted(written):
    log = written(b"a\nb\nc\n", lines=2)
    assert log.tail(5) == "b\nc"
    assert log.tail(0) == log.tail(-1) == ""


def test_memory_is_bounded_and_the_first_line_is_never_half_a_line(written):
    line = b"0123456789" * 7
    log = written(b"\n".join([line] * 20_000), lines=100_000)
    kept = log.tail(100_000).split("\n")
    assert set(kept) == {line.decode()}
    assert KEPT_BYTES - len(line) <= len(kept) * (len(line) + 1) <= 2 * KEPT_BYTES


def test_escape_sequences_do_not_reach_the_readers_terminal(written):
    assert written(b"\x1b[31mred\x1b[0m\x07 \x1b]0;title\x07tab\there\x1b[2J").tail(1) == "red 0;titletab\there"


def test_of_a_progress_bar_the_last_state_is_shown(written):
    assert written(b"10%\r50%\r100%\r\ndone\r\n").tail(5) == "100%\ndone"


def test_bytes_that_are_no_text_are_shown_as_such(written):
    assert written(b"\xff\xfe ok\n").tail(1) == "\ufffd\ufffd ok"
