"""Writes the gallery, `index.html`: a page about a folder of runs.

The page is a single file that opens from the disk, without a server or a network; it links the
audio files. `assets/` holds its look and its sorting; `rows` holds the contents of its table.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from chatter_nb.base.disk import write_whole
from chatter_nb.base.errors import InputError
from chatter_nb.base.project import shown_path
from chatter_nb.base.wording import count
from chatter_nb.batch.choices import CHOICES, MAX_NOTE, Choice, Choices, load_choices
from chatter_nb.batch.record import STATUSES, Ledger, moment, read_ledger
from chatter_nb.pages.compact import compact_audio
from chatter_nb.pages.gallery import differing
from chatter_nb.pages.gallery.peaks import PeakStore
from chatter_nb.pages.gallery.rows import APART, Link, Player, Row, is_apart, read_rows
from chatter_nb.pages.players import asset, data_url
from chatter_nb.pages.template import render
from chatter_nb.pages.waves import HEIGHT, outline
from chatter_nb.runs.folder import RECORD

PAGE, EMBEDDED_PAGE = "index.html", "gallery.html"
EMBED_TOTAL_BYTES = 15_000_000  # of audio in a file to send: 20 MB of mail, 40 minutes of speech
MAX_PLAYERS = 4  # of a run with more outputs, the other players are folded away
MAX_DOUBTS = 20  # chunks in doubt that the page lists of a run


@dataclass(frozen=True)
class Gallery:
    """What the page shows of a folder. `notes` and `problems` are sentences below its headline."""

    folder: Path
    ledger: Ledger
    rows: tuple[Row, ...]
    choices: Choices
    chosen_ms: int  # when choices.json was written
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_embedded: bool = False


def write_gallery(folder: Path, embed: bool = False) -> Path:
    """Write `folder/index.html` from the runs in `folder`, and return its path.

    `embed` writes `folder/gallery.html` instead, one file to send: its audio is inside it, up to
    `EMBED_TOTAL_BYTES`. Raises `InputError` if there is no such folder, `OutputError` if the page
    cannot be written. The page says which records and recordings are damaged, and shows all others.
    """
    gallery = read_gallery(folder)
    target = folder / (EMBEDDED_PAGE if embed else PAGE)
    page = render_gallery(embedded(gallery) if embed else gallery)
    write_whole(target, page.encode("utf-8", "replace"))  # names may hold what is no UTF-8
    return target


def read_gallery(folder: Path) -> Gallery:
    """Read what the page shows of a folder; raises `InputError` if there is no such folder."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of runs: give the outputs_dir of runs or a batch")
    ledger, store, path = read_ledger(folder), PeakStore(folder), folder / CHOICES
    rows, problems = read_rows(folder, ledger, store), ledger.problems
    store.prune()
    try:
        choices = load_choices(path)
    except InputError as error:
        choices, problems = Choices(), (*problems, str(error))
    chosen_ms = round(path.stat().st_mtime * 1000) if choices.choices else 0
    notes = tuple(_notes(folder))
    return Gallery(folder, ledger, tuple(rows), choices, chosen_ms, problems, notes)


def _notes(folder: Path) -> Iterator[str]:
    """Yield a sentence about each folder inside that `is_apart`, with the way to its runs."""
    for name, whose in APART.items():
        runs = len(list(folder.glob(f"{name}/*/{RECORD}"))) if is_apart(folder / name) else 0
        if runs:
            place = shlex.quote(shown_path(folder / name))
            yield f"Not here: {count(runs, 'run')} {whose} (chatter-nb gallery {place} --open)."


def embedded(gallery: Gallery) -> Gallery:
    """Return the gallery with its audio inside and no links; if not all fits, marked runs first."""
    choices = gallery.choices.choices
    left_bytes, rows = EMBED_TOTAL_BYTES, {}

    def weight(row: Row) -> tuple[bool, int]:
        choice = choices.get(row.name, Choice())
        return choice.keep or choice.compare, choice.stars

    for row in sorted(gallery.rows, key=weight, reverse=True):
        players = []
        for player in row.players:
            inside, size_bytes = _embed(gallery.folder, player, left_bytes)
            left_bytes -= size_bytes
            players.append(inside)
        rows[row.name] = replace(row, players=tuple(players), links=())
    left_out = sum(not player.files for row in rows.values() for player in row.players)
    note = f"The audio is inside this file, up to {EMBED_TOTAL_BYTES / 1e6:.0f} MB"
    note += f"; {count(left_out, 'recording')} had no room" if left_out else ""
    ordered = tuple(rows[row.name] for row in gallery.rows)
    return replace(gallery, rows=ordered, notes=(*gallery.notes, f"{note}."), is_embedded=True)


def _embed(folder: Path, player: Player, left_bytes: int) -> tuple[Player, int]:
    """Return a player with its audio inside, or with the reason why not; and the audio's size."""
    paths = [folder / unquote(file.href) for file in player.files]
    if not paths:
        return player, 0
    try:
        audio = compact_audio(paths, seconds=player.audio_s or 0, limit_bytes=left_bytes)
    except InputError as error:
        return replace(player, files=(), problem=str(error)), 0
    if audio is None:
        return replace(player, files=(), problem="no room for its audio in this file"), 0
    return replace(player, files=(Link(data_url(*audio), "", audio[1]),)), len(audio[0])


def headline(rows: Sequence[Row]) -> str:
    """Return the result in a line: "20 runs: 19 ok, 1 failed · 1 h 12 min of audio · RTF 0.05"."""
    if not rows:
        return "No runs yet"
    numbers = Counter(row.status for row in rows)
    outcome = ", ".join(f"{numbers[status]} {status}" for status in STATUSES if numbers[status])
    if len(numbers) == 1:
        outcome = f"all {rows[0].status}" if len(rows) > 1 else rows[0].status
    complete = [row for row in rows if row.record and row.record.status == "ok" and row.audio_s]
    parts = [f"{count(len(rows), 'run')}: {outcome}"]
    if complete:
        audio_s = sum(row.audio_s or 0 for row in complete)
        wall_s = sum(row.wall_s or 0 for row in complete)
        parts += [f"{in_words(audio_s)} of audio", f"RTF {two_digits(wall_s / audio_s)}"]
    return " · ".join(parts)


def clock(seconds: float | None) -> str:
    """Return a length for a table: "0.03 s", "4.2 s", "42 s", "6:12", "1 h 12 min"."""
    if seconds is None:
        return "–"
    if seconds < 0.095:
        return f"{two_digits(seconds)} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    return f"{minutes}:{rest_s:02}" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def in_words(seconds: float) -> str:
    """Return a length for a sentence: "42 s", "6 min 12 s", "1 h 12 min"."""
    minutes, colon, rest_s = clock(seconds).partition(":")
    return f"{minutes} min {int(rest_s)} s" if colon else minutes


def two_digits(value: float | None) -> str:
    """Return a ratio with two significant digits, without an exponent."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 10 else f"{float(f'{value:.2g}'):.6f}".rstrip("0").rstrip(".")


def render_gallery(gallery: Gallery, *, save_to: str = "") -> str:
    """Return the page's HTML; it sends choices to the address `save_to`, if a server is there."""
    rows, choices = gallery.rows, gallery.choices.model_dump(mode="json")["choices"]
    numbers = Counter(row.status for row in rows)
    drawn = [player.peaks for row in rows for player in row.players if player.peaks]
    loudest = max((peaks.loudest for peaks in drawn), default=0)
    return render(
        "gallery.html",
        style=asset("page.css") + asset("gallery.css"),
        script=asset("gallery.js") + asset("choices.js"),
        saves=bool(save_to),
        save_to=save_to,
        choices=json.dumps(choices),
        max_note=MAX_NOTE,
        gallery=gallery,
        title=gallery.folder.resolve().name,
        headline=headline(rows),
        ledger=gallery.ledger,
        rows=rows,
        contrast=differing.contrast([row.record for row in rows if row.record]),
        differing=differing,
        order=STATUSES,
        statuses=[(status, numbers[status]) for status in STATUSES if numbers[status]],
        engines=Counter(row.record.engine.name for row in rows if row.record),
        path_of=lambda peaks: outline(peaks, full=loudest),
        wave_height=HEIGHT,
        any_checked=any(row.doubtful is not None for row in rows),
        max_doubts=MAX_DOUBTS,
        max_players=MAX_PLAYERS,
        moment=moment,
        clock=clock,
        two_digits=two_digits,
        count=count,
    )
