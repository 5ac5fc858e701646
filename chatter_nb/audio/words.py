"""Words and when they sound; the end of a word is where its sound ends, not where the next begins.

Not here: where the times come from. An engine knows its own, an aligner finds those of any audio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from chatter_nb.audio.reading import Signal

SOUND_FLOOR_DB = -50.0  # below the signal's peak, as for `join.TRIM_FLOOR_DB`
FRAME_MS = 5.0
PAUSE_MS = 100.0  # silence inside a word is shorter: closed lips before a "p" last up to 90 ms
# Of the next word's onset, this much may lie before the time at which the word is said to begin.
EARLY_MS = 60.0


@dataclass(frozen=True)
class WordTime:
    """A word of a chunk's spoken text, and when it sounds: seconds from the start of the chunk's audio."""

    text: str
    start_s: float
    end_s: float


def end_at_energy(
    words: Sequence[WordTime], audio: Signal, *, sample_rate: int
) -> tuple[WordTime, ...]:
    """The same words, each end moved back to where the sound ends.

    `audio` is mono, shape (n,). The last word before a pause often swallows the silence; an aligner
    and an engine give all of the time to some word. A word without any sound keeps its end.
    """
    frame = max(1, round(sample_rate * FRAME_MS / 1000))
    peaks = np.abs(np.pad(audio, (0, -len(audio) % frame))).reshape(-1, frame).max(axis=1)
    loud = peaks > peaks.max(initial=0.0) * 10 ** (SOUND_FLOOR_DB / 20)
    frame_s = frame / sample_rate
    return tuple(_ended(word, loud, frame_s) for word in words)


def _ended(word: WordTime, loud: np.ndarray, frame_s: float) -> WordTime:
    first = round(word.start_s / frame_s)
    sounding = first + np.flatnonzero(loud[first : round(word.end_s / frame_s)])
    if not len(sounding):
        return word
    breaks = np.flatnonzero(np.diff(sounding) * frame_s * 1000 > PAUSE_MS)
    last = sounding[-1]
    if len(breaks):
        onset = sounding[breaks[-1] + 1]
        if (word.end_s - onset * frame_s) * 1000 <= EARLY_MS:
            last = sounding[breaks[-1]]
    return replace(word, end_s=max(word.start_s, min(word.end_s, (int(last) + 1) * frame_s)))
