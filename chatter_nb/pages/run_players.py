"""The outputs of a finished run as players: their files, and their waveforms with chunks."""

from __future__ import annotations

from contextlib import suppress
from itertools import groupby
from pathlib import Path

from chatter_nb.audio.curves import duration_s, envelope
from chatter_nb.base.errors import InputError
from chatter_nb.base.formats import play_rank
from chatter_nb.base.project import resolve_path
from chatter_nb.pages.speakers import speakers_of
from chatter_nb.pages.waves import WAVE_BINS, Mark, Picture, peaks_of
from chatter_nb.runs.record import OutputRecord, RunRecord
from chatter_nb.runs.speech import Speech

SOURCES = "source"  # where a server keeps what a person uploaded, in the run's folder
SAME_S = 0.1  # a result is as long as its source, up to the rounding of rates


def files_of(speech: Speech, output: OutputRecord) -> list[Path]:
    """Return the audio files of an output, one for each format."""
    return [path for path in speech.files if path.stem == output.name]


def source_of(speech: Speech, output: OutputRecord) -> Path | None:
    """Return the recording that an output was converted from, if one of its length is there."""
    if speech.record.kind != "convert":
        return None
    path = resolve_path(speech.record.params["source"])
    places = (
        path / output.source,
        path.with_name(output.source),
        speech.folder / SOURCES / path.name,
    )
    found = next((place for place in places if place.is_file()), None)
    with suppress(InputError, RuntimeError, OSError):  # no recording any more
        if found and abs(duration_s(found) - output.audio_s) < SAME_S:
            return found
    return None


def lossless_file(speech: Speech, output: OutputRecord) -> Path:
    """Return an output's file that has lost least by its encoding."""
    return max(files_of(speech, output), key=play_rank)


def texts_of(record: RunRecord, output: OutputRecord) -> list[str]:
    """Return the text of an output's chunks; after a paragraph's pause a line ends."""
    chunks = record.chunks[output.first_chunk : output.first_chunk + output.chunks]
    sentence_ms = record.params.get("sentence_pause_ms", 0)
    least_ms = max(record.params.get("paragraph_pause_ms", 0), sentence_ms + 1)
    return [chunk.text + "\n" * (chunk.pause_ms >= least_ms) for chunk in chunks]


def script_of(record: RunRecord, output: OutputRecord) -> str:
    """Return the text of an output; of several speakers, a name stands where another begins."""
    speakers, texts = speakers_of(record), texts_of(record, output)
    chunks = zip(record.chunks[output.first_chunk :], texts, strict=False)
    parts = groupby(chunks, key=lambda pair: speakers.get(pair[0].speaker))
    said = ((who, "".join(text for _, text in pairs)) for who, pairs in parts)
    return "\n".join(f"{who.name}: {text}" if who else text for who, text in said).strip()


def picture_of(speech: Speech, output: OutputRecord) -> Picture:
    """Return an output's waveform with its chunks (or windows) and seams. Reads the audio."""
    record = speech.record
    _, low, high = envelope(lossless_file(speech, output), bins=WAVE_BINS)
    first, end = output.first_chunk, output.first_chunk + output.chunks
    texts = zip(record.chunks[first:end], texts_of(record, output), strict=True)
    speakers = speakers_of(record)
    chunks = [Mark(c.start_s, c.end_s, c.index, t, speakers.get(c.speaker)) for c, t in texts]
    windows = [Mark(w.start_s, w.end_s, w.index) for w in record.windows[first:end]]
    dialogue = (s for s in record.stretches if s.output == output.name)
    turns = [Mark(s.start_s, s.end_s, at, s.speaker) for at, s in enumerate(dialogue)]
    chapters = [(c.start_s, c.title) for c in record.chapters if first <= c.first_chunk < end]
    return Picture(
        seconds=output.audio_s,
        peaks=peaks_of(low, high),
        marks=chunks or turns or windows,
        seams_s=[samples / record.sample_rate for samples in output.seams_samples],
        noun="stretch" if turns else "window" if windows else "chunk",
        chapters=chapters if len(chapters) > 1 else (),
    )
