"""A supervised process by itself: its own streams, and being forgotten."""

import gc
import os
import sys

from tests import deep

from openenv.providers.supervised import SupervisedProcess


def read_to_end(descriptor: int) -> bytes:
    with open(descriptor, "rb") as stream:
        return stream.read()


def test_its_input_and_output_can_be_ours_and_what_it_logs_is_remembered_all_the_same():
    to_read, their_in = os.pipe()
    their_out, to_write = os.pipe()
    program = "import sys; print(sys.stdin.read()[::-1]); print('done', file=sys.stderr)"
    command = [sys.executable, "-I", "-S", "-c", program]
    process = SupervisedProcess(command, env=dict(os.environ), stdin=to_read, stdout=to_write)
    os.close(to_read)
    os.close(to_write)
    os.write(their_in, b"abc")
    os.close(their_in)
    assert read_to_end(their_out) == b"cba\n"
    process.stop(10)
    assert process.exit_code() == 0
    assert process.log.tail(5) == "done"


def test_one_that_has_ended_by_itself_can_be_forgotten_without_a_warning():
    output, write = os.pipe()
    process = SupervisedProcess(["true"], env=dict(os.environ), stdout=write)
    os.close(write)
    assert read_to_end(output) == b""  # all of it is gone
    process.log.finish(10)
    del process
    gc.collect()


def test_folders_too_deep_for_a_recursion_are_removed_with_it(tmp_path):
    folder = tmp_path / "made for it"
    folder.mkdir()
    deep.fill(folder)
    process = SupervisedProcess(["true"], env=dict(os.environ), folders=[str(folder)])
    assert process.wait() == 0
    assert process.log.tail(5) == ""
    assert not folder.exists()
