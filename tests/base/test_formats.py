"""One table of audio formats, and no other."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import soundfile
from listings import PACKAGE, modules_that_list

from chatter_nb.audio.reading import read_audio
from chatter_nb.audio.writer import AudioWriter
from chatter_nb.base.formats import (
    FORMATS,
    OUTPUT_FORMATS,
    PLAIN_FORMATS,
    RECORDING_SUFFIXES,
    OutputName,
    mime_of,
    output_format_of,
    play_rank,
    suffix_of,
)
from chatter_nb.params.fields import fields_of
from chatter_nb.params.runs import ConvertParams, SpeakParams

RATE_HZ = 24_000
# The table itself; the codecs of streams, among which two formats are streamed only; and those of
# the chapters of a book.
TABLES = {"base/formats.py", "serve/encoding.py", "audio/encoder.py"}


def test_only_the_table_lists_the_formats():
    for names in (list(OUTPUT_FORMATS), [row.suffix for row in OUTPUT_FORMATS.values()]):
        assert modules_that_list(names, at_least=3) <= TABLES


def test_the_names_that_parameters_take_are_the_tables():
    """`OutputName` stands beside the table, since mypy reads no table."""
    names = get_args(OutputName)
    assert names == tuple(OUTPUT_FORMATS)
    for params in (SpeakParams, ConvertParams):
        assert fields_of(params)["formats"].choices == names
    assert f"# {' '.join(names)};" in (PACKAGE.parent / "params/README.md").read_text("utf-8")


@pytest.mark.parametrize("name", PLAIN_FORMATS)
def test_a_file_is_what_its_row_says(tmp_path, name):
    row = OUTPUT_FORMATS[name]
    tone = np.sin(np.arange(RATE_HZ, dtype=np.float32) / 9) / 2
    with AudioWriter(tmp_path, "tone", [name], sample_rate=RATE_HZ) as writer:
        writer.write(tone)
        writer.finish()
        (path,) = writer.commit()
    info = soundfile.info(str(path))
    assert (path.suffix, info.format, info.subtype) == (row.suffix, row.container, row.subtype)
    audio, _ = read_audio(path)
    assert len(audio) == len(tone)
    assert (np.abs(audio - tone).max() < 2**-15) == row.lossless
    assert output_format_of(path) is row
    assert mime_of(path) == row.mime != "application/octet-stream"


def test_players_begin_with_mp3_and_pictures_with_wav():
    names = [f"a.{name}" for name in OUTPUT_FORMATS]
    assert sorted(names, key=play_rank) == ["a.mp3", "a.opus", "a.m4b", "a.flac", "a.wav"]
    lossless = [row.lossless for row in sorted(OUTPUT_FORMATS.values(), key=lambda r: r.play_rank)]
    assert lossless == sorted(lossless)


def test_every_format_that_is_read_has_a_suffix_of_its_own():
    assert len(set(RECORDING_SUFFIXES)) == len(RECORDING_SUFFIXES)
    known = soundfile.available_formats()
    for row in FORMATS:
        for container in row.containers:
            assert (container in known) is (container.isupper() and not row.muxed)
            assert suffix_of(container) in RECORDING_SUFFIXES
    assert (suffix_of("OGG"), suffix_of("RF64"), suffix_of("SD2")) == (".ogg", ".rf64", None)
    assert (suffix_of("mov"), suffix_of("matroska")) == (".m4a", ".webm")
    assert mime_of(Path("VOICE.MP3")) == "audio/mpeg"
    assert output_format_of("voice.ogg") is None


def test_every_output_format_but_a_book_can_be_streamed():
    encoding = pytest.importorskip("chatter_nb.serve.encoding", exc_type=ImportError)
    assert tuple(encoding.STREAMED) == get_args(encoding.StreamName)
    assert set(PLAIN_FORMATS) <= set(encoding.STREAMED)
