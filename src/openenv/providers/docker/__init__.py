"""Containers of an engine that speaks Docker's API, Docker's own or Podman's: one noun a file.

Nothing here loads Docker's SDK before an engine is asked for something.
"""

from openenv.providers.docker.provider import LocalDockerProvider

__all__ = ["LocalDockerProvider"]
