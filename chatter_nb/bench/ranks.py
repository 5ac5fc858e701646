"""How far apart two sets of samples lie, by their ranks: no outlier moves it, no shape is assumed.

Pure arithmetic on small samples. Not here: what the samples are, and what is said of them
(`timing`, `attribution`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

CONFIDENCE = 0.99
LEAST_SAMPLES = 5  # a side: with 4, not even samples that lie all apart differ at 99 %
MOST_COUNTED = 60  # of the smaller side: beyond, counting takes long and the normal curve is close


@dataclass(frozen=True)
class Shift:
    """What is added on the way from one set to the other: estimate, interval at 99 %, p."""

    estimate: float
    low: float
    high: float
    p: float

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out 0."""
        return not self.low <= 0 <= self.high


def shift(baseline: Sequence[float], candidate: Sequence[float]) -> Shift:
    """Hodges and Lehmann's estimate, the median of all differences between the two sets.

    The interval is Moses': its ends are differences that the Mann-Whitney test would just not
    reject, so that interval and test always agree (but for ties, where the interval holds). Both
    are exact up to 60 samples on one of the sides, and approximated beyond.
    Source: Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3rd ed., 4.1 to 4.3.
    Raises `ValueError` for fewer than 5 samples a side.
    """
    sizes = len(baseline), len(candidate)
    if min(sizes) < LEAST_SAMPLES:
        told = f"{sizes[0]} and {sizes[1]}"
        raise ValueError(f"at least {LEAST_SAMPLES} samples a side, not {told}")
    apart = sorted(later - earlier for later in candidate for earlier in baseline)
    below = sum(one < 0 for one in apart) + (sum(one == 0 for one in apart) + 1) // 2
    chances = _at_most(max(sizes), min(sizes))
    p = min(1.0, 2 * chances[min(below, len(apart) - below)])
    outside = sum(chance <= (1 - CONFIDENCE) / 2 for chance in chances)
    return Shift(statistics.median(apart), apart[outside - 1], apart[-outside], p)


@lru_cache
def _at_most(one: int, other: int) -> list[float]:
    """The chance of at most 0, 1, 2 … of all `one * other` differences below 0, without a shift.

    Two large sides are left to the normal curve.
    """
    if min(one, other) > MOST_COUNTED:
        return _normal(one, other)
    return _counted(one, other)


def _counted(one: int, other: int) -> list[float]:
    """Exact: the coefficients of the Gaussian binomial (Mann and Whitney, 1947)."""
    counts = [1] + [0] * (one * other)
    for size in range(1, other + 1):
        for at in range(one * other, one + size - 1, -1):
            counts[at] -= counts[at - one - size]
        for at in range(size, one * other + 1):
            counts[at] += counts[at - size]
    total = sum(counts)
    return [count / total for count in accumulate(counts)]


def _normal(one: int, other: int) -> list[float]:
    """By the normal curve of the same mean and variance, with half a step's continuity correction.

    Source: Mann and Whitney (1947); Hollander, Wolfe and Chicken, 4.1, large-sample approximation.
    """
    middle, spread = one * other / 2, math.sqrt(one * other * (one + other + 1) / 12)
    curve = statistics.NormalDist(middle, spread)
    return [curve.cdf(below + 0.5) for below in range(one * other + 1)]
