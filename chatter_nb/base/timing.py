"""A stopwatch that adds up seconds by stage, and the peak memory of this process."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """Adds up wall seconds by stage. `sync` waits for the device, so that its work is counted.

    A stage inside another stage stops the outer clock: all stages together never exceed the wall.
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
    """The seconds of several stopwatches, added up by stage."""
    totals_s: dict[str, float] = {}
    for stages in stages_s:
        for name, seconds in stages.items():
            totals_s[name] = totals_s.get(name, 0.0) + seconds
    return totals_s


def real_time_factor(wall_s: float, audio_s: float) -> float:
    """Seconds of work for a second of audio: below 1 is faster than real time."""
    return wall_s / audio_s if audio_s > 0 else float("inf")


def peak_rss_mb() -> float | None:
    """The most memory this process has held, in MB (10⁶ bytes); None if it is not known.

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
