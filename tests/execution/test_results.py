"""What came of running something."""

import pytest

from openenv.execution import Execution


@pytest.mark.parametrize(
    ("execution", "returncode"),
    [
        (Execution(exit_code=0), 0),
        (Execution(exit_code=255), 255),
        (Execution(exit_code=None, signal="SIGKILL"), -9),
        (Execution(exit_code=None, signal="SIGSEGV"), -11),
        (Execution(exit_code=None, signal="signal 40"), -40),
    ],
)
def test_a_return_code_is_as_that_of_a_subprocess(execution, returncode):
    assert execution.returncode == returncode
