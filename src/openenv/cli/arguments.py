"""`KEY=VALUE` options, whose value is JSON where it can be read as such, and else text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click

__all__ = ["keyed"]


def keyed(texts: Iterable[str], option: str) -> dict[str, Any]:
    """Return the values of an option that was given several times, by their keys.

    Args:
        texts: As they were given.
        option: Its name, for the error.

    Raises:
        click.BadParameter: One of them is not of this form.
    """
    return dict(_pair(text, option) for text in texts)


def _pair(text: str, option: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise click.BadParameter(f"{text!r} is not KEY=VALUE, as in seed=3.", param_hint=option)
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
