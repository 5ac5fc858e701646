"""Joins windows of audio where they agree best, for converters that make samples, not mel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chatter_nb.audio.join import best_join, crossfade
from chatter_nb.audio.reading import Signal
from chatter_nb.audio.windows import STEPS_PER_S, Window
from chatter_nb.engines.base import WindowJoiner

RATE_HZ = 24_000
STEP_SAMPLES = RATE_HZ // STEPS_PER_S
# More samples at both ends of a window's array, to shift it by up to a pitch period.
MARGIN_SAMPLES = round(RATE_HZ * 0.008)
FADE_SAMPLES = round(RATE_HZ * 0.020)
COMPARED_SAMPLES = round(RATE_HZ * 0.065)  # some pulses even of a low voice


class AlignedJoiner(WindowJoiner):
    """`WindowJoiner` for audio: shifts each window by up to 8 ms to fit the window before it.

    A vocoder's pulses start anew with each window: two renderings of the same vowel differ by a
    part of a pitch period. A shift is measured from the window's own place, so shifts never add
    up. The joiner keeps the samples of a single overlap in memory.
    """

    def __init__(self, write: Callable[[Signal], object]) -> None:
        super().__init__(write)
        self._held = np.zeros(0, np.float32)  # what follows the samples passed on

    def add(self, window: Window, audio: Signal) -> None:
        start, end = window.start * STEP_SAMPLES, window.end * STEP_SAMPLES
        overlap = window.overlap * STEP_SAMPLES
        if window.index:
            self._meet(audio, start, overlap)
        else:
            self._held = audio[MARGIN_SAMPLES : MARGIN_SAMPLES + end]
        self._pass_up_to(end if window.last else end - overlap)

    def finish(self) -> tuple[int, ...]:
        self._pass_up_to(self.samples + len(self._held))
        return super().finish()

    def _meet(self, window_audio: Signal, start: int, overlap: int) -> None:
        """Replace the held samples from the best place in the overlap on."""
        done = self.samples - start  # above 0 only if half of a window is overlap
        tail, head = self._held, window_audio[done : overlap + 2 * MARGIN_SAMPLES]
        place, lag = best_join(
            tail, head, lags_samples=MARGIN_SAMPLES, segment_samples=COMPARED_SAMPLES
        )
        fade = min(FADE_SAMPLES, 2 * place, 2 * (len(tail) - place))
        first, last = place - fade // 2, place + fade // 2
        moved = window_audio[done + MARGIN_SAMPLES + lag :]
        self._seams.append(self.samples + place)
        mixed = crossfade(tail[first:last], moved[first:last])
        length = len(window_audio) - 2 * MARGIN_SAMPLES - done
        self._held = np.concatenate([tail[:first], mixed, moved[last:length]])

    def _pass_up_to(self, end: int) -> None:
        count = max(0, end - self.samples)
        self._pass_on(self._held[:count])
        self._held = self._held[count:].copy()  # a view would keep the whole window alive
