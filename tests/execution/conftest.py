"""The tests of backends are in a module to inherit from, whose assertions are to be told, too."""

import pytest

pytest.register_assert_rewrite("tests.execution.contract")
