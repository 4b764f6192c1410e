"""Takes secrets out of text before people see it: one function for every log tail and every error.

It errs on the side of hiding too much. A word lost from a log line costs a second look, a token in a bug
report costs a token.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

from openenv import settings

__all__ = ["names_a_secret", "redact"]

HIDDEN = "***"

# TOKENIZERS_PARALLELISM and its kind are the one frequent name that only looks like a secret's.
_SECRET_NAME = re.compile(
    r"TOKEN(?!IZER)|KEY|SECRET|PASSWORD|PASSWD|PASSPHRASE|(?:_|^|PG)PASS$|CREDENTIAL|CONNECTION_?STRING",
    re.IGNORECASE,
)
_NOT_SECRET = frozenset({"true", "false", "none", "null"})
_SHORTEST = 4

# How tokens begin, and what must follow so that it is no word. One expression, for each looks at every letter.
_TOKEN = "|".join(
    (
        r"hf_(?=[A-Za-z0-9]{10})",
        r"sk-(?=[\w-]{16})",
        r"gh[opsur]_(?=[A-Za-z0-9]{16})",
        r"github_pat_(?=[A-Za-z0-9]{16})",
        r"A[KS]IA(?=[A-Z0-9]{16}\b)",
    )
)
_PATTERNS = (
    (re.compile(r"\b(Bearer\s+)[\w.~+/=-]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"\b(api[-_]?key[\"']?\s?[:=]\s?[\"']?)[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(rf"\b({_TOKEN})[\w-]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(://)[^\s/:@]*:[^\s/@]+@"), rf"\1{HIDDEN}@"),
    # A user alone is a token as a rule; that of ssh is a name.
    (re.compile(r"(://(?:(?<=http://)|(?<=https://)))[^\s/?#@\"<>]+@"), rf"\1{HIDDEN}@"),
)


def redact(text: str, env_vars: Mapping[str, str] | None = None) -> str:
    """Return the text with every known or likely secret replaced by `***`.

    Hidden are: values (of four characters or more) of environment variables whose name contains TOKEN, KEY,
    SECRET, PASSWORD, PASSWD, PASSPHRASE, CREDENTIAL or CONNECTION_STRING, or ends in _PASS, also where they are
    escaped for JSON, Python or a URL; what follows `Bearer` or `api-key:`; tokens of Hugging Face (`hf_`), of
    OpenAI (`sk-`), of GitHub (`ghp_`, `github_pat_` and their kind) and of AWS (`AKIA`, `ASIA`); user and password
    in a URL.

    Args:
        text: Anything a server wrote or an error says.
        env_vars: Variables to look at besides those of this process, such as those given to a server.
    """
    secrets = {*_secrets(settings.inherited_environment()), *_secrets(env_vars or {})}
    for secret in sorted(secrets, key=len, reverse=True):  # the longer first: one may contain another
        text = text.replace(secret, HIDDEN)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def names_a_secret(name: str) -> bool:
    """Return whether a variable of this name has a value that nobody is to see."""
    return _SECRET_NAME.search(name) is not None


def _secrets(env_vars: Mapping[str, str]) -> Iterator[str]:
    for name, value in env_vars.items():
        if names_a_secret(name):
            # A key of many lines shows up in a log line by line.
            for line in value.splitlines():
                secret = line.strip()
                if len(secret) >= _SHORTEST and secret.lower() not in _NOT_SECRET:
                    yield from _spellings(secret)


@functools.lru_cache(maxsize=1024)
def _spellings(secret: str) -> frozenset[str]:
    """Return a secret as it is, and as it is written in JSON, in Python and in a URL."""
    if secret.isalnum() and secret.isascii():
        return frozenset({secret})
    quoted = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])
    return frozenset({secret, *quoted, quote(secret), quote(secret, safe=""), quote_plus(secret)})
