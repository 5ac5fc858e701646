"""Masters a chapter: notch, gain, limiter, room tone, rate of the file; measured once encoded.

A chapter's signal is a spool: a file of its mono float32 samples, and nothing else. Nothing is
compressed: levels keep their distances within a chapter, but for peaks above the ceiling.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.signal import butter, iirnotch, lfilter, sosfilt, sosfreqz

from chatter_nb.audio.encoder import CODECS, CodecName
from chatter_nb.audio.limiter import Limiter
from chatter_nb.audio.measuring import BLOCK_SAMPLES, even_blocks, measure_file
from chatter_nb.audio.meter import Loudness, Meter
from chatter_nb.audio.reading import Signal, resample_blocks
from chatter_nb.audio.targets import Target
from chatter_nb.base.disk import whole_file

ROOM_TONE_DB = -66.0  # RMS: below the -60 dB that ACX asks for, above digital silence
_TONE_HZ = (80.0, 1000.0)  # a quiet room: little hiss, no rumble
MOST_GAIN_DB = 30.0  # what needs more is no speech
_BAND_HZ = (4500, 5300)  # 200 Hz inside of it Chatterbox has a line: a tone in all that it says
_LINE_DB = 15.0  # above the band's median; made-up speech has 7 at most, with a line 24 at least
_FAINT_DB = -80.0  # RMS of a line that nobody hears
_FRAMES_PER_S, _FEWEST_FRAMES, _GROUP_FRAMES = 6, 24, 64  # frequencies are 6 Hz apart; 4 s; 11 s
_NOTCH_HZ = 60.0  # wide; with its centre right to 1 Hz, it takes off 30 dB


@dataclass(frozen=True)
class ChapterReport:
    """What mastering did to a chapter: its levels before, and in the encoded file after.

    `limited_db` is the limiter's largest reduction. `failures` says which numbers of the target the
    file misses after `tries` encodings; it is empty if there is none.
    """

    target: str
    gain_db: float
    limited_db: float
    tries: int
    before: Loudness
    after: Loudness
    failures: tuple[str, ...]
    head_s: float  # of silence, from the chapter's start to its sound
    notch_hz: float | None  # a tone that was taken out


def master_chapter(
    spool: Path, path: Path, target: Target, *, sample_rate: int, codec_name: CodecName
) -> ChapterReport:
    """Master the samples in `spool` (mono float32 at `sample_rate` Hz) to the file `path`.

    The file has the target's rate, else that of the samples, or the next that its codec has. If it
    misses a level of the target, the chapter is encoded again, lower by 0.5 dB, and kept either
    way: see the report. Raises `OutputError` if the file cannot be written.
    """
    codec, is_best = CODECS[codec_name], target.mp3_bits_per_s is not None
    file_rate = codec.rate_for(target.made_hz or target.sample_rate or sample_rate)
    meter = Meter(sample_rate)
    with whole_file(path) as part:
        notch_hz = steady_line_hz(spool, sample_rate)
        signal = partial(_notched, spool, notch_hz, sample_rate)
        limiter = Limiter(sample_rate, ceiling_db=200)  # changes nothing
        for block in levelled(signal(), target, limiter, 0.0, sample_rate):
            meter.write(block)
        before, tries = meter.result(), 0
        full_db = min(MOST_GAIN_DB, target.missing_db(before) - codec.level_db)
        for lower_db in (0.0, -0.5):
            gain_db, tries = round(full_db + lower_db, 1), tries + 1
            limiter = Limiter(sample_rate, ceiling_db=target.ceiling_db + lower_db)
            blocks = levelled(signal(), target, limiter, gain_db, sample_rate)
            if target.room_tone:
                blocks = with_room_tone(blocks, sample_rate)
            if file_rate != sample_rate:
                blocks = resample_blocks(blocks, sample_rate, file_rate)
            codec.encode(blocks, part, rate=file_rate, is_best=is_best)
            file = measure_file(part)
            if not target.failures(file.loudness):
                break
    after, limited_db = file.loudness, round(limiter.deepest_db, 1)
    failures = target.file_failures(file) if codec_name == "mp3" else target.failures(after)
    levels = (gain_db, limited_db, tries, before, after)
    return ChapterReport(target.name, *levels, tuple(failures), target.head_s, notch_hz)


def steady_line_hz(spool: Path, sample_rate: int) -> float | None:
    """The frequency in Hz of a tone near 4.9 kHz that sounds all the time; None if there is none.

    In the quietest fifth of the time voices pause, and the tone stands out. Digital silence, as
    between chunks, does not count. A chapter with less than 4 s of sound has no tone.
    """
    size = sample_rate // _FRAMES_PER_S
    window = np.hanning(size) * np.sqrt(8) / size  # a tone has its RMS
    first, last, edge = (hz // _FRAMES_PER_S for hz in (*_BAND_HZ, 200))
    quiet = []
    for block in _spooled(spool, size * _GROUP_FRAMES):
        frames = block[: len(block) // size * size].reshape(-1, size)
        frames = frames[np.count_nonzero(frames, axis=1) > 0.9 * size]
        if len(frames) >= _FEWEST_FRAMES and last < size // 2:
            powers = np.abs(np.fft.rfft(frames * window)[:, first:last]) ** 2
            quiet.append(np.percentile(powers, 20, axis=0))
    if not quiet:
        return None
    levels_db = 10 * np.log10(np.median(quiet, axis=0) + 1e-16)
    at = edge + int(levels_db[edge:-edge].argmax())
    before_db, peak_db, after_db = levels_db[at - 1 : at + 2]
    if peak_db < max(_FAINT_DB, np.median(levels_db) + _LINE_DB):
        return None
    between = (after_db - before_db) / 2 / (2 * peak_db - before_db - after_db)  # of a parabola
    return round(float((first + at + between) * sample_rate / size), 1)


def _notched(spool: Path, notch_hz: float | None, sample_rate: int) -> Iterator[Signal]:
    """The samples of a spool, without a tone if there is one."""
    wide = (notch_hz or 1) / _NOTCH_HZ
    filters, state = iirnotch(notch_hz or 1, wide, fs=sample_rate), np.zeros(2)
    for block in _spooled(spool):
        if notch_hz:
            block, state = lfilter(*filters, block, zi=state)
        yield block.astype(np.float32)


def levelled(
    blocks: Iterable[Signal], target: Target, limiter: Limiter, gain_db: float, sample_rate: int
) -> Iterator[Signal]:
    """The signal with its gain, limited, and silence around it; the same however it was cut."""
    gain = np.float32(10 ** (gain_db / 20))
    yield np.zeros(round(target.head_s * sample_rate), np.float32)
    for block in even_blocks(blocks):
        yield limiter.write(block * gain)
    yield limiter.finish()
    yield np.zeros(round(target.tail_s * sample_rate), np.float32)


def _spooled(spool: Path, samples: int = BLOCK_SAMPLES) -> Iterator[Signal]:
    with spool.open("rb") as file:
        while data := file.read(samples * 4):
            yield np.frombuffer(data, "<f4")


def with_room_tone(blocks: Iterable[Signal], sample_rate: int) -> Iterator[Signal]:
    """Room tone under the whole signal: under speech it is not heard, and so it has no edges."""
    generator = np.random.default_rng(1770)  # every chapter has the same
    shape = butter(1, _TONE_HZ, "bandpass", fs=sample_rate, output="sos")
    response = np.abs(sosfreqz(shape, 1 << 14)[1])
    level = 10 ** (ROOM_TONE_DB / 20) / np.sqrt(np.mean(response**2))
    state = np.zeros((len(shape), 2))
    for block in even_blocks(blocks):
        noise, state = sosfilt(shape, generator.standard_normal(len(block)), zi=state)
        yield block + (level * noise).astype(np.float32)
