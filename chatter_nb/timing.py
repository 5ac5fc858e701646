"""Where the seconds go: a stopwatch by stage, peak memory, and the regression rule.

Not a benchmark (`bench`, `measure`), nor what is kept of one (`history`).
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from chatter_nb.ranks import shift

T = TypeVar("T")

SLOWER_FACTOR = 1.1  # asv's rule: a tenth slower *and* a difference that chance does not explain
LEAST_TOLD = 0.001  # a smaller change would read "0.0 %"


class Stopwatch:
    """Adds up wall seconds by stage. `sync` waits for the device, so that its work is counted.

    A stage inside another stops the outer one's clock: the stages never sum to more than the wall.
    """

    def __init__(self, stages: Iterable[str] = (), *, sync: Callable[[], object] | None = None):
        self.stages_s: dict[str, float] = dict.fromkeys(stages, 0.0)
        self._sync = sync or (lambda: None)
        self._open: list[str] = []
        self._started_s = self._since_s = time.perf_counter()

    @property
    def wall_s(self) -> float:
        """Seconds since the watch was made."""
        return time.perf_counter() - self._started_s

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block's seconds towards `name`, also when it raises."""
        self._credit()
        self._open.append(name)
        try:
            yield
        finally:
            self._credit()
            self._open.pop()

    def _credit(self) -> None:
        self._sync()
        now_s = time.perf_counter()
        if self._open:
            name = self._open[-1]
            self.stages_s[name] = self.stages_s.get(name, 0.0) + now_s - self._since_s
        self._since_s = now_s

    def move(self, seconds: float, *, source: str, to: str) -> None:
        """Count seconds that were credited to one stage towards another, which knows better."""
        self.stages_s[source] -= seconds
        self.stages_s[to] = self.stages_s.get(to, 0.0) + seconds

    def each(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Pass `items` on, counting the time that it takes to produce each of them."""
        iterator = iter(items)
        while True:
            with self.stage(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item


def added(*stages_s: Mapping[str, float]) -> dict[str, float]:
    """Seconds by stage, of several watches together."""
    names = dict.fromkeys(name for one in stages_s for name in one)
    return {name: sum(one.get(name, 0.0) for one in stages_s) for name in names}


def real_time_factor(wall_s: float, audio_s: float) -> float:
    """Seconds of work for a second of audio: below 1 is faster than real time."""
    return wall_s / audio_s if audio_s > 0 else float("inf")


def peak_rss_mb() -> float | None:
    """The most memory this process has held, in MB (10⁶ bytes); None where it is not told.

    Linux's VmHWM: its `ru_maxrss` would also count what the *parent* held when it started us.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [s for s in status.read_text().splitlines() if s.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024 / 1e6
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6  # macOS counts bytes, BSD KiB


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
