"""Every test here ends with nothing of its clients left, and may ask for servers of version 1 only."""

from tests.client.conftest import no_thread_is_left, serve_each, serve_old

__all__ = ["no_thread_is_left", "serve_each", "serve_old"]
