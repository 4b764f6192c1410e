"""Environments in the forms that trainers and evaluations take: a module for each, imported where it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["needs"]


@contextmanager
def needs(package: str, extra: str) -> Iterator[None]:
    """Say how a library is installed, if what is imported in this block finds that it is not.

    Args:
        package: The package that is imported.
        extra: The extra of `openenv` that has it.

    Raises:
        ModuleNotFoundError: It is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise ModuleNotFoundError(
            f"{package} is not installed: pip install 'openenv[{extra}]'", name=error.name
        ) from error
