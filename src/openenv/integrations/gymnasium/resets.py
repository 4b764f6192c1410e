"""What the resets of many environments are given, so that a seed determines all that follow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np

from openenv.errors import ConfigurationError

SEED_BITS = 31


class ResetArguments:
    """Arguments of resets, by index of the environment.

    Args:
        arguments: Of every reset: the same for all, or a mapping for each; None for none.
        count: How many environments there are.

    Raises:
        ConfigurationError: The numbers do not agree.
    """

    def __init__(self, arguments: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None, count: int) -> None:
        if arguments is None or isinstance(arguments, Mapping):
            arguments = [arguments or {}] * count
        if len(arguments) != count:
            raise ConfigurationError(f"There are {len(arguments)} arguments for {count} environments")
        self.arguments = [dict(each) for each in arguments]
        self._seeds: list[Random | None] = [None] * count

    def next(self, index: int) -> dict[str, Any]:
        """Return the arguments of a reset that nobody has asked for."""
        seeds = self._seeds[index]
        return {**self.arguments[index], **({} if seeds is None else {"seed": seeds.getrandbits(SEED_BITS)})}

    def asked(
        self, seed: int | Sequence[int | None] | None, options: Mapping[str, Any]
    ) -> dict[int, dict[str, Any]]:
        """Return the arguments of resets that were asked for, as Gymnasium's `reset` takes them.

        Args:
            seed: An integer gives each environment that plus its index; or one for each.
            options: More arguments, and `reset_mask`, which says whose resets they are; by default those of all.

        Raises:
            ValueError: The numbers do not agree.
        """
        given, count = dict(options), len(self.arguments)
        mask = given.pop("reset_mask", None)
        seeds = _counted(seed, count)
        arguments = {}
        for index in range(count) if mask is None else np.flatnonzero(mask).tolist():
            own = seeds[index]
            if own is not None:
                self._seeds[index] = Random(own)  # noqa: S311 - seeds of games
            arguments[index] = {**self.next(index), **given, **({} if own is None else {"seed": own})}
        return arguments


def _counted(seed: int | Sequence[int | None] | None, count: int) -> list[int | None]:
    if seed is None:
        return [None] * count
    if isinstance(seed, Sequence | np.ndarray):
        if len(seed) != count:
            raise ValueError(f"There are {len(seed)} seeds for {count} environments; give one for each")
        return [None if one is None else int(one) for one in seed]
    return [int(seed) + index for index in range(count)]
