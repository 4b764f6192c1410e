"""Providers written for older releases, called by old and by new code."""

import asyncio

import pytest

from openenv.errors import ConfigurationError, ProviderError, ProviderStartError
from openenv.providers import ContainerProvider, RuntimeProvider, Source

URL = "http://127.0.0.1:1"


class OldContainers(ContainerProvider):
    """As in the field: no `super().__init__()`, a URL that has to be given, a timeout that is a number."""

    def __init__(self):
        self.calls = []

    def start_container(self, image, port=None, env_vars=None, **kwargs):
        self.calls.append(("start", image, port, env_vars, kwargs))
        return URL

    def wait_for_ready(self, base_url, timeout_s=30.0):
        self.calls.append(("wait", base_url, timeout_s + 0))

    def stop_container(self):
        self.calls.append(("stop",))


class OldRuntime(RuntimeProvider):
    def __init__(self):
        self.calls = []

    def start(self, port=None, env_vars=None, workers=1, **_):
        self.calls.append(("start", port, env_vars, workers))
        self.base_url = f"http://127.0.0.1:{port or 1}"
        return self.base_url

    def wait_for_ready(self, timeout_s=30.0):
        self.calls.append(("wait", timeout_s + 0))

    def stop(self):
        self.calls.append(("stop",))


def test_an_old_container_provider_is_called_by_new_code():
    provider = OldContainers()
    assert provider.start(Source(image="echo-env:latest")) == URL
    assert provider.urls == [URL]
    provider.wait_for_ready()
    provider.wait_for_ready(5)
    provider.wait_for_ready(timeout_s=6)
    provider.stop()
    provider.stop()
    assert provider.urls == []
    assert provider.calls == [
        ("start", "echo-env:latest", None, None, {}),
        ("wait", URL, 30.0),
        ("wait", URL, 5),
        ("wait", URL, 6),
        ("stop",),
    ]


def test_an_old_container_provider_is_called_by_old_code():
    provider = OldContainers()
    url = provider.start_container("echo-env:latest", 8000, {"A": "b"}, memory="1g")
    provider.wait_for_ready(url, timeout_s=5.0)
    provider.wait_for_ready(base_url=url)
    provider.stop_container()
    assert provider.calls == [
        ("start", "echo-env:latest", 8000, {"A": "b"}, {"memory": "1g"}),
        ("wait", URL, 5.0),
        ("wait", URL, 30.0),
        ("stop",),
    ]


def test_what_was_started_the_old_way_can_be_stopped_the_new_way():
    provider = OldContainers()
    provider.start_container("image")
    assert provider.base_url == URL
    with pytest.raises(ProviderStartError, match="running already"):
        provider.start(Source(image="image"))
    provider.stop()
    assert provider.calls[-1] == ("stop",)
    with pytest.raises(ProviderError, match="not running"):
        _ = provider.base_url


def test_options_reach_an_old_container_provider_through_start():
    provider = OldContainers()
    provider.start(Source(image="image"), env_vars={"A": "b"}, memory="1g")
    assert provider.calls == [("start", "image", None, {"A": "b"}, {"memory": "1g"})]


def test_the_image_of_the_provider_goes_before_the_one_of_the_client():
    provider = OldContainers()
    provider.image = "mine:1"
    provider.start(Source(image="echo-env:latest"))
    assert provider.calls[0][1] == "mine:1"


def test_without_any_image_the_error_says_how_to_give_one():
    with pytest.raises(ConfigurationError, match="start_container"):
        OldContainers().start()


def test_a_subclass_of_an_old_provider_may_call_its_parent():
    class WithGpu(OldContainers):
        def start_container(self, image, **kwargs):
            return super().start_container(image, gpus=1, **kwargs)

        def stop_container(self):
            super().stop_container()
            self.calls.append(("cleaned",))

    provider = WithGpu()
    provider.start(Source(image="image"))
    provider.stop()
    assert provider.calls == [("start", "image", None, None, {"gpus": 1}), ("stop",), ("cleaned",)]


def test_a_container_provider_may_leave_the_wait_to_the_base_class():
    class Waits(ContainerProvider):
        def start_container(self, image, port=None, env_vars=None, **kwargs):
            return URL

        def stop_container(self):
            pass

    provider = Waits()
    url = provider.start_container("image")
    for arguments in ((), (0.01,), (url, 0.01)):
        provider.ready_timeout_s = 0.01
        with pytest.raises(TimeoutError, match=r"0\.01 s"):
            provider.wait_for_ready(*arguments)
    provider.stop()


def test_an_old_runtime_provider_is_called_by_new_code():
    provider = OldRuntime()
    assert provider.start(Source(package="echo_env")) == URL
    provider.wait_for_ready()
    assert provider.urls == [URL]
    provider.stop()
    provider.stop()
    assert provider.calls == [("start", None, None, 1), ("wait", 30.0), ("stop",)]


def test_an_old_runtime_provider_is_called_by_old_code():
    provider = OldRuntime()
    assert provider.start(8000, {"A": "b"}, workers=2) == "http://127.0.0.1:8000"
    provider.wait_for_ready(timeout_s=5)
    provider.stop()
    assert provider.calls == [("start", 8000, {"A": "b"}, 2), ("wait", 5), ("stop",)]


@pytest.mark.parametrize("kind", [OldContainers, OldRuntime])
def test_old_providers_are_context_managers_of_both_kinds(kind):
    provider = kind()
    provider.image = "image"

    async def use():
        async with provider:
            assert provider.base_url == URL

    with provider:
        assert provider.base_url == URL
    asyncio.run(use())
    assert [call[0] for call in provider.calls] == ["start", "wait", "stop"] * 2


def test_a_start_that_fails_is_cleaned_up_and_its_error_comes_out():
    class Fails(OldContainers):
        def start_container(self, image, port=None, env_vars=None, **kwargs):
            raise OSError("no engine")

        def stop_container(self):
            super().stop_container()
            raise OSError("nothing to stop")

    provider = Fails()
    with pytest.raises(OSError, match="no engine") as caught:
        provider.start_container("image")
    assert provider.calls == [("stop",)]
    assert "nothing to stop" in caught.value.__notes__[0]
    provider.stop_container = lambda: None  # let it be stopped at exit


def test_both_classes_are_abstract():
    for kind in (ContainerProvider, RuntimeProvider):
        with pytest.raises(TypeError, match="abstract"):
            kind()
