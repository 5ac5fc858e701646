"""Cuts a long recording into windows for conversion. Pure arithmetic, in steps of 40 ms.

Neighbouring windows share an overlap, in which their results are joined. An engine may read more
context around a window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

STEPS_PER_S = 25  # one Chatterbox speech token: 640 samples at 16 kHz, 960 at 24 kHz
STEP_S = 1 / STEPS_PER_S


@dataclass(frozen=True)
class Window:
    """Steps [start, end) of a recording; the last `overlap` steps are in the next window too."""

    index: int
    start: int
    end: int
    overlap: int
    last: bool

    @property
    def start_s(self) -> float:
        return self.start * STEP_S

    @property
    def end_s(self) -> float:
        return self.end * STEP_S


def plan_windows(steps: int, *, window_s: float, overlap_s: float) -> list[Window]:
    """Windows of equal length (± a step), at most `window_s` long, that cover all `steps`.

    Equal lengths leave no stump: 60.04 s in windows of 60 s become two of about 30 s each.
    `overlap_s` must be at most half of `window_s`.
    """
    longest, overlap = round(window_s * STEPS_PER_S), round(overlap_s * STEPS_PER_S)
    if overlap * 2 > longest:
        raise ValueError(f"overlap_s {overlap_s} is more than half of window_s {window_s}")
    if steps <= longest:
        return [Window(0, 0, steps, 0, True)]
    count = math.ceil((steps - overlap) / (longest - overlap))
    edges = [round(index * (steps - overlap) / count) for index in range(count + 1)]
    return [
        Window(index, edges[index], edges[index + 1] + overlap, overlap, index == count - 1)
        for index in range(count)
    ]
