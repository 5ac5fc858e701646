"""Writes the gallery, `index.html`: a page about a folder of runs.

The page is a single file that opens from the disk, without a server or a network; it links the
audio files. `assets/` holds its look and its sorting; `rows` holds the contents of its table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from chatter_nb.base.disk import write_whole
from chatter_nb.base.errors import InputError
from chatter_nb.base.wording import count
from chatter_nb.pages.gallery import differing
from chatter_nb.pages.gallery.ledger import STATUSES, BatchRecord, moment, read_ledger
from chatter_nb.pages.gallery.peaks import PeakStore
from chatter_nb.pages.gallery.rows import Row, read_rows
from chatter_nb.pages.players import HEIGHT, asset, outline
from chatter_nb.pages.template import render

PAGE = "index.html"
MAX_PLAYERS = 4  # of a run with more outputs, the other players are folded away
MAX_DOUBTS = 20  # chunks in doubt that the page lists of a run


def write_gallery(folder: Path) -> Path:
    """Write `folder/index.html` from the runs in `folder`, and return its path.

    Raises `InputError` if there is no such folder, `OutputError` if the page cannot be written.
    The page says which records and recordings are damaged, and shows all others.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of runs: give the outputs_dir of a batch")
    ledger, store = read_ledger(folder), PeakStore(folder)
    page = _render(folder, ledger, read_rows(folder, ledger, store))
    target = folder / PAGE
    write_whole(target, page.encode("utf-8", "replace"))  # names may hold what is no UTF-8
    store.prune()
    return target


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


def _render(folder: Path, ledger: BatchRecord, rows: Sequence[Row]) -> str:
    numbers = Counter(row.status for row in rows)
    drawn = [player.peaks for row in rows for player in row.players if player.peaks]
    loudest = max((peaks.loudest for peaks in drawn), default=0)
    return render(
        "gallery.html",
        style=asset("page.css") + asset("gallery.css"),
        script=asset("gallery.js"),
        title=folder.resolve().name,
        headline=headline(rows),
        ledger=ledger,
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
