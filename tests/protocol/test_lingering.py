"""When an event loop is kept awake for a frame, and when it is left to sleep."""

import pytest

from openenv.protocol import lingering
from openenv.protocol.lingering import MOMENT_S, REST, Lingering


class Loop:
    """An event loop and a clock that are moved by hand."""

    def __init__(self):
        self.now = 1.0
        self.ready = []

    def call_soon(self, callback):
        self.ready.append(callback)

    @property
    def awake(self):
        return bool(self.ready)

    def turn(self, seconds=0.0):
        self.now += seconds
        ready, self.ready = self.ready, []
        for callback in ready:
            callback()


@pytest.fixture
def loop(monkeypatch):
    made = Loop()
    monkeypatch.setattr(lingering, "perf_counter", lambda: made.now)
    monkeypatch.setattr(lingering.asyncio, "get_running_loop", lambda: made)
    return made


def exchange(loop, line, after):
    """Wait for a frame that comes after so many seconds."""
    line.expect()
    loop.turn(after)
    line.came()
    loop.turn()


def test_nobody_stays_awake_for_the_first_frame(loop):
    Lingering().expect()
    assert not loop.awake


def test_after_a_frame_that_came_soon_the_loop_stays_awake_until_the_next(loop):
    line = Lingering()
    exchange(loop, line, MOMENT_S / 2)
    line.expect()
    loop.turn(MOMENT_S / 2)
    assert loop.awake
    line.came()
    loop.turn()
    assert not loop.awake


def test_after_a_frame_that_was_slow_the_loop_sleeps(loop):
    line = Lingering()
    exchange(loop, line, MOMENT_S / 2)
    exchange(loop, line, MOMENT_S * 2)
    line.expect()
    assert not loop.awake


def test_a_moment_in_vain_is_followed_by_a_rest(loop):
    line = Lingering()
    exchange(loop, line, MOMENT_S / 2)
    line.expect()
    loop.turn(MOMENT_S)
    assert not loop.awake
    line.came()
    exchange(loop, line, MOMENT_S / 2)
    line.expect()
    assert not loop.awake
    loop.turn(MOMENT_S * REST)
    exchange(loop, line, MOMENT_S / 2)
    line.expect()
    assert loop.awake


def test_the_rest_is_as_long_as_what_others_took_of_the_processor(loop):
    line = Lingering()
    exchange(loop, line, MOMENT_S / 2)
    line.expect()
    loop.now += 0.01  # no turn of the loop in all that time
    line.came()
    loop.turn()
    loop.now += 0.01 * REST / 2
    exchange(loop, line, MOMENT_S / 2)
    line.expect()
    assert not loop.awake


def test_a_loop_that_is_awake_already_is_kept_so_by_one_turn_at_a_time(loop):
    line = Lingering()
    exchange(loop, line, MOMENT_S / 2)
    for _ in range(3):
        line.expect()
        line.came()
    line.expect()
    assert len(loop.ready) == 1
