"""Ten seconds of a recording for a voice: proposed by measurement, and kept in a library.

What is measured without a model: level, pauses, clipping, and the pitch, whose spread is wider
where two people speak. Whether it is one person, only a listener knows.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import soundfile

from chatter_nb.audio.curves import pitch_of
from chatter_nb.audio.reading import Signal, inspect_audio, read_audio, resample
from chatter_nb.base.disk import part_path, writing
from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.engines.offered import DEFAULT_VOICE
from chatter_nb.engines.recordings import (
    FRAME_S,
    check_recording,
    frame_samples,
    is_speech,
    levels_db,
)
from chatter_nb.engines.voices import NAME, Library

EXCERPT_S = 10.0
LONGEST_S = 1800.0  # held in memory whole
_LEAST_S = 8.5  # it ends in the last pause after so much
_EDGE_S = 0.1  # without speech at its beginning, if there is such a pause
_PITCH_HZ = 8_000  # the rate at which the pitch is looked for: quick, and enough
_PAUSES = 0.25  # of speech are pauses between words: no fault


def best_excerpt(signal: Signal, sample_rate: int) -> tuple[float, float]:
    """The start and end in seconds of the best `EXCERPT_S` for a voice, from pause to pause.

    Little silence, a steady level and pitch, no clipping; all of it if it is no longer.
    """
    speech, frame_s = is_speech(signal, sample_rate), frame_samples(sample_rate) / sample_rate
    length, edge = round(EXCERPT_S / frame_s), round(_EDGE_S / frame_s)
    spoken = np.flatnonzero(speech) if speech.any() else np.arange(len(speech))
    first, last = max(0, int(spoken[0]) - edge), min(len(speech), int(spoken[-1]) + edge)
    if last - first <= length:
        return first * frame_s, last * frame_s
    badness = _badness(signal, sample_rate, speech, length)[first : last - length]
    in_pause = np.convolve(speech, np.ones(edge))[edge - 1 :][first : last - length] == 0
    start = first + int(np.argmin(badness + np.where(in_pause, 0, 1e3)))
    least = start + round(_LEAST_S / frame_s)
    pauses = np.flatnonzero(~speech[least : start + length])
    end = least + int(pauses[-1]) + 1 if len(pauses) else start + length
    return start * frame_s, end * frame_s


def _badness(signal: Signal, sample_rate: int, speech: np.ndarray, length: int) -> np.ndarray:
    """How bad each stretch of `length` frames is for a voice, by the frame at which it starts."""
    count, frame = len(speech), frame_samples(sample_rate)
    clipped = np.abs(signal[: count * frame]).reshape(-1, frame).max(axis=1) >= 0.999
    track = pitch_of(resample(signal, sample_rate, _PITCH_HZ), _PITCH_HZ)
    places = np.searchsorted(track.times_s, np.arange(count) * frame / sample_rate)
    pitch = 12 * np.log2(track.f0_hz[np.minimum(places, len(track.f0_hz) - 1)])

    def total(values: np.ndarray) -> np.ndarray:
        sums = np.cumsum(np.pad(values.astype(np.float64), (1, 0)))
        return sums[length:] - sums[:-length]

    def spread(values: np.ndarray, used: np.ndarray) -> np.ndarray:
        """The standard deviation of the `used` values; of fewer than an eighth it is infinite."""
        known, many = np.where(used, values, 0), np.maximum(total(used), 1)
        variance = total(known**2) / many - (total(known) / many) ** 2
        return np.where(many < length / 8, np.inf, np.sqrt(np.maximum(variance, 0)))

    silence = np.maximum(0, 1 - total(speech) / length - _PAUSES)
    level = spread(levels_db(signal, sample_rate), speech)
    return 4 * silence + level / 6 + spread(pitch, np.isfinite(pitch)) / 4 + total(clipped) / 10


def keep_excerpt(
    name: str, path: Path, library: Library, start_s: float | None, end_s: float | None
) -> tuple[Path, float, float, list[str]]:
    """Keep part of a recording as a voice, mono, 24 bits. Returns its file, span and notes.

    Without `start_s` and `end_s` (seconds) it is the best part; with one of them `EXCERPT_S` from
    or to there. Raises `ParamError` for a name that cannot serve or is taken, `InputError` for a
    recording or a span that cannot serve.
    """
    if not NAME.fullmatch(name) or name.casefold() == DEFAULT_VOICE:
        known = f"use 1 to 64 of A-Z a-z 0-9 _ and -, but not '{DEFAULT_VOICE}'"
        raise ParamError(f"name {name[:80]!r}: {known}, the engine's own voice")
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
