"""Time and memory against the length of the text: does a long text cost more than its length?

Each length is spoken in a process of its own, whose peak of memory is that length's alone. Not
here: what is drawn of it (`plots`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chatter_nb.base.errors import InputError
from chatter_nb.bench.history import Round
from chatter_nb.bench.suites.embedded import demo_text
from chatter_nb.bench.workers import Work, Worker, own_tree

LENGTHS = (500, 1_500, 5_000, 16_000)  # characters; a minute of speech has about 900
LEAST_CHARS = 50
MOST_ROUNDS, ENOUGH_S = 5, 3.0  # a short text is spoken again: its one round would be noise


@dataclass(frozen=True)
class Point:
    """One length: seconds of work without loading, and the most memory that was held.

    `chars` as it was asked for: the text may be a word shorter.
    """

    chars: int
    wall_s: float
    audio_s: float
    peak_rss_mb: float | None  # None where the system does not tell
    peak_gpu_mb: float | None = None


@dataclass(frozen=True)
class Scaling:
    """All lengths, the shortest first. A slope of 1 is "twice the text, twice as much"."""

    engine: str
    points: tuple[Point, ...]

    @property
    def time_slope(self) -> float:
        """The k of time ~ length^k."""
        return slope([(one.chars, one.wall_s) for one in self.points])

    @property
    def memory_slope(self) -> float | None:
        """The k of memory ~ length^k; None where the system does not tell memory."""
        found = [(one.chars, one.peak_rss_mb) for one in self.points if one.peak_rss_mb]
        return slope(found) if len(found) == len(self.points) else None


def measure_scaling(
    lengths: Sequence[int] = LENGTHS,
    values: Mapping[str, Any] | None = None,
    progress: Callable[[str], object] = lambda told: None,
) -> Scaling:
    """Speak the demo text, repeated or cut to each length in characters, in a fresh process each.

    `values` are parameters of a speech run, such as the engine; the embedded voice without them.
    Raises `InputError` for fewer than two lengths or one under 50 characters, before any work;
    `EngineError` where a run fails.
    """
    asked = sorted(set(lengths))
    if len(asked) < 2 or asked[0] < LEAST_CHARS:
        raise InputError(
            f"lengths must be two and more, different, of at least {LEAST_CHARS} characters, "
            f"not {list(lengths)}"
        )
    given = {"engine": "hibari"} | dict(values or {})
    points = []
    for chars in asked:
        progress(f"{chars} characters")
        points.append(_point(chars, given))
    return Scaling(given["engine"], tuple(points))


def text_of(chars: int) -> str:
    """The demo text from its beginning, again and again, up to so many characters.

    The last word is whole, so that it may be a little shorter.
    """
    whole = demo_text(0).strip() + "\n\n"
    text = whole * math.ceil((chars + 1) / len(whole))
    return text[: chars + 1].rsplit(maxsplit=1)[0]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The exponent k that fits y ~ x^k best: least squares over the logarithms, all above 0."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    return statistics.linear_regression(*zip(*logs, strict=True)).slope


def _point(chars: int, values: Mapping[str, Any]) -> Point:
    work = Work("speak", {"text": text_of(chars), "run_name": "scaling", **values})
    rounds: list[Round] = []
    with Worker(work, own_tree()) as worker:
        while not rounds or (len(rounds) < MOST_ROUNDS and _spent_s(rounds) < ENOUGH_S):
            rounds.append(worker.round())
    first, warm = rounds[0], rounds[1:] or rounds
    wall_s = statistics.median(one.wall_s - one.stages_s.get("load", 0.0) for one in warm)
    return Point(chars, wall_s, first.audio_s, first.peak_rss_mb, first.peak_gpu_mb)


def _spent_s(rounds: Sequence[Round]) -> float:
    return sum(one.wall_s for one in rounds)
