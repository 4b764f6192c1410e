"""The fuzz targets, each for a second and always alike; `make fuzz` gives them minutes."""

import pytest
from hypothesis import settings
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_nothing_but_typed_errors(target):
    target.run(settings(max_examples=60))
