"""Time and memory against the length of the text: does a long text cost more than its length?

Each length is spoken in a process of its own, whose peak of memory belongs to that length alone.
Not here: the figure of it (`plots`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chatter_nb.base.errors import InputError
from chatter_nb.bench.history import Round
from chatter_nb.bench.params import EMBEDDED, LEAST_CHARS, LENGTHS, Progress
from chatter_nb.bench.suites.embedded import text_of
from chatter_nb.bench.workers import Work, Worker, own_tree

MOST_ROUNDS, ENOUGH_S = 5, 3.0  # a short text is spoken again: a single round would be noise


@dataclass(frozen=True)
class Point:
    """One length: seconds of work without loading, and the process's peak memory.

    `chars` is the length that was asked for: the text may be a word shorter.
    """

    chars: int
    wall_s: float
    audio_s: float
    peak_rss_mb: float | None  # None where the system does not tell


@dataclass(frozen=True)
class Scaling:
    """All lengths, the shortest first. A slope of 1 is "twice the text, twice as much"."""

    engine: str
    points: tuple[Point, ...]

    @property
    def time_slope(self) -> float:
        """The k of time ~ length^k."""
        return slope([(point.chars, point.wall_s) for point in self.points])

    @property
    def memory_slope(self) -> float | None:
        """The k of memory ~ length^k; None where the system does not tell memory."""
        known = [(point.chars, point.peak_rss_mb) for point in self.points if point.peak_rss_mb]
        return slope(known) if len(known) == len(self.points) else None

    @property
    def finding(self) -> str:
        """Both exponents, such as "time grows as length^1.02; memory as length^0.03"."""
        finding = f"{self.engine}: time grows as length^{self.time_slope:.2f}"
        if self.memory_slope is None:
            return f"{finding}; this system does not tell memory"
        return f"{finding}; memory as length^{self.memory_slope:.2f}".replace("^-", "^−")


def measure_scaling(
    lengths: Sequence[int] = LENGTHS,
    values: Mapping[str, Any] | None = None,
    on_progress: Progress = lambda message: None,
) -> Scaling:
    """Speak the demo text, repeated or cut to each length in characters, in a fresh process each.

    `values` are parameters of a speech run, such as the engine; without them the embedded voice
    speaks. Raises `InputError` for fewer than two lengths or a length under 50 characters, before
    any work; `EngineError` where a run fails.
    """
    distinct = sorted(set(lengths))
    if len(distinct) < 2 or distinct[0] < LEAST_CHARS:
        raise InputError(
            f"lengths must be two and more, different, of at least {LEAST_CHARS} characters, "
            f"not {list(lengths)}"
        )
    run_values = {"engine": EMBEDDED} | dict(values or {})
    points = []
    for chars in distinct:
        on_progress(f"{chars} characters")
        points.append(_point(chars, run_values))
    return Scaling(run_values["engine"], tuple(points))


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The exponent k that fits y ~ x^k best: least squares over the logarithms, all above 0."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    return statistics.linear_regression(*zip(*logs, strict=True)).slope


def _point(chars: int, values: Mapping[str, Any]) -> Point:
    work = Work("speak", {"text": text_of(chars), "run_name": "scaling", **values})
    rounds: list[Round] = []
    with Worker(work, own_tree()) as worker:
        while len(rounds) < MOST_ROUNDS and sum(each.wall_s for each in rounds) < ENOUGH_S:
            rounds.append(worker.round())
    first, warm = rounds[0], rounds[1:] or rounds
    wall_s = statistics.median(each.wall_s - each.spent_s("load") for each in warm)
    return Point(chars, wall_s, first.audio_s, first.peak_rss_mb)
