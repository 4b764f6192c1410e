"""What an MCP server is: a command to run or a URL to connect to, and all that belongs to it.

Two environments with equal addresses speak to the same server, which is what sharing one goes by.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from openenv import settings
from openenv.errors import ConfigurationError
from openenv.providers.redaction import redact

__all__ = ["ServerAddress"]

# What a command gets of this process's variables: what any program needs, and no secrets among it.
INHERITED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "SSL_CERT_FILE", "TERM", "TMPDIR", "TZ", "USER")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S*")


@dataclass(frozen=True)
class ServerAddress:
    """Where a server is and how to get there.

    Attributes:
        command: The command line; empty if it is a URL.
        url: The URL; None if it is a command.
        env: Environment variables of the command that are given beside those it inherits.
        cwd: The working folder of the command; None for the current one.
        headers: HTTP headers of every request to the URL.
    """

    command: tuple[str, ...] = ()
    url: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    cwd: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(
        cls,
        server: str | Sequence[str],
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ServerAddress:
        """Read it from what people write.

        Args:
            server: A URL, a command line as a shell takes it, or its words.
            env: Environment variables for a command.
            cwd: Working folder of a command.
            headers: HTTP headers for a URL.

        Raises:
            ConfigurationError: It is neither a command nor a URL, or something is given that does not go with it.
        """
        if isinstance(server, str) and _URL.fullmatch(server.strip()):
            return cls._of_url(server.strip(), env, cwd, headers)
        if headers:
            raise ConfigurationError("headers are for an MCP server at a URL; a command gets env")
        return cls(
            command=_words(server),
            env=tuple(sorted((env or {}).items())),
            cwd=None if cwd is None else os.path.abspath(cwd),
        )

    @classmethod
    def _of_url(cls, url: str, env: object, cwd: object, headers: Mapping[str, str] | None) -> ServerAddress:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"{redact(url)!r} is not an http:// or https:// URL of an MCP server")
        if env or cwd:
            raise ConfigurationError("env and cwd are for an MCP server that is a command; a URL gets headers")
        return cls(url=url, headers=tuple(sorted((headers or {}).items())))

    @property
    def name(self) -> str:
        """How errors call it, without secrets."""
        return redact(self.url.partition("?")[0] if self.url else shlex.join(self.command), dict(self.env))

    def environment(self) -> dict[str, str]:
        """Return all environment variables of the command."""
        ours = settings.inherited_environment()
        return {name: ours[name] for name in INHERITED if name in ours} | dict(self.env)


def _words(server: str | Sequence[str]) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(server) if isinstance(server, str) else map(os.fspath, server))
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{server!r:.200} is no command line: {error}") from error
    if not words or not words[0]:
        raise ConfigurationError("An MCP server is a command, such as ['npx', '-y', 'some-server'], or a URL")
    if any("\0" in word for word in words):
        raise ConfigurationError("A command line can not hold null characters")
    return words
