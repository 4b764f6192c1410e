"""Takes secrets out of text before people see it: one function for every log tail and every error.

It errs on the side of hiding too much. A word lost from a log line costs a second look, a token in a bug
report costs a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from openenv import settings

__all__ = ["redact"]

HIDDEN = "***"

# TOKENIZERS_PARALLELISM and its kind are the one frequent name that only looks like a secret's.
_SECRET_NAME = re.compile(r"TOKEN(?!IZER)|KEY|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
_NOT_SECRET = frozenset({"true", "false", "none", "null"})
_SHORTEST = 4

_PATTERNS = (
    (re.compile(r"\b(Bearer\s+)[\w.~+/=-]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"\bhf_[A-Za-z0-9]{10,}"), f"hf_{HIDDEN}"),
    (re.compile(r"\bsk-[\w-]{16,}"), f"sk-{HIDDEN}"),
    (re.compile(r"(://)[^\s/:@]*:[^\s/@]+@"), rf"\1{HIDDEN}@"),
)


def redact(text: str, env_vars: Mapping[str, str] | None = None) -> str:
    """Return the text with every known or likely secret replaced by `***`.

    Hidden are: values (of four characters or more) of environment variables whose name contains TOKEN, KEY,
    SECRET, PASSWORD, PASSWD or CREDENTIAL; what follows `Bearer`; tokens that start with `hf_` or `sk-`; user
    and password in a URL.

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


def _secrets(env_vars: Mapping[str, str]) -> Iterator[str]:
    for name, value in env_vars.items():
        if _SECRET_NAME.search(name):
            # A key of many lines shows up in a log line by line.
            for line in value.splitlines():
                secret = line.strip()
                if len(secret) >= _SHORTEST and secret.lower() not in _NOT_SECRET:
                    yield secret
