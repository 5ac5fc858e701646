"""Is it slower? The regression rule over two sets of timings, its sentence, and the stage to blame.

The rule compares ranks: no outlier moves the verdict, and no shape of the noise is assumed. Pure
arithmetic on small samples. Not here: how the samples are measured (`measure`, `regress`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from chatter_nb.bench.history import OUTSIDE, Round
from chatter_nb.bench.params import LEAST_SAMPLES

CONFIDENCE = 0.99
MOST_COUNTED = 60  # of the smaller side: beyond, counting takes long and the normal curve is close
SLOWER_FACTOR = 1.1  # asv's rule: a tenth slower *and* a difference that chance does not explain
LEAST_SHOWN = 0.001  # a smaller change would read "0.0 %"
ALL_OF_IT = 0.9  # of the change; a rest so small is as likely noise
LEAST_SHARE = 0.05  # of the change


@dataclass(frozen=True)
class Verdict:
    """The comparison of two sets of timings. `ratio` is candidate ÷ baseline: 1.14 is 14 % slower.

    `low` and `high` are the ratio's interval at 99 %, `p` is the Mann-Whitney test's.
    """

    ratio: float
    low: float
    high: float
    p: float

    @property
    def significant(self) -> bool:
        """Whether chance does not explain the difference: the interval leaves out 1."""
        return not self.low <= 1 <= self.high

    @property
    def regression(self) -> bool:
        """asv's rule (`asv compare`): a tenth slower, and significantly so."""
        return self.significant and self.ratio >= SLOWER_FACTOR

    @property
    def sentence(self) -> str:
        """Such as "slower by 14 % (99 % interval 11–17 %)"; no full stop."""
        low, high = self.low - 1, self.high - 1
        if not self.significant:
            change = f"{_change(self.ratio - 1, '+')}, 99 % interval"
            return f"within noise ({change} {_change(low, '+', '')} to {_change(high, '+')})"
        if self.ratio < 1:
            low, high = -high, -low
        size = abs(self.ratio - 1)
        share = _change(size) if size >= LEAST_SHOWN else f"less than {_change(LEAST_SHOWN)}"
        change = f"{share} (99 % interval {_change(low, unit='')}–{_change(high)})"
        if self.ratio < 1:
            return f"faster by {change}"
        small = f", under the {percent(SLOWER_FACTOR - 1)} of a regression"
        return f"slower by {change}{'' if self.regression else small}"


def compare(baseline_s: Sequence[float], candidate_s: Sequence[float]) -> Verdict:
    """Is the candidate slower? The `shift` between the logarithms of the two sides' seconds.

    Logarithms give a ratio: a slow machine adds more seconds to a long run than to a short run.
    `shift` compares ranks, since timings have a tail of slow rounds. Raises `ValueError` for fewer
    than 5 samples a side, or for a sample that is not above 0 s.
    """
    if not all(seconds > 0 for side in (baseline_s, candidate_s) for seconds in side):
        raise ValueError("seconds to compare must be above 0")
    baseline_logs = [math.log(seconds) for seconds in baseline_s]
    change = shift(baseline_logs, [math.log(seconds) for seconds in candidate_s])
    return Verdict(math.exp(change.estimate), math.exp(change.low), math.exp(change.high), change.p)


@dataclass(frozen=True)
class StageChange:
    """A stage that became slower or faster, beyond chance at 99 %.

    `shift_s` are the seconds it adds to a round. `share` is its part of the whole change: above 1,
    or below 0, where stages changed in opposite directions.
    """

    stage: str
    shift_s: float
    low_s: float
    high_s: float
    share: float

    def __str__(self) -> str:
        of_it = "all of it" if self.share >= ALL_OF_IT else f"{percent(self.share)} of it"
        if self.share < 0:
            of_it = "against the rest"
        return f"{self.stage}: {_seconds(self.shift_s)}, {of_it}"


def attribute(baseline: Sequence[Round], candidate: Sequence[Round]) -> list[StageChange]:
    """The stages that carry a change of the whole, the largest first; none if there is no change.

    Raises `ValueError` for fewer than 5 rounds a side.
    """
    whole = shift([each.wall_s for each in baseline], [each.wall_s for each in candidate])
    if not whole.significant:
        return []
    changes = []
    stages = dict.fromkeys(name for each in (*baseline, *candidate) for name in each.stages_s)
    for stage in [*stages, OUTSIDE]:
        before_s = [each.spent_s(stage) for each in baseline]
        change = shift(before_s, [each.spent_s(stage) for each in candidate])
        share = change.estimate / whole.estimate
        if change.significant and abs(share) >= LEAST_SHARE:
            changes.append(StageChange(stage, change.estimate, change.low, change.high, share))
    return sorted(changes, key=lambda change: -change.share)


@dataclass(frozen=True)
class Shift:
    """How much larger the second of two sets of samples is: estimate, interval at 99 %, p."""

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
        raise ValueError(f"at least {LEAST_SAMPLES} samples a side, not {sizes[0]} and {sizes[1]}")
    differences = sorted(after - before for after in candidate for before in baseline)
    ties = sum(difference == 0 for difference in differences)
    below = sum(difference < 0 for difference in differences) + (ties + 1) // 2
    chances = _at_most(max(sizes), min(sizes))
    p = min(1.0, 2 * chances[min(below, len(differences) - below)])
    outside = sum(chance <= (1 - CONFIDENCE) / 2 for chance in chances)
    return Shift(statistics.median(differences), differences[outside - 1], differences[-outside], p)


@lru_cache
def _at_most(larger: int, smaller: int) -> list[float]:
    """The chances, without a shift, that at most 0, 1, 2 … differences of two sets are below 0.

    `larger` and `smaller` are the sizes of the sets, which have `larger * smaller` differences.
    """
    if smaller > MOST_COUNTED:
        return _normal(larger, smaller)
    return _counted(larger, smaller)


def _counted(larger: int, smaller: int) -> list[float]:
    """Exact: the coefficients of the Gaussian binomial (Mann and Whitney, 1947)."""
    pairs = larger * smaller
    counts = [1] + [0] * pairs
    for size in range(1, smaller + 1):
        for below in range(pairs, larger + size - 1, -1):
            counts[below] -= counts[below - larger - size]
        for below in range(size, pairs + 1):
            counts[below] += counts[below - size]
    total = sum(counts)
    return [count / total for count in accumulate(counts)]


def _normal(larger: int, smaller: int) -> list[float]:
    """By the normal curve of the same mean and variance, with half a step's continuity correction.

    Source: Mann and Whitney (1947); Hollander, Wolfe and Chicken, 4.1, large-sample approximation.
    """
    pairs = larger * smaller
    curve = statistics.NormalDist(pairs / 2, math.sqrt(pairs * (larger + smaller + 1) / 12))
    return [curve.cdf(below + 0.5) for below in range(pairs + 1)]


def percent(share: float, digits: int = 0, *, sign: str = "-", unit: str = " %") -> str:
    """A share as percent, 0.5 as "50 %", to `digits` decimals; `sign` as in format strings."""
    number = format(round(100 * share, digits) + 0.0, f"{sign}.{digits}f")  # + 0.0: never "-0.0"
    return number.replace("-", "−") + unit


def _change(share: float, sign: str = "-", unit: str = " %") -> str:
    """As whole percent, with one digit more below 2 % and around the 10 % of `SLOWER_FACTOR`.

    Around 10 % the number is cut, not rounded: "10.0 %" always means that 10 % is reached.
    """
    if 0.095 <= abs(share) < 0.105:
        tenths = math.floor(1000 * abs(share) + 1e-9)
        return percent(math.copysign(tenths / 1000, share), 1, sign=sign, unit=unit)
    return percent(share, 0 if abs(share) >= 0.02 else 1, sign=sign, unit=unit)


def _seconds(seconds: float) -> str:
    """Seconds with their sign and two digits, such as "+0.21 s" or "−3.4 ms"."""
    if abs(seconds) < 0.01:
        return f"{seconds * 1000:+.2g} ms".replace("-", "−")
    return f"{seconds:+.2f} s".replace("-", "−")
