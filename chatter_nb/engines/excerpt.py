"""Ten seconds of a recording for a voice: proposed by measurement, and kept in a library.

What is measured without a model: level, pauses, clipping, and the pitch, whose spread is wider
where two people speak. Whether it is one person, only a listener knows.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import soundfile

from chatter_nb.audio.curves import FRAME_MS, pitch_of
from chatter_nb.audio.reading import Signal, inspect_audio, read_audio, resample
from chatter_nb.base.disk import part_path, writing
from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.engines.recordings import FRAME_S, check_recording, is_speech, levels_db
from chatter_nb.engines.voices import NAME, Library

EXCERPT_S = 10.0
LONGEST_S = 1800.0  # held in memory whole
_EDGE_S = 0.1  # without speech before it, if it begins in a pause
_PITCH_HZ = 8_000  # the rate at which the pitch is looked for: quick, and enough
_PAUSES = 0.25  # of speech are pauses between words: no fault


def best_excerpt(signal: Signal, sample_rate: int) -> tuple[float, float]:
    """The start and end in seconds of the best `EXCERPT_S` for a voice, from pause to pause.

    Little silence, a steady level and pitch, no clipping; all of it if it is no longer.
    """
    speech = is_speech(signal, sample_rate)
    spoken = np.flatnonzero(speech)
    if not len(spoken):
        return 0.0, min(EXCERPT_S, len(signal) / sample_rate)
    length, step = round(EXCERPT_S / FRAME_S), round(_EDGE_S / FRAME_S)
    first, last = max(0, int(spoken[0]) - step), min(len(speech), int(spoken[-1]) + step)
    if last - first <= length:
        return first * FRAME_S, last * FRAME_S
    badness = _badness(signal, sample_rate, speech, length)[first : last - length]
    begins = np.convolve(speech, np.ones(step), "full")[step - 1 :][first : last - length] == 0
    start = first + int(
        np.argmin(np.where(begins, badness, badness + (1e3 if begins.any() else 0)))
    )
    pauses = np.flatnonzero(~speech[start + length * 17 // 20 : start + length])
    end = start + (length * 17 // 20 + int(pauses[-1]) + 1 if len(pauses) else length)
    return start * FRAME_S, end * FRAME_S


def _badness(signal: Signal, sample_rate: int, speech: np.ndarray, length: int) -> np.ndarray:
    """How bad each stretch of `length` frames is for a voice, by the frame at which it starts."""
    count, frame = len(speech), round(FRAME_S * sample_rate)
    clipped = np.abs(signal[: count * frame]).reshape(-1, frame).max(axis=1) >= 0.999
    track = pitch_of(resample(signal, sample_rate, _PITCH_HZ), _PITCH_HZ).f0_hz
    pitch = 12 * np.log2(track[:: round(FRAME_S * 1000 / FRAME_MS)])
    pitch = np.pad(pitch, (0, count), constant_values=np.nan)[:count]

    def total(values: np.ndarray) -> np.ndarray:
        sums = np.cumsum(np.pad(values.astype(np.float64), (1, 0)))
        return sums[length:] - sums[:-length]

    def spread(values: np.ndarray, used: np.ndarray) -> np.ndarray:
        """The standard deviation of the `used` values; of fewer than an eighth it is infinite."""
        known, many = np.where(used, values, 0), total(used)
        few = many < length / 8
        mean = total(known) / np.maximum(many, 1)
        variance = total(known**2) / np.maximum(many, 1) - mean**2
        return np.where(few, np.inf, np.sqrt(np.maximum(variance, 0)))

    silence = np.maximum(0, 1 - total(speech) / length - _PAUSES)
    steady = spread(levels_db(signal, sample_rate), speech) / 6 + spread(pitch, pitch == pitch) / 4
    return np.asarray(4 * silence + steady + 50 * total(clipped) / length)


def keep_excerpt(
    name: str, path: Path, library: Library, start_s: float | None, end_s: float | None
) -> tuple[Path, float, float, list[str]]:
    """Keep part of a recording as a voice, mono, 24 bits. Returns its file, span and notes.

    Without `start_s` and `end_s` (seconds) it is the best part; with one of them `EXCERPT_S` from
    or to there. Raises `ParamError` for a name that cannot serve or is taken, `InputError` for a
    recording or a span that cannot serve.
    """
    if not NAME.fullmatch(name):
        raise ParamError(f"name {name[:80]!r}: use 1 to 64 of A-Z a-z 0-9 _ and -")
    duration_s = inspect_audio(path, longest_s=LONGEST_S).duration_s
    signal, rate = read_audio(path)
    if start_s is None and end_s is None:
        start_s, end_s = best_excerpt(signal, rate)
    start_s = max(0.0, (end_s or 0.0) - EXCERPT_S) if start_s is None else start_s
    end_s = min(duration_s, start_s + EXCERPT_S) if end_s is None else end_s
    if not 0 <= start_s < end_s <= duration_s + FRAME_S:
        raise InputError(
            f"{path.name} has {duration_s:.1f} s: {start_s:g} s to {end_s:g} s is no part of it"
        )
    part = signal[round(start_s * rate) : round(end_s * rate)]
    notes = check_recording(part, rate, where=path.name)
    target = library.folder / f"{name}.flac"
    with library.naming():
        if library.has(name):
            raise ParamError(
                f"there is a voice '{name}' already in {library.folder}: choose another name, or "
                "delete its file"
            )
        unfinished = part_path(target)
        with writing(target, soundfile.LibsndfileError):
            soundfile.write(unfinished, part, rate, format="FLAC", subtype="PCM_24")
            os.replace(unfinished, target)
    return target, start_s, end_s, notes
