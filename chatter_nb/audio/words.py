"""Words and when they sound: beside silence a word begins, or ends, with its sound.

Not here: where the times come from. An engine knows its own, an aligner finds those of any audio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from chatter_nb.audio.reading import Signal

SOUND_FLOOR_DB = -45.0  # below the signal's peak
FRAME_MS = 5.0
PAUSE_MS = 100.0  # silence inside a word is shorter: closed lips before a "p" last up to 90 ms
# A sound this long before the end of a word, with a pause before it, is the next word's onset.
NEXT_ONSET_MS = 60.0
# Where the onset of a word is sought, around the time at which the word is said to begin.
ONSET_BEFORE_MS = 150.0
ONSET_AFTER_MS = 60.0


@dataclass(frozen=True)
class WordTime:
    """A word of a chunk's spoken text, and when it sounds.

    Times are in seconds from the start of the chunk's audio.
    """

    text: str
    start_s: float
    end_s: float


def start_at_energy(
    words: Sequence[WordTime], audio: Signal, *, sample_rate: int
) -> tuple[WordTime, ...]:
    """The same words; one with a pause before it starts where the sound starts.

    `audio` is mono, shape (n,). A word has a pause before it if it is the first, or if the word
    before it ends earlier than it starts. Where no onset is near, the word keeps its start.
    """
    sounding, frame_s = _sounding(audio, sample_rate)
    after_pause = np.diff(sounding, prepend=-np.inf) * frame_s * 1000 > PAUSE_MS
    onsets_s = sounding[after_pause] * frame_s
    moved = list(words)
    for at, word in enumerate(words):
        earlier = words[at - 1] if at else None
        if earlier and word.start_s <= earlier.end_s:
            continue
        after_s = max(earlier.start_s if earlier else 0, word.start_s - ONSET_BEFORE_MS / 1000)
        before_s = min(word.end_s, word.start_s + ONSET_AFTER_MS / 1000)
        near_s = onsets_s[(onsets_s >= after_s) & (onsets_s < before_s)]
        if len(near_s):
            start_s = float(near_s[np.abs(near_s - word.start_s).argmin()])
            moved[at] = replace(word, start_s=start_s)
            if earlier:
                moved[at - 1] = replace(moved[at - 1], end_s=min(earlier.end_s, start_s))
    return tuple(moved)


def end_at_energy(
    words: Sequence[WordTime], audio: Signal, *, sample_rate: int
) -> tuple[WordTime, ...]:
    """The same words, each end moved back to where the sound ends.

    `audio` is mono, shape (n,). The last word before a pause often swallows the silence; an aligner
    and an engine give all of the time to some word. A word without any sound keeps its end.
    """
    sounding, frame_s = _sounding(audio, sample_rate)
    return tuple(_ended(word, sounding, frame_s) for word in words)


def _sounding(audio: Signal, sample_rate: int) -> tuple[np.ndarray, float]:
    """The numbers of the frames that are not silence, and the length of a frame in seconds."""
    frame = max(1, round(sample_rate * FRAME_MS / 1000))
    peaks = np.abs(np.pad(audio, (0, -len(audio) % frame))).reshape(-1, frame).max(axis=1)
    loud = peaks > peaks.max(initial=0.0) * 10 ** (SOUND_FLOOR_DB / 20)
    return np.flatnonzero(loud), frame / sample_rate


def _ended(word: WordTime, sounding: np.ndarray, frame_s: float) -> WordTime:
    span = np.searchsorted(sounding, np.round(np.array([word.start_s, word.end_s]) / frame_s))
    inside = sounding[slice(*span)]
    if not len(inside):
        return word
    ends = [*np.flatnonzero(np.diff(inside) * frame_s * 1000 > PAUSE_MS), len(inside) - 1]
    last = inside[ends[-1]]
    if len(ends) > 1:
        onset_s = inside[ends[-2] + 1] * frame_s
        if (word.end_s - onset_s) * 1000 <= NEXT_ONSET_MS:
            last = inside[ends[-2]]
    return replace(word, end_s=max(word.start_s, min(word.end_s, (int(last) + 1) * frame_s)))
