"""Is it slower? The regression rule over two sets of timings, and its sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chatter_nb.bench.ranks import shift

SLOWER_FACTOR = 1.1  # asv's rule: a tenth slower *and* a difference that chance does not explain
LEAST_TOLD = 0.001  # a smaller change would read "0.0 %"


@dataclass(frozen=True)
class Verdict:
    """What two sets of timings say. `ratio` is candidate ÷ baseline: 1.14 is 14 % slower.

    `low` and `high` are its interval at 99 %, `p` the Mann-Whitney test's.
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
        share = _change(size) if size >= LEAST_TOLD else f"less than {_change(LEAST_TOLD)}"
        told = f"{share} (99 % interval {_change(low, unit='')}–{_change(high)})"
        if self.ratio < 1:
            return f"faster by {told}"
        small = f", under the {percent(SLOWER_FACTOR - 1)} of a regression"
        return f"slower by {told}{'' if self.regression else small}"


def compare(baseline_s: Sequence[float], candidate_s: Sequence[float]) -> Verdict:
    """Is the candidate slower? The shift between the logarithms of the two sides' seconds.

    Ratios, since what slows a machine slows a long run by more seconds than a short one; ranks
    (`ranks.shift`), since timings have a tail of slow rounds. Raises `ValueError` for fewer than 5
    samples a side, or for one that is not above 0 s.
    """
    if not all(seconds > 0 for side in (baseline_s, candidate_s) for seconds in side):
        raise ValueError("seconds to compare must be above 0")
    found = shift(*([math.log(seconds) for seconds in side] for side in (baseline_s, candidate_s)))
    return Verdict(math.exp(found.estimate), math.exp(found.low), math.exp(found.high), found.p)


def percent(share: float, digits: int = 0, *, sign: str = "-", unit: str = " %") -> str:
    """A share as percent, 0.5 as "50 %", to so many decimals; `sign` as in format strings."""
    told = format(round(100 * share, digits) + 0.0, f"{sign}.{digits}f")  # + 0.0: never "-0.0"
    return told.replace("-", "−") + unit


def _change(share: float, sign: str = "-", unit: str = " %") -> str:
    """As whole percent, with one digit more below 2 % and around the 10 % that a rule is about.

    There it is cut, not rounded: what is told as 10.0 % has reached 10 %.
    """
    if 0.095 <= abs(share) < 0.105:
        tenths = math.floor(1000 * abs(share) + 1e-9)
        return percent(math.copysign(tenths / 1000, share), 1, sign=sign, unit=unit)
    return percent(share, 0 if abs(share) >= 0.02 else 1, sign=sign, unit=unit)
