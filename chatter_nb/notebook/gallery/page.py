"""The page of a folder of runs, `index.html`: listen through them, compare, find what failed.

One file that opens from the disk, without a server or a network; only the audio stays beside it.
What it looks like and how it sorts is in `pages/`; what stands in a row comes from `listing`.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from chatter_nb.base.disk import write_whole
from chatter_nb.base.errors import InputError
from chatter_nb.base.wording import count
from chatter_nb.notebook.gallery.cards import card
from chatter_nb.notebook.gallery.differing import contrast
from chatter_nb.notebook.gallery.listing import (
    STATUSES,
    BatchRecord,
    Row,
    moment,
    read_ledger,
    read_rows,
)
from chatter_nb.notebook.gallery.peaks import HEIGHT, PeakStore, outline

if TYPE_CHECKING:
    from jinja2 import Template

PAGE = "index.html"
MAX_PLAYERS = 4  # of a run with many outputs; the others are folded away
MAX_WORDS = 140  # characters of a text, and of a reason, before it is folded


def write_gallery(folder: Path) -> Path:
    """Write `folder/index.html` anew from the runs in `folder`; returns its path.

    Raises `InputError` if there is no such folder, `OutputError` if the page cannot be written.
    A damaged record, ledger or recording is told on the page and stops nothing.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of runs: give the outputs_dir of a batch")
    ledger = read_ledger(folder)
    rows = read_rows(folder, ledger)
    store = PeakStore(folder)
    page = _render(folder, ledger, rows, store)
    target = folder / PAGE
    write_whole(target, page.encode("utf-8", "replace"))  # names may hold what is no UTF-8
    store.prune()
    return target


def headline(rows: Sequence[Row]) -> str:
    """What came out: "20 runs: 19 ok, 1 failed · 1 h 12 min of audio · RTF 0.05"."""
    if not rows:
        return "No runs yet"
    found = Counter(row.status for row in rows)
    told_of = ", ".join(f"{found[status]} {status}" for status in STATUSES if found[status])
    if len(found) == 1:
        told_of = f"all {rows[0].status}" if len(rows) > 1 else rows[0].status
    made = [row for row in rows if row.record and row.record.status == "ok" and row.audio_s]
    parts = [f"{count(len(rows), 'run')}: {told_of}"]
    if made:
        audio_s = sum(row.audio_s or 0 for row in made)
        wall_s = sum(row.wall_s or 0 for row in made)
        parts += [f"{in_words(audio_s)} of audio", f"RTF {two_digits(wall_s / audio_s)}"]
    return " · ".join(parts)


def clock(seconds: float | None) -> str:
    """A length in a table: "0.03 s", "4.2 s", "42 s", "6:12", "1 h 12 min"."""
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
    """A length in a sentence: "42 s", "6 min 12 s", "1 h 12 min"."""
    minutes, colon, rest_s = clock(seconds).partition(":")
    return f"{minutes} min {int(rest_s)} s" if colon else minutes


def two_digits(value: float | None) -> str:
    """A ratio to two significant digits, without an exponent."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 10 else f"{float(f'{value:.2g}'):.6f}".rstrip("0").rstrip(".")


def beginning(text: str) -> str:
    """What is seen of a long text: up to `MAX_WORDS` characters, whole words where it has any."""
    words = text[: MAX_WORDS + 1].rsplit(maxsplit=1)
    return words[0] if len(words) == 2 else text[:MAX_WORDS]


def _render(folder: Path, ledger: BatchRecord, rows: Sequence[Row], store: PeakStore) -> str:
    from markupsafe import Markup

    compared = contrast([row.record for row in rows if row.record])
    cards = [card(row, compared, store) for row in rows]
    drawn = [player.peaks for one in cards for player in one.players if player.peaks]
    loudest = max((peaks.loudest for peaks in drawn), default=0)
    style, script = _asset("gallery.css"), _asset("gallery.js")
    return _template().render(
        title=folder.resolve().name,
        headline=headline(rows),
        ledger=ledger,
        cards=cards,
        contrast=compared,
        order=STATUSES,
        statuses=[(s, n) for s in STATUSES if (n := sum(row.status == s for row in rows))],
        engines=Counter(row.record.engine.name for row in rows if row.record),
        style=Markup(style),
        script=Markup(script),
        style_hash=_csp_hash(style),
        script_hash=_csp_hash(script),
        path_of=lambda peaks: outline(peaks, full=loudest),
        wave_height=HEIGHT,
        max_players=MAX_PLAYERS,
        max_words=MAX_WORDS,
        beginning=beginning,
        moment=moment,
        clock=clock,
        two_digits=two_digits,
        count=count,
    )


def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    kinds = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return kinds.from_string(_asset("gallery.html"))


def _asset(name: str) -> str:
    return (
        resources.files("chatter_nb.notebook").joinpath("assets", name).read_text(encoding="utf-8")
    )


def _csp_hash(text: str) -> str:
    """What lets the page run this text and no other: a second wall, should escaping ever fail."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
