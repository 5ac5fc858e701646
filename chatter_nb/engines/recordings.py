"""A recording of a voice: measured, checked, and mended for the model that hears it.

The file stays as it is; a recording without a fault is heard as it is. Not here: where recordings
are kept (`voices`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from chatter_nb.audio.reading import MonoRecording, Signal, mix_notes, peak, read_recording
from chatter_nb.base.errors import InputError

MIN_S = 3.0  # upstream takes shorter recordings, but was made with prompts of 6 to 10 s
HEARD_S = 6.0  # what Chatterbox' T3 hears of a recording, the least of all models
QUIET_DB = -40.0  # RMS of the loud half; below it the room's noise becomes part of the voice
SILENT_PEAK_DB = -60.0
CLIPPED_SHARE = 1e-3  # of samples at full scale: louder than a click or two
SILENT_SHARE = 0.6
# Level between the loud and the quiet tenth of the frames. Speech has 40 dB, in noise 10 dB below
# it 15 dB, in noise as loud as itself 6 dB; noise alone has 1 dB, a hum less.
STEADY_DB = 6.0
FRAME_S = 0.02
_SPEECH_FLOOR_DB = -40.0  # below the recording's peak
TELEPHONE_HZ = 16_000  # at lower rates a recording has no s and no f

# What is mended, and how. Change the version with any of these: it is part of a mended voice's key.
PREPARATION = 1
ROOM_S, EDGE_S = 1.0, 0.2  # more than so much without speech at an end is cut to so much
LOUD_DB, LEVEL_DB, PEAK_DB = -10.0, -20.0, -1.0  # RMS of the loud half: above; the aim; its limit
_ABOVE_ROOM_DB, _BELOW_LOUD_DB, _CLEAR_DB = 6.0, 30.0, 16.0
_STEADY_FRAMES, _SPOKEN_FRAMES = 15, 8  # of 0.3 s, so that a click is no speech


@dataclass(frozen=True)
class Prepared:
    """A mono signal as a model hears it: the `span` (samples) of a recording, with a gain.

    `notes` say what was done. `key` tells it from the recording itself; empty if that is unchanged.
    """

    signal: Signal = field(repr=False, compare=False)
    span: tuple[int, int]
    gain_db: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        start, end = self.span
        return f"-prepared{PREPARATION}-{start}-{end}-{self.gain_db:g}" if self.notes else ""


def prepare(signal: Signal, sample_rate: int, *, min_s: float = MIN_S) -> Prepared:
    """Cut off what is before and after the speech, and level what is too quiet or too loud.

    Changes only what has such a fault, and leaves at least `min_s` seconds.
    """
    start, end = _spoken(signal, sample_rate)
    if end - start < min_s * sample_rate:
        start, end = 0, len(signal)
    cuts_s = {"beginning": start / sample_rate, "end": (len(signal) - end) / sample_rate}
    notes = [
        f"{cut_s:.1f} s without speech at its {place} are left out"
        for place, cut_s in cuts_s.items()
        if cut_s
    ]
    heard, gain_db = signal[start:end], 0.0
    figures = measure(heard, sample_rate)
    if figures.peak_db >= SILENT_PEAK_DB and not QUIET_DB <= figures.rms_db <= LOUD_DB:
        gain_db = round(min(LEVEL_DB - figures.rms_db, PEAK_DB - figures.peak_db), 1)
        heard = (heard * 10 ** (gain_db / 20)).astype(np.float32)
        notes.append(f"its {figures.rms_db:.0f} dB are levelled for the model by {gain_db:+g} dB")
    return Prepared(heard, (start, end), gain_db, tuple(notes))


def _spoken(signal: Signal, sample_rate: int) -> tuple[int, int]:
    """The span of the speech with `EDGE_S` around it; an end with less than `ROOM_S` stays."""
    spoken = np.flatnonzero(is_speech(signal, sample_rate)) * frame_samples(sample_rate)
    room, edge, whole = ROOM_S * sample_rate, round(EDGE_S * sample_rate), len(signal)
    start = int(spoken[0]) - edge if len(spoken) and spoken[0] > room else 0
    end = int(spoken[-1]) + edge if len(spoken) and whole - spoken[-1] > room else whole
    return start, end


def is_speech(signal: Signal, sample_rate: int) -> np.ndarray:
    """Whether each frame of `FRAME_S` may be speech: louder than the room, for a while.

    All are where the speech does not stand out of the room.
    """
    level = levels_db(signal, sample_rate)
    loud = float(np.sort(level)[-round(1 / FRAME_S) :].mean())
    room = float(np.percentile(level, 10))
    if loud - room < _CLEAR_DB:
        return np.ones(len(level), bool)
    active = level > max(room + _ABOVE_ROOM_DB, loud - _BELOW_LOUD_DB)
    near = np.convolve(active, np.ones(_STEADY_FRAMES), "same")
    return np.asarray(active & (near >= _SPOKEN_FRAMES))


def frame_samples(sample_rate: int) -> int:
    """The samples of a frame of about `FRAME_S`."""
    return max(1, round(FRAME_S * sample_rate))


def levels_db(signal: Signal, sample_rate: int) -> np.ndarray:
    """The level of each frame of `FRAME_S`, in dB of full scale."""
    return np.asarray(10 * np.log10(_powers(signal, sample_rate) + 1e-12))


def read_checked(
    path: Path, *, where: str, min_s: float = MIN_S, heard_s: float = HEARD_S
) -> tuple[MonoRecording, Prepared, list[str]]:
    """Read, mend and check a recording of a voice. Returns it as it was, mended, and notes.

    See `prepare` and `check_recording`, which sees its level as it was.
    """
    read = read_recording(path)
    mended = prepare(read.signal, read.sample_rate, min_s=min_s)
    part, rate = read.signal[slice(*mended.span)], read.sample_rate
    doubts = check_recording(part, rate, where=where, min_s=min_s, heard_s=heard_s)
    changes = [f"{where}: {note}" for note in mended.notes]
    return read, mended, [*mix_notes(read.channel, where=where), *changes, *doubts]


@dataclass(frozen=True)
class Figures:
    """Measurements of a recording: duration and peak of all of it, the rest of what a model hears.

    `rms_db` is the level of the louder half of the frames, in dB of full scale. `spread_db` is the
    level between the loud and the quiet tenth of the frames. `silent_share` counts frames 40 dB
    below the peak.
    """

    duration_s: float
    peak_db: float
    rms_db: float
    spread_db: float
    clipped_share: float
    silent_share: float


def measure(signal: Signal, sample_rate: int, *, heard_s: float = HEARD_S) -> Figures:
    """Measure a mono recording; level, clipping and silence are of its first `heard_s` seconds."""
    top = peak(signal)
    heard = signal[: math.ceil(min(heard_s * sample_rate, len(signal)))]
    power = np.sort(_powers(heard, sample_rate))
    floor = (top * 10 ** (_SPEECH_FLOOR_DB / 20)) ** 2
    quiet, loud = np.sqrt(np.percentile(power, [10, 90]))
    return Figures(
        duration_s=len(signal) / sample_rate,
        peak_db=_db(top),
        rms_db=_db(float(np.sqrt(power[len(power) // 2 :].mean()))),
        spread_db=_db(float(loud)) - _db(float(quiet)),
        clipped_share=float(np.mean(np.abs(heard) >= 0.999)),
        silent_share=float(np.mean(power <= floor)),
    )


def check_recording(
    signal: Signal, sample_rate: int, *, where: str, min_s: float = MIN_S, heard_s: float = HEARD_S
) -> list[str]:
    """Raise `InputError` for a recording that cannot serve as a voice: silent, or under `min_s`.

    Returns notes on what will sound worse: a recording that is quiet, clipped, mostly silence or
    only noise in its first `heard_s` seconds, which a model hears.
    """
    figures = measure(signal, sample_rate, heard_s=heard_s)
    if figures.peak_db < SILENT_PEAK_DB:
        raise InputError(
            f"{where}: silent (its peak is {figures.peak_db:.0f} dB): record it again, louder"
        )
    if figures.duration_s < min_s:
        # Turbo takes 5 s and a sample.
        needed = f"at least {min_s:g}" if min_s == int(min_s) else f"more than {int(min_s)}"
        raise InputError(
            f"{where}: {figures.duration_s:.2f} s long; {needed} s are needed, "
            "and 6 to 15 s of one person speaking are best"
        )
    is_longer = figures.duration_s > heard_s
    part = f"the first {heard_s:g} s, which the model hears," if is_longer else "it"
    doubts = list(_doubts(figures, part, is_longer))
    if sample_rate < TELEPHONE_HZ:
        doubts.append(f"{sample_rate} Hz, as a telephone's: the voice will sound so")
    return [f"{where}: {doubt}" for doubt in doubts]


def _doubts(figures: Figures, part: str, is_longer: bool) -> Iterator[str]:
    cure = ": cut off what is before the speech" if is_longer else ""
    if figures.silent_share > SILENT_SHARE:
        yield f"{figures.silent_share:.0%} of {part} is silence{cure}"
    elif figures.spread_db < STEADY_DB:
        yield f"nothing in {part} rises above a steady noise: no speech is heard{cure}"
    elif figures.rms_db < QUIET_DB:
        yield f"quiet ({figures.rms_db:.0f} dB): its noise becomes part of the voice"
    if figures.clipped_share > CLIPPED_SHARE:
        yield f"clipped ({figures.clipped_share:.1%} of samples at full scale)"


def _powers(signal: Signal, sample_rate: int) -> np.ndarray:
    """The power of each whole frame of `FRAME_S`; one zero if there is none."""
    frame = frame_samples(sample_rate)
    whole = signal[: len(signal) // frame * frame].reshape(-1, frame)
    return np.mean(whole.astype(np.float64) ** 2, axis=1) if len(whole) else np.zeros(1)


def _db(amplitude: float) -> float:
    return 20 * float(np.log10(max(amplitude, 1e-6)))
