"""What every provider has to do, as tests to inherit.

```python
from openenv.testing import ProviderContract

class TestMyProvider(ProviderContract):
    def make_provider(self):
        return MyProvider(image="echo-env:latest")
```

The tests use a provider as its callers do and look at it from outside only, so they hold for any backend.
What a backend cannot be asked to do, such as a server that dies at once, is skipped with a reason.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence

import httpx
import pytest

from openenv.errors import ProviderError, ProviderNotReadyError, ProviderStartError
from openenv.providers import Provider

__all__ = ["ProviderContract"]

PATIENCE_S = 30.0


class ProviderContract:
    """Tests of one provider. Inherit it in a class whose name starts with `Test`, override `make_provider`.

    Attributes:
        loopback: Whether the servers must be reachable from this machine only.
        last_words: What the server of `make_dying_provider` writes before it ends.
        patience_s: Seconds that one start and stop may take together; more for a backend that is slow.
    """

    loopback: bool = True
    last_words: str = "the weights are missing"
    patience_s: float = PATIENCE_S

    # --- to override -----------------------------------------------------------------------------

    def make_provider(self) -> Provider:
        """Return a new provider of a server that works."""
        raise NotImplementedError(f"{type(self).__name__} must override make_provider()")

    def make_dying_provider(self) -> Provider:
        """Return a new provider whose server writes `last_words` and ends before it is ready."""
        pytest.skip("make_dying_provider() is not overridden")

    def make_unready_provider(self) -> Provider:
        """Return a new provider whose server runs and never is healthy, with a short `ready_timeout_s`."""
        pytest.skip("make_unready_provider() is not overridden")

    def leftovers(self, provider: Provider) -> Sequence[object]:
        """Return what a stopped provider has left behind in its backend: processes, containers, volumes."""
        return ()

    # --- the contract ----------------------------------------------------------------------------

    def test_it_starts_and_becomes_healthy(self) -> None:
        """`start` gives the first base URL, and `wait_for_ready` returns once every server is healthy."""
        with _stopped_at_last(self.make_provider()) as provider:
            url = provider.start()
            provider.wait_for_ready()
            assert url == provider.base_url == provider.urls[0]
            assert all(_is_healthy(provider, each) for each in provider.urls)

    def test_there_is_one_http_url_for_each_replica(self) -> None:
        """Addresses are plain base URLs, on loopback unless the backend is elsewhere."""
        with self.make_provider() as provider:
            assert len(set(provider.urls)) == provider.replicas
            for url in map(httpx.URL, provider.urls):
                assert url.scheme in ("http", "https")
                assert url.path in ("", "/")
                assert not self.loopback or _is_loopback(url.host), f"{url} is open to other machines"

    def test_stop_before_start_does_nothing(self) -> None:
        """A provider that was never started can be stopped, and started afterwards."""
        provider = self.make_provider()
        provider.stop()
        with provider:
            assert _is_healthy(provider, provider.base_url)

    def test_stop_may_be_called_again(self) -> None:
        """The second call does nothing."""
        with self.make_provider() as provider:
            provider.stop()
            provider.stop()

    def test_nothing_is_left_after_stop(self) -> None:
        """The server is gone from its address and from its backend, and the provider knows no URL."""
        with self.make_provider() as provider:
            urls = provider.urls
        self._assert_gone(provider, urls)

    def test_it_can_be_started_again_after_stop(self) -> None:
        """A stopped provider is as good as new."""
        provider = self.make_provider()
        for _ in range(2):
            with provider:
                assert _is_healthy(provider, provider.base_url)

    def test_a_second_start_is_refused_and_the_first_goes_on(self) -> None:
        """One provider runs one set of servers; a caller who wants two makes two."""
        with self.make_provider() as provider:
            url = provider.base_url
            with pytest.raises(ProviderStartError, match="running already"):
                provider.start()
            with pytest.raises(ProviderStartError, match="running already"), provider:
                pass
            with pytest.raises(ProviderStartError, match="running already"):
                _run(provider.__aenter__, self.patience_s)
            assert provider.base_url == url
            assert _is_healthy(provider, url)

    def test_a_provider_that_does_not_run_has_no_url(self) -> None:
        """Asking for it is told what to do, not answered with an old address."""
        provider = self.make_provider()
        assert provider.urls == []
        with pytest.raises(ProviderError, match=r"start\(\)"):
            _ = provider.base_url

    def test_logs_are_text_of_at_most_the_lines_asked_for(self) -> None:
        """Logs can be read at any time, before the start and after the end too."""
        provider = self.make_provider()
        assert provider.logs() == ""
        with provider:
            assert len(provider.logs(tail=1).splitlines()) <= 1
        assert isinstance(provider.logs(), str)

    def test_the_context_manager_stops_it_when_the_body_fails(self) -> None:
        """The body's error comes out, and the server is gone."""
        urls: list[str] = []
        provider = self.make_provider()

        def use() -> None:
            with provider:
                urls.extend(provider.urls)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            use()
        self._assert_gone(provider, urls)

    def test_the_async_context_manager_does_the_same(self) -> None:
        """Ready inside, gone outside, also when the body fails."""
        urls: list[str] = []
        provider = self.make_provider()

        async def use() -> None:
            async with provider:
                urls.extend(provider.urls)
                assert await asyncio.to_thread(_is_healthy, provider, provider.base_url)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            _run(use, self.patience_s)
        self._assert_gone(provider, urls)

    def test_cancelling_an_async_start_leaves_nothing(self) -> None:
        """Whatever came up by then is stopped before the cancellation goes on."""
        provider = self.make_provider()

        async def use() -> None:
            starting = asyncio.create_task(provider.astart())
            await asyncio.sleep(0)  # let it begin
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting

        _run(use, self.patience_s)
        self._assert_gone(provider, [])

    def test_cancelling_the_wait_inside_the_async_context_manager_leaves_nothing(self) -> None:
        """An `async with` that is cancelled while the server gets ready has stopped it when it returns."""
        provider = self.make_unready_provider()
        provider.ready_timeout_s = PATIENCE_S

        async def use() -> None:
            entering = asyncio.create_task(provider.__aenter__())
            while not provider.urls:  # noqa: ASYNC110 - a provider has no event to wait for
                await asyncio.sleep(0.005)
            entering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await entering

        _run(use, self.patience_s)
        self._assert_gone(provider, [])

    def test_stop_from_another_thread_ends_the_wait(self) -> None:
        """Nobody waits on for what was stopped."""
        provider = self.make_unready_provider()
        with _stopped_at_last(provider):
            provider.start()
            stopper = threading.Thread(target=provider.stop)
            stopper.start()
            with pytest.raises(ProviderError, match=r"stopped|not running"):
                provider.wait_for_ready(PATIENCE_S)
            stopper.join(PATIENCE_S)
        self._assert_gone(provider, [])

    def test_a_server_that_dies_at_start_shows_its_last_lines(self) -> None:
        """The wait ends at once, and the error says what the server said."""
        provider = self.make_dying_provider()
        provider.ready_timeout_s = PATIENCE_S
        with pytest.raises(ProviderStartError) as caught, provider:
            pass
        assert self.last_words in caught.value.log_tail
        assert self.last_words in str(caught.value)
        self._assert_gone(provider, [])

    def test_a_server_that_never_gets_ready_is_stopped_and_the_budget_named(self) -> None:
        """The error gives the budget's length and the name of the setting that changes it."""
        provider = self.make_unready_provider()
        with pytest.raises(ProviderNotReadyError) as caught, provider:
            pass
        assert f"{provider.ready_timeout_s:g} s" in str(caught.value)
        assert "ready_timeout_s" in str(caught.value)
        self._assert_gone(provider, [])

    def _assert_gone(self, provider: Provider, urls: Sequence[str]) -> None:
        assert provider.urls == []
        still_there = [url for url in urls if self.loopback and _accepts(url)]
        assert not still_there, f"connections are still accepted at {still_there}"
        left = list(self.leftovers(provider))
        assert not left, f"left behind: {left}"


class _stopped_at_last:  # noqa: N801 - reads as a statement
    """Stops a provider at the end of a block; unlike the provider's own block it starts nothing."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def __enter__(self) -> Provider:
        return self._provider

    def __exit__(self, *_: object) -> None:
        self._provider.stop()


def _run(main: Callable[[], Awaitable[object]], patience_s: float) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(main(), patience_s)

    asyncio.run(bounded())


def _is_healthy(provider: Provider, url: str) -> bool:
    # Loading the certificates takes longer than all the rest of most tests.
    secure = url.startswith("https:")
    response = httpx.get(
        f"{url.rstrip('/')}/health",
        headers=dict(provider.headers_for(url)),
        timeout=PATIENCE_S,
        trust_env=secure,
        verify=secure,
    )
    return bool(response.json() == {"status": "healthy"})


def _is_loopback(host: str) -> bool:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def _accepts(url: str) -> bool:
    parts = httpx.URL(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.host, port), timeout=1.0).close()
    except OSError:
        return False
    return True
