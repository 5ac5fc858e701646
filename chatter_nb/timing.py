"""Where the seconds go: a stopwatch by stage, peak memory, records, and the regression rule.

Not a benchmark: `bench` chooses the workloads and repeats them.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

SLOWER_FACTOR = 1.1  # asv's rule: a tenth slower *and* a difference that chance does not explain
SIGNIFICANCE = 0.01


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


def append_record(path: Path, record: dict[str, Any]) -> None:
    """Add one JSON line to a history."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n")


def read_records(path: Path) -> list[dict[str, Any]]:
    """A history's records, oldest first; none if there is no file."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()]


@dataclass(frozen=True)
class Verdict:
    """`ratio` is candidate ÷ baseline (1.14: 14 % slower), `p` the test's."""

    ratio: float
    p: float
    regression: bool
    sentence: str


def compare(baseline_s: Sequence[float], candidate_s: Sequence[float]) -> Verdict:
    """Is the candidate slower? A ratio of medians ≥ 1.1 and a significant Mann-Whitney U test.

    The rule is asv's (`asv compare`). Raises `ValueError` for fewer than 5 samples a side: with 4
    the test can never reach p < 0.01.
    """
    from scipy.stats import mannwhitneyu

    if min(len(baseline_s), len(candidate_s)) < 5:
        raise ValueError(f"at least 5 samples a side, not {len(baseline_s)} and {len(candidate_s)}")
    ratio = statistics.median(candidate_s) / statistics.median(baseline_s)
    p = float(mannwhitneyu(candidate_s, baseline_s, alternative="two-sided").pvalue)
    change = f"{'slower' if ratio > 1 else 'faster'} by {abs(ratio - 1):.0%}"
    if p >= SIGNIFICANCE:
        sentence = f"within noise ({change}, p = {p:.2f})"
    else:
        sentence = f"{change}, significant (p = {p:.4f})"
    return Verdict(ratio, p, p < SIGNIFICANCE and ratio >= SLOWER_FACTOR, sentence)
