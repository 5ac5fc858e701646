"""Masters a chapter: one gain, a limiter, room tone, the rate of the file; measured once encoded.

A chapter's signal is a spool: a file of its mono float32 samples, and nothing else. Nothing is
compressed: levels keep their distances within a chapter, but for peaks above the ceiling.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import butter, sosfilt, sosfreqz

from chatter_nb.audio.encoder import CODECS, CodecName
from chatter_nb.audio.limiter import Limiter
from chatter_nb.audio.measuring import BLOCK_SAMPLES, even_blocks, measure_file
from chatter_nb.audio.meter import Loudness, Meter
from chatter_nb.audio.reading import Signal, resample_blocks
from chatter_nb.audio.targets import Target
from chatter_nb.base.disk import part_path, remove, write_error

ROOM_TONE_DB = -66.0  # RMS: below the -60 dB that ACX asks for, above digital silence
_TONE_HZ = (80.0, 1000.0)  # a quiet room: little hiss, no rumble
MOST_GAIN_DB = 30.0  # what needs more is no speech


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


def master_chapter(
    spool: Path, path: Path, target: Target, *, sample_rate: int, codec_name: CodecName
) -> ChapterReport:
    """Master the samples in `spool` (mono float32 at `sample_rate` Hz) to the file `path`.

    If the encoded file misses a level of the target, the chapter is encoded again, lower by 0.5 dB,
    and kept either way: see the report. Raises `OutputError` if the file cannot be written.
    """
    codec, is_best = CODECS[codec_name], target.mp3_bits_per_s is not None
    file_rate = codec.rate_for(target.sample_rate or sample_rate)
    part, meter = part_path(path), Meter(sample_rate)
    try:
        limiter = Limiter(sample_rate, ceiling_db=200)  # changes nothing
        for block in levelled(_spooled(spool), target, limiter, 0.0, sample_rate):
            meter.write(block)
        before, tries = meter.result(), 0
        full_db = min(MOST_GAIN_DB, target.missing_db(before) - codec.level_db)
        for lower_db in (0.0, -0.5):
            gain_db, tries = round(full_db + lower_db, 1), tries + 1
            limiter = Limiter(sample_rate, ceiling_db=target.ceiling_db + lower_db)
            blocks = levelled(_spooled(spool), target, limiter, gain_db, sample_rate)
            if target.room_tone:
                blocks = with_room_tone(blocks, sample_rate)
            if file_rate != sample_rate:
                blocks = resample_blocks(blocks, sample_rate, file_rate)
            codec.encode(blocks, part, rate=file_rate, is_best=is_best)
            file = measure_file(part)
            if not target.failures(file.loudness):
                break
        os.replace(part, path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        remove(part)
    after, limited_db = file.loudness, round(limiter.deepest_db, 1)
    failures = target.file_failures(file) if codec_name == "mp3" else target.failures(after)
    return ChapterReport(target.name, gain_db, limited_db, tries, before, after, tuple(failures))


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


def _spooled(spool: Path) -> Iterator[Signal]:
    with spool.open("rb") as file:
        while data := file.read(BLOCK_SAMPLES * 4):
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
