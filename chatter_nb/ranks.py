"""How far apart two sets of samples lie, by their ranks: no outlier moves it, no shape is assumed.

Pure arithmetic on small samples. Not here: what the samples are, and what is said of them
(`timing`, `attribution`).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

CONFIDENCE = 0.99
LEAST_SAMPLES = 5  # a side: with 4, not even samples that lie all apart differ at 99 %


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

    The interval is Moses', exact: its ends are differences that the Mann-Whitney test would just
    not reject, so that interval and test always agree (but for ties, where the interval holds).
    Source: Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3rd ed., 4.1 to 4.3.
    Raises `ValueError` for fewer than 5 samples a side.
    """
    sizes = len(baseline), len(candidate)
    if min(sizes) < LEAST_SAMPLES:
        told = f"{sizes[0]} and {sizes[1]}"
        raise ValueError(f"at least {LEAST_SAMPLES} samples a side, not {told}")
    apart = sorted(later - earlier for later in candidate for earlier in baseline)
    below = sum(one < 0 for one in apart) + (sum(one == 0 for one in apart) + 1) // 2
    chances = _at_most(*sizes)
    p = min(1.0, 2 * chances[min(below, len(apart) - below)])
    outside = sum(chance <= (1 - CONFIDENCE) / 2 for chance in chances)
    return Shift(statistics.median(apart), apart[outside - 1], apart[-outside], p)


@lru_cache
def _at_most(one: int, other: int) -> list[float]:
    """The chance of at most 0, 1, 2 … of all `one * other` differences below 0, without a shift.

    Counted, not approximated: the coefficients of the Gaussian binomial (Mann and Whitney, 1947).
    """
    counts = [1] + [0] * (one * other)
    for size in range(1, other + 1):
        for at in range(one * other, one + size - 1, -1):
            counts[at] -= counts[at - one - size]
        for at in range(size, one * other + 1):
            counts[at] += counts[at - size]
    total = sum(counts)
    return [count / total for count in accumulate(counts)]
