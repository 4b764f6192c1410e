"""What the environment variables mean."""

import pytest

from openenv import settings
from openenv.errors import ConfigurationError


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in [
        "OPENENV_MODE",
        "OPENENV_CLIENT_MODE",
        "OPENENV_MAX_MESSAGE_SIZE_MB",
        "MAX_CONCURRENT_ENVS",
        "ENABLE_WEB_INTERFACE",
        "SPACE_ID",
        "OPENENV_LINGER",
    ]:
        monkeypatch.delenv(name, raising=False)


def test_without_any_variable_the_defaults_hold():
    assert settings.max_message_size() == 100 * 1024 * 1024
    assert settings.max_concurrent_envs() is None
    assert settings.server_mode() == settings.client_mode() == "simulation"
    assert settings.web_interface() is False


@pytest.mark.parametrize(
    ("name", "text", "read", "value"),
    [
        ("OPENENV_MAX_MESSAGE_SIZE_MB", "0.5", settings.max_message_size, 512 * 1024),
        ("OPENENV_MAX_MESSAGE_SIZE_MB", "", settings.max_message_size, 100 * 1024 * 1024),
        ("MAX_CONCURRENT_ENVS", "7", settings.max_concurrent_envs, 7),
        ("MAX_CONCURRENT_ENVS", "", settings.max_concurrent_envs, None),
        ("OPENENV_MODE", "production", settings.server_mode, "production"),
        ("OPENENV_CLIENT_MODE", "production", settings.client_mode, "production"),
        ("ENABLE_WEB_INTERFACE", "true", settings.web_interface, True),
        ("ENABLE_WEB_INTERFACE", "0", settings.web_interface, False),
        ("SPACE_ID", "somebody/echo", settings.web_interface, True),
    ],
)
def test_a_variable_says(monkeypatch, name, text, read, value):
    monkeypatch.setenv(name, text)
    assert read() == value


@pytest.mark.parametrize("text", ["0", "-1", "many", "nan", "inf", "1e999"])
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("OPENENV_MAX_MESSAGE_SIZE_MB", settings.max_message_size),
        ("MAX_CONCURRENT_ENVS", settings.max_concurrent_envs),
    ],
)
def test_a_number_that_is_none_is_refused_by_name(monkeypatch, name, read, text):
    monkeypatch.setenv(name, text)
    with pytest.raises(ConfigurationError, match=f"{name}='{text}' is not a positive number"):
        read()


def test_half_a_session_is_refused(monkeypatch):
    monkeypatch.setenv("MAX_CONCURRENT_ENVS", "0.5")
    with pytest.raises(ConfigurationError, match="not a whole number"):
        settings.max_concurrent_envs()


@pytest.mark.parametrize(("processors", "text", "lingers"), [(2, "", True), (2, "0", False), (1, "", False)])
def test_nobody_lingers_on_the_only_processor_or_where_it_is_switched_off(monkeypatch, processors, text, lingers):
    monkeypatch.setattr(settings.os, "sched_getaffinity", lambda _: set(range(processors)), raising=False)
    monkeypatch.setenv("OPENENV_LINGER", text)
    assert settings.lingers() is lingers
