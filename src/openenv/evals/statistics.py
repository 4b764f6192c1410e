"""Figures with their error.

Episodes of one seed resemble one another, so the seeds are what is counted as independent: the mean is that of the
means of the seeds, and its interval is as wide as their number says. With a single seed it is that of its episodes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev
from typing import NamedTuple

__all__ = ["Estimate", "mean_of_groups", "pass_at_k", "rate_of_groups", "with_k"]

CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A figure and the interval that holds the true one with 95 % confidence; None where it cannot be told."""

    value: float
    low: float | None = None
    high: float | None = None


def mean_of_groups(groups: Sequence[Sequence[float]]) -> Estimate | None:
    """Return the mean by Student's t; None if there is nothing.

    Args:
        groups: Values, by seed.
    """
    means = _independent(groups)
    if not means:
        return None
    mean = fmean(means)
    if len(means) < 2:
        return Estimate(mean)
    half = _student(len(means) - 1) * stdev(means) / math.sqrt(len(means))
    return Estimate(mean, mean - half, mean + half)


def rate_of_groups(groups: Sequence[Sequence[bool]]) -> Estimate | None:
    """Return a rate by Wilson's interval, which does not shrink to nothing at 0 and 1; None if there is nothing."""
    rates = _independent([[float(one) for one in group] for group in groups])
    if not rates:
        return None
    rate, n = fmean(rates), len(rates)
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    middle = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Estimate(rate, low if rate > 0 else 0.0, high if rate < 1 else 1.0)


def pass_at_k(groups: Sequence[Sequence[bool]], k: int) -> float | None:
    """Return the chance that at least one of k episodes of a seed succeeds, estimated without bias.

    The estimator is that of Chen et al. (2021), 1 - C(n - c, k) / C(n, k) for c successes among n episodes,
    averaged over the seeds that have so many; see `with_k`.

    Args:
        groups: Whether each episode succeeded, by seed.
        k: How many.

    Returns:
        None if no seed has k episodes.
    """
    shares = [1.0 - math.comb(len(group) - sum(group), k) / math.comb(len(group), k) for group in with_k(groups, k)]
    return fmean(shares) if shares else None


def with_k(groups: Sequence[Sequence[bool]], k: int) -> list[Sequence[bool]]:
    """Return the seeds of at least k episodes, which is what pass@k can be told of."""
    return [group for group in groups if len(group) >= k]


def _independent(groups: Sequence[Sequence[float]]) -> list[float]:
    filled = [group for group in groups if group]
    return list(filled[0]) if len(filled) == 1 else [fmean(group) for group in filled]


def _student(freedom: int) -> float:
    """Return the two-sided quantile of Student's t, by its expansion for 3 and more: right to one in a hundred."""
    p = 0.5 + CONFIDENCE / 2
    if freedom == 1:
        return math.tan(math.pi * (p - 0.5))
    if freedom == 2:
        return (2 * p - 1) / math.sqrt(2 * p * (1 - p))
    z = NormalDist().inv_cdf(p)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return math.fsum(term / math.pow(freedom, power) for power, term in enumerate(terms))
