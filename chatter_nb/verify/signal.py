"""The first witness: level, silence, clipping, noise, the end and the length. Knows no words.

Every limit is against the chunk's own loud speech, never absolute, except full scale.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from chatter_nb.audio.reading import Signal, peak
from chatter_nb.verify.cuts import FRAME_S, levels_db, long_holes, stretches
from chatter_nb.verify.findings import Expectation, Finding, Report

NAME = "signal"
VERSION = "4"

SILENT_PEAK = 1e-3  # of full scale, -60 dBFS
CLIPPED = 0.999  # of full scale
CLIPPED_SHARE = 1e-3  # louder than a click or two
END_FRAMES = 2  # the last 20 ms
CUT_END_DB = -30.0  # speech that is cut off ends louder; a voice that ends by itself dies away
STEADY_S = 0.5  # a syllable is shorter
STEADY_DB = 1.5  # spread of level; noise and hum have under 0.5 dB, a long vowel had 1.5
STEADY_LEVEL_DB = -20.0
STEADY_COLOUR_DB = 4.5  # of noise and hum under 2.3, of half a second of speech above 6.9
_BANDS = 8
# Seconds of sound a letter: read aloud 0.05 to 0.1; a wide margin, since engines have moods.
SHORTEST_LETTER_S = 0.03
LONGEST_LETTER_S = 0.2
SPARE_S = 0.8  # for short texts


def listen(audio: Signal, sample_rate: int, expected: Expectation) -> Report:
    """Findings of the signal alone. `audio` is mono, shape (n,), full scale 1."""
    if peak(audio) < SILENT_PEAK:
        end_s = len(audio) / sample_rate
        return Report((_finding("silence", 0, end_s, expected.text, "there is no sound"),))
    return Report(tuple(_findings(audio, sample_rate, expected)))


def _findings(audio: Signal, sample_rate: int, expected: Expectation) -> Iterator[Finding]:
    level = levels_db(audio, sample_rate)
    for start, end in long_holes(audio, sample_rate, expected.longest_pause_s):
        places = start / sample_rate, end / sample_rate
        reason = f"{places[1] - places[0]:.1f} s of silence more than the text asks for"
        yield _finding("silence", *places, "", reason)
    clipped = float(np.mean(np.abs(audio) >= CLIPPED))
    if clipped > CLIPPED_SHARE:
        reason = f"{clipped:.1%} of the samples are at full scale"
        yield _finding("clipping", 0, len(audio) / sample_rate, "", reason)
    if len(level) and level[-END_FRAMES:].max() > CUT_END_DB:
        end_s = len(audio) / sample_rate
        last = expected.text.split()[-1:]
        yield _finding("cut end", end_s, end_s, "".join(last), "the sound breaks off at full level")
    for start, end in _steady(level):
        if not _keeps_colour(audio, sample_rate, start, end):
            continue  # a loud syllable after another: its sound changes
        reason = f"{(end - start) * FRAME_S:.1f} s of noise or hum: the level stands still"
        yield _finding("noise", start * FRAME_S, end * FRAME_S, "", reason)
    yield from _length(level, len(audio) / sample_rate, expected.text)


def _steady(level: np.ndarray) -> list[tuple[int, int]]:
    """Stretches of frames whose level is high and stands still."""
    size = round(STEADY_S / FRAME_S)
    if len(level) < size:
        return []
    windows = sliding_window_view(level, size)
    still = (windows.std(axis=1) < STEADY_DB) & (windows.mean(axis=1) > STEADY_LEVEL_DB)
    frames = np.convolve(still, np.ones(size, int))
    return stretches(frames > 0)


def _keeps_colour(audio: Signal, sample_rate: int, start: int, end: int) -> bool:
    """Whether some half second of a stretch in frames sounds the same throughout."""
    size = round(STEADY_S / FRAME_S)
    starts = range(start, max(start, end - size) + 1, size // 5)
    return any(
        _colour_spread_db(audio, sample_rate, at, at + size) < STEADY_COLOUR_DB for at in starts
    )


def _colour_spread_db(audio: Signal, sample_rate: int, start: int, end: int) -> float:
    """How much the sound's colour changes between two frames: the mean spread of its bands."""
    samples = round(sample_rate * FRAME_S)
    inside = audio[start * samples : end * samples]
    frames = inside[: len(inside) // (2 * samples) * 2 * samples].reshape(-1, 2 * samples)
    power = np.abs(np.fft.rfft(frames * np.hanning(2 * samples), axis=1)) ** 2
    width_hz = sample_rate / (2 * samples)
    edges = np.round(np.geomspace(150, min(7000, sample_rate / 2), _BANDS + 1) / width_hz)
    bands = np.add.reduceat(power, edges.astype(int)[:-1], axis=1)[:, :_BANDS]
    return float(np.std(10 * np.log10(bands + 1e-12), axis=0).mean())


def _length(level: np.ndarray, end_s: float, text: str) -> Iterator[Finding]:
    sounding_s = np.count_nonzero(level > CUT_END_DB) * FRAME_S
    letters = sum(map(str.isalnum, text))
    if any(map(str.isdigit, text)) or not letters:  # a digit is a word
        return
    shortest_s = letters * SHORTEST_LETTER_S
    longest_s = letters * LONGEST_LETTER_S + SPARE_S
    if not shortest_s <= sounding_s <= longest_s:
        size = "short" if sounding_s < shortest_s else "long"
        reason = f"{sounding_s:.1f} s of sound for {letters} letters: too {size}"
        yield _finding("length", 0, end_s, text, reason)


def _finding(kind: str, start_s: float, end_s: float, expected: str, reason: str) -> Finding:
    return Finding(kind, start_s, end_s, "", expected, reason, NAME)
