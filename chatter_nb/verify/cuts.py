"""Cuts that heal a take: long silences shortened, an active tail after the last word taken off.

Cuts are spans in samples of the take as it was made; `without` applies them. Also how loud a chunk
is in every 10 ms, against its own speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from chatter_nb.audio.reading import Signal
from chatter_nb.audio.words import WordTime

FRAME_S = 0.01
LOUD_DB = -25.0  # against the chunk's loud speech: louder than breath, quieter than any vowel
_SPEECH_PERCENTILE = 95
_FLOOR = 1e-9

Cuts = tuple[tuple[int, int], ...]

SILENT_DB = -45.0  # against the chunk's loud speech
LONGEST_HOLE_S = 1.0  # a silence up to this is left as it is
FADE_S = 0.005
KEPT_AFTER_S = 0.1  # the most of the sound after the last word: its end dies away
PAUSE_BEFORE_TAIL_S = 0.04
SHORTEST_TAIL_S = 0.12


def long_holes(audio: Signal, sample_rate: int, longest_pause_s: float) -> Cuts:
    """What to take out of silences inside a chunk that are longer than the text asks for."""
    level = levels_db(audio, sample_rate)
    sounding = np.flatnonzero(level > SILENT_DB)
    limit_s = max(LONGEST_HOLE_S, longest_pause_s)
    cuts = []
    for start, end in stretches(level <= SILENT_DB):
        inside = len(sounding) and sounding[0] < start and end <= sounding[-1]
        if inside and (end - start) * FRAME_S > limit_s:
            spare_s = (end - start) * FRAME_S - longest_pause_s
            first_s = (start * FRAME_S) + longest_pause_s / 2
            cuts.append((round(first_s * sample_rate), round((first_s + spare_s) * sample_rate)))
    return tuple(cuts)


def active_tail(audio: Signal, sample_rate: int, last_word_end_s: float) -> Cuts:
    """Sound after the last word, set off by a pause, to the end of the audio; () if there is none.

    The aligner says where the last word ends, the signal that it pauses there and sounds again.
    """
    level = levels_db(audio, sample_rate)
    end = round(last_word_end_s / FRAME_S)
    pauses = [
        (max(first, end - 8), last)
        for first, last in stretches(level <= LOUD_DB)
        if last > end - 8 and (last - max(first, end - 8)) * FRAME_S >= PAUSE_BEFORE_TAIL_S
    ]
    if not pauses:
        return ()
    start, again = pauses[0]
    if np.count_nonzero(level[again:] > LOUD_DB) * FRAME_S < SHORTEST_TAIL_S:
        return ()
    near = level[start : min(again, start + round(KEPT_AFTER_S / FRAME_S))]
    quietest_s = (start + int(near.argmin()) + 0.5) * FRAME_S
    return ((_zero_crossing(audio, round(quietest_s * sample_rate), sample_rate), len(audio)),)


def _zero_crossing(audio: Signal, sample: int, sample_rate: int) -> int:
    """The nearest sample at which the wave changes its sign, within a fade's length."""
    reach = round(FADE_S * sample_rate)
    start = max(0, sample - reach)
    signs = np.signbit(audio[start : sample + reach])
    crossings = np.flatnonzero(signs[1:] != signs[:-1]) + start + 1
    return int(crossings[np.abs(crossings - sample).argmin()]) if len(crossings) else sample


def without(audio: Signal, cuts: Cuts, sample_rate: int) -> Signal:
    """`audio` without `cuts`, each side of a cut faded over 5 ms. No cuts: the very same array."""
    if not cuts:
        return audio
    starts = [0, *(end for _, end in cuts)]
    ends = [*(start for start, _ in cuts), len(audio)]
    parts = [audio[start:end].copy() for start, end in zip(starts, ends, strict=True)]
    for before, after in pairwise(parts):
        _fade(before[::-1], sample_rate)
        _fade(after, sample_rate)
    return np.concatenate(parts)


def _fade(part: Signal, sample_rate: int) -> None:
    samples = min(len(part), round(FADE_S * sample_rate))
    part[:samples] *= np.linspace(0, 1, samples, endpoint=False, dtype=np.float32)


def joined(first: Cuts, second: Cuts) -> Cuts:
    """The cuts of the whole, where `second` counts in the audio without `first`."""
    moved = []
    for start, end in second:
        for cut_start, cut_end in first:
            length = cut_end - cut_start
            start, end = (at + length if at >= cut_start else at for at in (start, end))
        moved.append((start, end))
    return tuple(sorted((*first, *moved)))


def moved_sample(sample: float, cuts: Cuts) -> float:
    """Where a sample of a take as it was made lies in the audio without `cuts`."""
    return sample - sum(min(max(sample - start, 0), end - start) for start, end in cuts)


def moved_words(words: Sequence[WordTime], cuts: Cuts, sample_rate: int) -> tuple[WordTime, ...]:
    """The words' times in the audio without `cuts`."""

    def moved(time_s: float) -> float:
        return moved_sample(time_s * sample_rate, cuts) / sample_rate

    return tuple(
        replace(word, start_s=moved(word.start_s), end_s=moved(word.end_s)) for word in words
    )


def levels_db(audio: Signal, sample_rate: int) -> np.ndarray:
    """RMS of every whole frame of 10 ms, in dB against the loud speech of the chunk."""
    samples = max(1, round(sample_rate * FRAME_S))
    frames = audio[: len(audio) // samples * samples].reshape(-1, samples)
    level = 20 * np.log10(np.sqrt(np.mean(frames.astype(np.float64) ** 2, axis=1)) + _FLOOR)
    return level - np.percentile(level, _SPEECH_PERCENTILE) if len(level) else level


def stretches(mask: np.ndarray) -> list[tuple[int, int]]:
    """Start and end of every run of True values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
