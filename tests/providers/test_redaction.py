"""What is hidden in text that people see."""

import json
import re
from functools import partial
from urllib.parse import quote, quote_plus

import pytest

from openenv.providers import redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def-123=", "Authorization: Bearer ***"),
        ("x-api-key: 0123456789abcdef", "x-api-key: ***"),
        ('{"api_key": "0123-456789"}', '{"api_key": "***"}'),
        ("token hf_AbCdEf0123456789 used", "token hf_*** used"),
        ("with sk-proj-0123456789abcdef", "with sk-***"),
        ("at https://user:pass@host:8000/x", "at https://***@host:8000/x"),
        ("at redis://:pass@host", "at redis://***@host"),
        ("git+https://ghp_AbCd0123456789efGH@github.com/o/e.git", "git+https://***@github.com/o/e.git"),
        ("https://0123456789abcdef@git.example.com/o", "https://***@git.example.com/o"),
        ("https://x-access-token:ghs_AbCd0123456789efGH@github.com", "https://***@github.com"),
        ("ssh://ghp_AbCd0123456789efGH@github.com/o", "ssh://ghp_***@github.com/o"),
        ("is ghp_AbCd0123456789efGHijKL0123456789mnop.", "is ghp_***."),
        ("is github_pat_11ABCDEFG0abcdefghijkl_0123456789abcdef.", "is github_pat_***."),
        ("is AKIAIOSFODNN7EXAMPLE.", "is AKIA***."),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text, shown):
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8000/health",
        "hf_hub_download",
        "a bearer",
        "user@host:22",
        "ssh://git@github.com/owner/env.git",
        "git+file:///srv/env@v1",
        "https://github.com/owner/env.git@main",
        "https://example.com?mail=ada@example.com",
        'see "https://example.com", "ada@example.com"',
        "ghp_is_a_prefix_of_tokens",
        "github_pat_tokens_are_the_newer_ones",
        "AKIA and the ASIAN_MARKETS_OF_TODAY",
        "compass, bypass and pass",
    ],
)
def test_what_only_resembles_one_is_left(text):
    assert redact(text) == text


@pytest.mark.parametrize(
    "name",
    [
        "API_KEY",
        "HF_TOKEN",
        "client_secret",
        "DB_PASSWORD",
        "SMTP_PASS",
        "PGPASS",
        "AZURE_STORAGE_CONNECTION_STRING",
    ],
)
def test_values_of_variables_with_a_secrets_name_are_hidden(name, monkeypatch):
    assert redact("it is s3cr3t!", {name: "s3cr3t!"}) == "it is ***"
    monkeypatch.setenv(name, "s3cr3t!")
    assert redact("it is s3cr3t!") == "it is ***"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOME", "somewhere"),
        ("TOKENIZERS_PARALLELISM", "somewhere"),
        ("USE_TOKEN", "true"),
        ("KEY", "no"),
        ("N_PASSES", "1000"),
        ("COMPASS", "north"),
        ("PASS_RATE", "0.95"),
        ("CONNECTION_TIMEOUT", "1000"),
    ],
)
def test_other_values_are_left(name, value):
    assert redact(f"it is {value}", {name: value}) == f"it is {value}"


def test_a_secret_that_contains_another_is_hidden_whole():
    assert redact("longer-than", {"A_KEY": "longer", "B_KEY": "longer-than"}) == "***"


@pytest.mark.parametrize(
    "escape",
    [json.dumps, partial(json.dumps, ensure_ascii=False), repr, quote, partial(quote, safe=""), quote_plus],
)
def test_a_secret_is_hidden_in_every_spelling(escape):
    secret = """a"b\\c'd/e f&ü\ng/h="i\""""
    shown = redact(f"it is {escape(secret)}", {"API_KEY": secret})
    assert re.fullmatch(r"""it is ["']?\*\*\*(\\n|%0A)\*\*\*["']?""", shown)


def test_a_key_of_many_lines_is_hidden_line_by_line():
    assert redact("x\n  second\ny", {"PRIVATE_KEY": "first\nsecond\n"}) == "x\n  ***\ny"
