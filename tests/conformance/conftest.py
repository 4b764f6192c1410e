"""Running the conformance suite, or some of it, against a server of this process."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.servers import BOUND_S, Server

from openenv.validation.checks import Result, run, select
from openenv.validation.conformance import ServerUnderTest, checks_of

Conform = Callable[..., list[Result]]


@pytest.fixture
def conform() -> Conform:
    """A function that runs checks: `conform(server, "v2.replay", timeout_s=1)`; without names, all of them.

    The time is for answers; reaching the server at all may take longer.
    """

    def results(server: Server | str, *only: str, timeout_s: float = BOUND_S, **options: Any) -> list[Result]:
        url = server if isinstance(server, str) else server.url
        with ServerUnderTest(url, **options) as subject:
            subject.reach()
            subject.timeout_s = timeout_s
            return list(run(select(checks_of(), only), subject, subject.clean_up))

    return results
