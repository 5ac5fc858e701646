"""The table of audio formats: what every room knows about a format stands here, and only here.

A new output format is a row of `FORMATS` with a `subtype`, and its name in `OutputName`, by which
mypy and pydantic know it. Not here: the codecs of audio that is streamed (`serve.encoding`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

OutputName = Literal["wav", "flac", "mp3", "opus", "m4b"]  # in the table's order


@dataclass(frozen=True)
class Format:
    """An audio format: how its files are named, read, written and played, and what they cost.

    `containers` are libsndfile's names; files are written in the first. `subtype` is libsndfile's
    too, of wav for 16 bits; empty where files are read only. (Opus is written by FFmpeg; a format
    that is `muxed` is put together at the end of a run: `audio.book_file`.) Where FFmpeg reads,
    `containers` are its demuxers, in small letters.
    `bytes_per_s` is of 24 kHz speech, roughly; None: of as many samples as there are. With
    `master: acx` it is `best_bytes_per_s`.
    `encoding_rtf` is seconds of work a second of audio, as `bench embedded` measures it; it is done
    beside the model.
    """

    name: str  # what people call it
    containers: tuple[str, ...]
    suffixes: tuple[str, ...]  # of files; the first is that of files that are written
    mime: str = "application/octet-stream"  # where no browser plays it
    codecs: str = ""  # of a container that may hold others
    subtype: str = ""
    purpose: str = ""  # what such a file is for
    play_rank: int = 0  # players try the lowest first; the highest is nearest to what was made
    lossless: bool = False
    muxed: bool = False
    rates_hz: tuple[int, ...] = ()  # empty: any
    bytes_per_s: int | None = None
    best_bytes_per_s: int = 0
    encoding_rtf: float = 0.0

    @property
    def container(self) -> str:
        """The container in which files are written."""
        return self.containers[0]

    @property
    def suffix(self) -> str:
        return self.suffixes[0]

    @property
    def source_type(self) -> str:
        """The MIME type with the codec, by which a browser tells whether it can play a file."""
        return f"{self.mime}; codecs={self.codecs}" if self.codecs else self.mime


FORMATS = (
    Format(
        "wav",
        ("WAV", "WAVEX"),
        (".wav",),
        "audio/wav",
        subtype="PCM_16",
        purpose="nothing lost",
        play_rank=5,
        lossless=True,
    ),
    Format(
        "flac",
        ("FLAC",),
        (".flac",),
        "audio/flac",
        subtype="PCM_16",
        purpose="nothing lost, half the size",
        play_rank=4,
        lossless=True,
        bytes_per_s=24_000,
    ),
    Format(
        "mp3",
        ("MP3",),
        (".mp3",),
        "audio/mpeg",
        subtype="MPEG_LAYER_III",
        purpose="plays everywhere",
        play_rank=1,  # every browser plays it
        bytes_per_s=6_000,
        best_bytes_per_s=24_000,
        encoding_rtf=0.009,
    ),
    Format("ogg", ("OGG",), (".ogg", ".oga"), "audio/ogg"),
    Format(
        "opus",
        ("OGG",),
        (".opus",),
        "audio/ogg",
        codecs="opus",
        subtype="OPUS",
        purpose="the smallest",
        play_rank=2,
        rates_hz=(8000, 12_000, 16_000, 24_000, 48_000),
        bytes_per_s=6_000,
        encoding_rtf=0.01,
    ),
    Format(
        "m4b",
        ("MP4",),
        (".m4b",),
        "audio/mp4",
        subtype="AAC",
        purpose="the book for audiobook players: chapters and cover inside",
        play_rank=3,
        muxed=True,
        bytes_per_s=8_200,
        best_bytes_per_s=16_200,
        encoding_rtf=0.01,
    ),
    Format("aiff", ("AIFF",), (".aiff", ".aif", ".aifc"), "audio/aiff"),
    Format("au", ("AU",), (".au",)),
    Format("caf", ("CAF",), (".caf",)),
    Format("w64", ("W64",), (".w64",)),
    Format("wav", ("RF64",), (".rf64",)),  # beyond 4 GiB
    # Phones and videos. An uploaded recording in "mov" is kept under the first of its suffixes.
    Format("m4a", ("mov",), (".m4a", ".mp4", ".m4v", ".mov", ".3gp", ".3g2"), "audio/mp4"),
    Format("webm", ("matroska",), (".webm", ".mkv", ".mka"), "audio/webm"),
    Format("ogg", ("ogg",), (".ogv", ".spx"), "audio/ogg"),
    Format("aac", ("aac",), (".aac",), "audio/aac"),
    Format("wma", ("asf",), (".wma", ".wmv", ".asf")),
    Format("amr", ("amr",), (".amr",)),
    Format("wavpack", ("wv",), (".wv",)),
    Format("ape", ("ape",), (".ape",)),
    Format("tta", ("tta",), (".tta",)),
    Format("dsd", ("dsf", "iff"), (".dsf", ".dff")),
    Format("ac3", ("ac3", "eac3"), (".ac3", ".eac3")),
    Format("avi", ("avi",), (".avi",)),
    Format("flv", ("flv",), (".flv",)),
    Format("ra", ("rm",), (".ra", ".rm")),
)

# The formats that a run can write, by name.
OUTPUT_FORMATS: dict[OutputName, Format] = {
    cast("OutputName", row.name): row for row in FORMATS if row.subtype
}
# … and those of them that can be written as the samples come.
PLAIN_FORMATS = {name: row for name, row in OUTPUT_FORMATS.items() if not row.muxed}
RECORDING_SUFFIXES = tuple(suffix for row in FORMATS for suffix in row.suffixes)
# What FFmpeg may take a recording for: none of these names another file or an address.
DEMUXERS = tuple(name for row in FORMATS for name in row.containers if name.islower())
READABLE = " ".join(dict.fromkeys(row.name for row in FORMATS))
_BY_SUFFIX = {suffix: row for row in FORMATS for suffix in row.suffixes}


_TEXT_MIMES = {  # of files beside the audio
    ".srt": "application/x-subrip",
    ".vtt": "text/vtt",
    ".epub": "application/epub+zip",
}


def mime_of(path: Path) -> str:
    """The type that a browser is told, by the file's name."""
    row = _BY_SUFFIX.get(path.suffix.lower())
    return row.mime if row else _TEXT_MIMES.get(path.suffix, Format.mime)


def output_format_of(path: str | Path) -> Format | None:
    """The output format of a file, by its name; None for files of other kinds."""
    row = _BY_SUFFIX.get(Path(path).suffix)
    return row if row and row.subtype else None


def suffix_of(container: str) -> str | None:
    """The suffix for a recording in libsndfile's `container`; None for a format not taken."""
    return next((row.suffix for row in FORMATS if container in row.containers), None)


def play_rank(path: str | Path) -> int:
    """The place of an output's file among its others; see `Format.play_rank`."""
    return _BY_SUFFIX[Path(path).suffix].play_rank
