"""The wait for a healthy server, and what it says when there is none."""

from threading import Event

import pytest

from openenv.errors import ProviderNotReadyError
from openenv.providers.readiness import wait_until_healthy


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("busy", "GET /health answers 503"),
        ("sick", "GET /health answers {'status': 'sick'}"),
        ("garbled", "not JSON"),
        ("mute", "not answered"),
    ],
)
def test_the_error_says_what_was_wrong_last(toy, eventually, mode, reason):
    provider = toy(mode)
    provider.start()

    def said() -> str:
        with pytest.raises(ProviderNotReadyError) as caught:
            provider.wait_for_ready(0.1)
        return str(caught.value)

    assert eventually(lambda: reason in said()), "not even when it had time to start"


def test_every_replica_is_waited_for(toy, eventually):
    with toy() as healthy:
        sick = toy("sick")
        urls = [healthy.base_url, sick.start()]

        def problem() -> str | None:
            return wait_until_healthy(urls, timeout_s=0.1, check_alive=sick.check_alive, interrupted=Event())

        assert eventually(lambda: problem() == "GET /health answers {'status': 'sick'}")


def test_an_address_that_nobody_listens_at_is_told():
    problem = wait_until_healthy(
        ["http://127.0.0.1:1"], timeout_s=0.03, check_alive=lambda: None, interrupted=Event()
    )
    assert problem.startswith("GET /health fails: ")


def test_without_any_time_nothing_is_asked(toy):
    with toy() as provider, pytest.raises(ProviderNotReadyError, match="was not asked"):
        provider.wait_for_ready(0)


def test_a_proxy_of_the_surroundings_is_not_asked_for_loopback(toy, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with toy() as provider:
        assert provider.urls
