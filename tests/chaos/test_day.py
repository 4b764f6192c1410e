"""A simulated day with few visitors; `make chaos` has thousands."""

import pytest
from tests.chaos.day import Day
from tests.sessions.ledger import Awaited

from openenv.server.manager import SessionManager
from openenv.server.multiplex import MultiplexConnection


def test_sessions_live_and_end_by_their_rules_for_a_day():
    day = Day(Awaited, crews=25, seed=7)
    day.run()
    assert day.events["opened"] > 25
    assert day.events["resumed"]
    assert day.events["ended: lease"]


@pytest.mark.parametrize(
    ("owner", "method", "instead"),
    [
        (SessionManager, "detach", lambda self, session: self.attach(session, None)),  # no lease
        (SessionManager, "_over", lambda self, session, now: None),
        (MultiplexConnection, "_notify_end", lambda self, session_id, reason: None),
    ],
    ids=["no leases", "no limits", "no notices"],
)
def test_a_server_that_breaks_a_rule_is_found_out(monkeypatch, owner, method, instead):
    monkeypatch.setattr(owner, method, instead)
    with pytest.raises(AssertionError):
        Day(Awaited, crews=25, seed=7).run()
