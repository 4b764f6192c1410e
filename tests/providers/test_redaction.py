"""What is hidden in text that people see."""

import pytest

from openenv.providers import redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def-123=", "Authorization: Bearer ***"),
        ("token hf_AbCdEf0123456789 used", "token hf_*** used"),
        ("with sk-proj-0123456789abcdef", "with sk-***"),
        ("at https://user:pass@host:8000/x", "at https://***@host:8000/x"),
        ("at redis://:pass@host", "at redis://***@host"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text, shown):
    assert redact(text) == shown


@pytest.mark.parametrize("text", ["http://127.0.0.1:8000/health", "hf_hub_download", "a bearer", "user@host:22"])
def test_what_only_resembles_one_is_left(text):
    assert redact(text) == text


@pytest.mark.parametrize("name", ["API_KEY", "HF_TOKEN", "client_secret", "DB_PASSWORD"])
def test_values_of_variables_with_a_secrets_name_are_hidden(name, monkeypatch):
    assert redact("it is s3cr3t!", {name: "s3cr3t!"}) == "it is ***"
    monkeypatch.setenv(name, "s3cr3t!")
    assert redact("it is s3cr3t!") == "it is ***"


@pytest.mark.parametrize(
    ("name", "value"),
    [("HOME", "somewhere"), ("TOKENIZERS_PARALLELISM", "somewhere"), ("USE_TOKEN", "true"), ("KEY", "no")],
)
def test_other_values_are_left(name, value):
    assert redact(f"it is {value}", {name: value}) == f"it is {value}"


def test_a_secret_that_contains_another_is_hidden_whole():
    assert redact("longer-than", {"A_KEY": "longer", "B_KEY": "longer-than"}) == "***"


def test_a_key_of_many_lines_is_hidden_line_by_line():
    assert redact("x\n  second\ny", {"PRIVATE_KEY": "first\nsecond\n"}) == "x\n  ***\ny"
