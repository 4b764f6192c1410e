"""TRL plays environments, by its own code: see `scripted`."""

from contextlib import contextmanager

import pytest

pytest.importorskip("trl", reason="needs the extra openenv[trl]")

from tests.integrations.scripted import Scripted

from openenv.integrations.trl import environment_factory
from openenv.testing import AdapterContract

# What libraries warn of in their own code is theirs; the last that fits counts.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "error:::openenv"),
    pytest.mark.xdist_group("trl"),
]

KINDS = [{}, {"trouble": "other_tools"}]


class TestContract(AdapterContract):
    """What TRL does with an environment that misbehaves."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path

    @contextmanager
    def adapter(self, url, budget_s):
        with environment_factory(url, rows=KINDS, timeout_s=budget_s, wait_s=budget_s) as factory:
            yield Scripted(factory, self.folder).play
