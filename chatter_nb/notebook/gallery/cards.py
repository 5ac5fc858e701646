"""A run's row as the gallery shows it: its players, its links, its parameters in words.

Numbers and paths only; what it looks like is in `pages/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from chatter_nb.notebook.gallery.differing import NOTHING, SUBJECTS, Contrast, is_default, told
from chatter_nb.notebook.gallery.listing import Row, is_plain, is_there
from chatter_nb.notebook.gallery.peaks import Peaks, PeakStore
from chatter_nb.runs.record import PARTIAL, RECORD, FileRecord, RunRecord

# As players are tried: mp3 first, since every browser plays it; wav last, as the largest.
_MIME = {
    ".mp3": "audio/mpeg",
    ".opus": "audio/ogg; codecs=opus",
    ".flac": "audio/flac",
    ".wav": "audio/wav",
}
_LOSSLESS_FIRST = (".wav", ".flac", ".mp3", ".opus")
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # a notebook's tracebacks are coloured


@dataclass(frozen=True)
class Link:
    """A file of a run's: where it is, seen from the page, and what to call it."""

    href: str
    label: str
    mime: str = ""


@dataclass(frozen=True)
class Player:
    """One output of a run: its files, smallest first, and its waveform."""

    name: str
    audio_s: float | None
    files: tuple[Link, ...]
    peaks: Peaks | None = None
    problem: str = ""


@dataclass(frozen=True)
class Setting:
    """A parameter's value in one run, for people and, as `key`, to sort by."""

    name: str
    told: str
    key: str
    default: bool = False


@dataclass(frozen=True)
class Card:
    """A row as the page shows it."""

    row: Row
    subject: tuple[str, str] = ("", "")  # what kind of source, and the text or the file's name
    columns: tuple[Setting, ...] = ()
    listed: tuple[Setting, ...] = ()
    voice: str = ""
    players: tuple[Player, ...] = ()
    links: tuple[Link, ...] = ()

    @property
    def traceback(self) -> str:
        return _TERMINAL_CODES.sub("", self.row.traceback)


def card(row: Row, compared: Contrast, store: PeakStore) -> Card:
    record = row.record
    if record is None:
        return Card(row, links=tuple(_links(row)))
    names = [name for name in compared.listed if name in record.params]
    return Card(
        row,
        subject=_subject(record, compared),
        columns=tuple(_setting(record, name) for name in compared.columns),
        listed=tuple(_setting(record, name) for name in names),
        voice=str(record.params.get("target" if record.kind == "convert" else "voice") or ""),
        players=tuple(_players(row.folder, record, store)),
        links=tuple(_links(row)),
    )


def _subject(record: RunRecord, compared: Contrast) -> tuple[str, str]:
    """What it was made from, unless that is the same for all and told above them."""
    for name in SUBJECTS:
        if name in compared.subjects and record.params.get(name):
            return name, str(record.params[name])
    return "", ""


def _setting(record: RunRecord, name: str) -> Setting:
    value = record.params.get(name)
    shown = told(value)
    key = "" if shown == NOTHING else str(int(value)) if isinstance(value, bool) else shown
    return Setting(name, shown, key, is_default(record, name))


def _players(folder: Path, record: RunRecord, store: PeakStore) -> Iterator[Player]:
    lengths_s = {output.name: output.audio_s for output in record.outputs}
    known = [file for file in record.files if Path(file.name).suffix in _MIME]
    outputs = dict.fromkeys(Path(file.name).stem for file in known if is_plain(file.name))
    for name in outputs:
        files = [file for file in known if is_plain(file.name) and Path(file.name).stem == name]
        yield _player(folder, name, lengths_s.get(name), files, store)


def _player(
    folder: Path, name: str, audio_s: float | None, files: list[FileRecord], store: PeakStore
) -> Player:
    there = [file for file in files if is_there(folder / file.name)]
    if not there:
        return Player(name, audio_s, (), problem=f"{files[0].name} is not there any more")
    changed = [file for file in there if (folder / file.name).stat().st_size != file.bytes]
    whole = [file for file in there if file not in changed]
    whole.sort(key=lambda file: _LOSSLESS_FIRST.index(Path(file.name).suffix))
    peaks = store.of((folder / file.name, file.sha256) for file in whole)
    problem = f"{changed[0].name} has changed since its run" if changed else ""
    if not peaks and not problem:
        problem = f"{whole[0].name} cannot be read: it is damaged"
    there.sort(key=lambda file: list(_MIME).index(Path(file.name).suffix))
    return Player(name, audio_s, tuple(_audio_link(folder, f) for f in there), peaks, problem)


def _audio_link(folder: Path, file: FileRecord) -> Link:
    suffix = Path(file.name).suffix
    label = f"{suffix[1:]} {_size(file.bytes)}"
    return Link(_href(folder.name, file.name), label, _MIME[suffix])


def _links(row: Row) -> Iterator[Link]:
    notebook = row.notebook
    if notebook:
        failed = "failed" in notebook.name
        label = "notebook of the failed run" if failed else "notebook"
        yield Link(_href(row.folder.name, notebook.name), label)
    for name in (RECORD, PARTIAL):
        if is_there(row.folder / name):
            yield Link(_href(row.folder.name, name), name)


def _href(*parts: str) -> str:
    """Relative to the page. A `#`, `?` or `%` in a name would end or change the path."""
    return "/".join(quote(os.fsencode(part), safe="") for part in parts)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.0f} kB"
