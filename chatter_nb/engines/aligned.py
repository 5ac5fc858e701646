"""Windows of audio joined where they agree best: for converters that make samples, not mel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chatter_nb.audio.join import best_join, crossfade
from chatter_nb.audio.reading import Signal
from chatter_nb.audio.windows import STEPS_PER_S, Window

RATE_HZ = 24_000
STEP_SAMPLES = RATE_HZ // STEPS_PER_S
# A window's array: its own samples, with room at both ends to shift it by a pitch period.
MARGIN_SAMPLES = round(RATE_HZ * 0.008)
FADE_SAMPLES = round(RATE_HZ * 0.020)
COMPARED_SAMPLES = round(RATE_HZ * 0.065)  # some pulses even of a low voice


class AlignedJoiner:
    """`WindowJoiner` in audio: each window is shifted by up to 8 ms to meet the one before.

    A vocoder's pulses start anew with each window, so that two renderings of one vowel are alike
    but for a part of a pitch period. A window's shift is against its own place, so that shifts
    never add up. Holds an overlap's samples, no more.
    """

    def __init__(self, write: Callable[[Signal], object]) -> None:
        self._write = write
        self._held = np.zeros(0, np.float32)  # what follows the samples passed on
        self._seams: list[int] = []
        self.samples = 0

    def add(self, window: Window, made: Signal) -> None:
        start, end = window.start * STEP_SAMPLES, window.end * STEP_SAMPLES
        overlap = window.overlap * STEP_SAMPLES
        if window.index:
            self._meet(made, start, overlap)
        else:
            self._held = made[MARGIN_SAMPLES : MARGIN_SAMPLES + end]
        self._pass_on(end if window.last else end - overlap)

    def finish(self) -> tuple[int, ...]:
        self._pass_on(self.samples + len(self._held))
        return tuple(self._seams)

    def _meet(self, made: Signal, start: int, overlap: int) -> None:
        """Replace what is held from the best place in the overlap on."""
        done = self.samples - start  # of the overlap: beyond 0 only if windows are half overlap
        tail, head = self._held, made[done : overlap + 2 * MARGIN_SAMPLES]
        place, lag = best_join(
            tail,
            head,
            lags_samples=MARGIN_SAMPLES,
            segment_samples=COMPARED_SAMPLES,
        )
        fade = min(FADE_SAMPLES, 2 * place, 2 * (len(tail) - place))
        first, last = place - fade // 2, place + fade // 2
        moved = made[done + MARGIN_SAMPLES + lag :]
        self._seams.append(self.samples + place)
        mixed = crossfade(tail[first:last], moved[first:last])
        length = len(made) - 2 * MARGIN_SAMPLES - done
        self._held = np.concatenate([tail[:first], mixed, moved[last:length]])

    def _pass_on(self, end: int) -> None:
        count = max(0, end - self.samples)
        self._write(self._held[:count])
        self._held = self._held[count:].copy()  # a view would keep the whole window alive
        self.samples += count
