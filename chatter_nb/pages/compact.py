"""Audio that is small enough to travel inside a page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import soundfile

from chatter_nb.audio.reading import read_audio
from chatter_nb.base.formats import OUTPUT_FORMATS, mime_of, output_format_of, play_rank

_MP3 = OUTPUT_FORMATS["mp3"]  # every browser plays it
_MP3_RATES_HZ = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_OTHER_RATE_HZ = 24_000  # of audio at any other rate


def compact_audio(
    files: Sequence[Path], *, seconds: float, limit_bytes: int
) -> tuple[bytes, str] | None:
    """Return an output's audio as mp3 or opus, and its MIME type; None if it is above the limit.

    `files` hold the same audio of this length. If all are wav or flac, an mp3 is made. Raises
    `InputError` for a file that is missing or damaged.
    """
    path = min(files, key=play_rank)
    form = output_format_of(path)
    if form and not form.lossless:
        small = path.is_file() and path.stat().st_size <= limit_bytes
        return (path.read_bytes(), mime_of(path)) if small else None
    if seconds * (_MP3.bytes_per_s or 0) > limit_bytes:
        return None
    content = _as_mp3(path)
    return (content, _MP3.mime) if len(content) <= limit_bytes else None


def _as_mp3(path: Path) -> bytes:
    signal, rate_hz = read_audio(path)
    if rate_hz not in _MP3_RATES_HZ:
        signal, rate_hz = read_audio(path, sample_rate=_OTHER_RATE_HZ)
    file = io.BytesIO()
    soundfile.write(file, signal, rate_hz, format=_MP3.container, subtype=_MP3.subtype)
    return file.getvalue()
