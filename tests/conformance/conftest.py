"""Running the conformance suite, or some of it, against a server of this process."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.servers import Server

from openenv.validation.checks import Result, run, select
from openenv.validation.conformance import ServerUnderTest, checks_of

Conform = Callable[..., list[Result]]


@pytest.fixture
def conform() -> Conform:
    """A function that runs checks: `conform(server, "v2.replay", timeout_s=1)`; without names, all of them."""

    def results(server: Server | str, *only: str, **options: Any) -> list[Result]:
        url = server if isinstance(server, str) else server.url
        with ServerUnderTest(url, **options) as subject:
            subject.reach()
            return list(run(select(checks_of(), only), subject, subject.clean_up))

    return results
