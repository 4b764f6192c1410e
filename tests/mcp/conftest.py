"""Environments of the odd server, closed with the test."""

import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from openenv.mcp.foreign import MCPServerEnvironment

ODD_SERVER = Path(__file__).with_name("odd_server.py")


@contextlib.asynccontextmanager
async def _odd(*oddities: str, **options: Any) -> AsyncIterator[MCPServerEnvironment]:
    env = MCPServerEnvironment([sys.executable, "-I", "-S", str(ODD_SERVER), *oddities], **options)
    try:
        yield env
    finally:
        await env.close()


@pytest.fixture
def odd() -> Callable[..., AbstractAsyncContextManager[MCPServerEnvironment]]:
    """A maker of environments of the odd server: `async with odd("mute", max_steps=3) as env`."""
    return _odd
