"""Shows a comparison in a notebook: a table of what differs, and players side by side."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from chatter_nb.audio.curves import extremes
from chatter_nb.base.formats import mime_of
from chatter_nb.base.project import resolve_path
from chatter_nb.base.wording import count
from chatter_nb.notebook.compare.compared import COMPARE, CompareParams, Comparison, Piece
from chatter_nb.notebook.compare.preferences import veiled
from chatter_nb.pages.players import (
    EMBED_LIMIT_BYTES,
    data_url,
    encoded,
    link_from,
    note,
    page,
    table,
    waveform_player,
)
from chatter_nb.pages.waves import Picture, peaks_of

if TYPE_CHECKING:
    from IPython.display import HTML

SNIPPET_BINS = 300
MAX_VALUE = 160  # characters of a parameter's value
_GRID = (
    "display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,230px),1fr));gap:0 1.5em"
)


@veiled
def compare_table(comparison: Comparison) -> HTML:
    """Return a table of the parameters that differ, with a column for each run."""
    if not comparison.differences:
        return note("No parameter differs between these runs.")
    names = ["parameter", *(f"{run.label}, {run.name}" for run in comparison.runs)]
    rows = [
        [html.escape(cell) for cell in (name, *_short(values))]
        for name, values in comparison.differences.items()
    ]
    return page(table(names, rows, head="th"))


@veiled
def compare_players(comparison: Comparison, params: CompareParams) -> HTML:
    """Return players in rows of chunks; the audio is embedded for a person, else linked."""
    left_bytes = EMBED_LIMIT_BYTES if params.interactive else 0
    # The executed notebook is in the folder where it ran, or beside the answers.
    starts = [Path.cwd(), resolve_path(params.outputs_dir) / COMPARE]
    rows = []
    for number, row in enumerate(comparison.rows):
        content, used = _row(comparison, row, number, starts, left_bytes)
        left_bytes -= used
        rows.append(content)
    more = f"<p>… {count(comparison.hidden, 'more row')}</p>" if comparison.hidden else ""
    return page(f"<div data-together>{''.join(rows)}{more}</div>")


def _row(
    comparison: Comparison,
    row: Sequence[Piece | None],
    number: int,
    starts: Sequence[Path],
    left_bytes: int,
) -> tuple[str, int]:
    """Return a row's HTML, and how many bytes of audio are embedded in it."""
    texts = [piece.text for piece in row if piece]
    same = len(set(texts)) == 1
    cells, used = [], 0
    for run, piece in zip(comparison.runs, row, strict=True):
        if piece is None:
            cells.append(f"<small>{run.label}: nothing here</small>")
            continue
        player, size = _player(run.label, piece, starts, left_bytes - used)
        used += size
        text = "" if same else f"<div>{_marked(piece.text, texts)}</div>"
        cells.append(text + player)
    heading = html.escape(texts[0].strip()) if same else "the texts differ"
    grid = "".join(f'<div style="min-width:0">{cell}</div>' for cell in cells)
    return (
        f'<div style="margin:0 0 1em 0"><div><b>{number}</b> {heading}</div>'
        f'<div style="{_GRID}">{grid}</div></div>'
    ), used


def _player(label: str, piece: Piece, starts: Sequence[Path], left_bytes: int) -> tuple[str, int]:
    """Return a piece's HTML, and how many bytes of audio are embedded in it.

    A piece of stretches from several files is always embedded: no link leads to it.
    """
    signal, rate_hz = piece.read()
    length_s = len(signal) / rate_hz
    title = f"{label}, {piece.name}, {length_s:.1f} s"
    peaks = peaks_of(*extremes(signal, -(-len(signal) // SNIPPET_BINS)))
    several = len(piece.spans) > 1
    content = encoded(signal, rate_hz, "FLAC") if left_bytes or several else b""
    if several or 0 < len(content) <= left_bytes:
        urls = [data_url(content, "audio/flac")]
        return waveform_player(urls, "audio/flac", title, Picture(length_s, peaks)), len(content)
    (span,) = piece.spans
    stretch = f"#t={span.start_s:.3f},{span.end_s:.3f}"
    urls = [link_from(span.path, start) + stretch for start in starts]
    picture = Picture(length_s, peaks, from_s=span.start_s)
    return waveform_player(urls, mime_of(span.path), title, picture), 0


def _marked(text: str, texts: Sequence[str]) -> str:
    """Return a text as HTML; words that the first different text lacks are bold."""
    other = next((other for other in texts if other != text), text)
    return " ".join(_words(text.split(), other.split()))


def _words(words: Sequence[str], other: Sequence[str]) -> Iterator[str]:
    matcher = SequenceMatcher(None, other, words, autojunk=False)
    for kind, _, _, start, end in matcher.get_opcodes():
        stretch = html.escape(" ".join(words[start:end]))
        if stretch:
            yield stretch if kind == "equal" else f"<b>{stretch}</b>"


def _short(values: Sequence[str]) -> list[str]:
    """Cut long values: each begins shortly before the place where they differ."""
    if max(map(len, values)) <= MAX_VALUE:
        return list(values)
    columns = enumerate(zip_longest(*values))
    differ_at = next((at for at, letters in columns if len(set(letters)) > 1), 0)
    start = max(0, differ_at - MAX_VALUE // 4)
    before = "…" if start else ""
    cut = [value[start : start + MAX_VALUE] for value in values]
    return [
        f"{before}{part}{'…' if start + len(part) < len(value) else ''}"
        for part, value in zip(cut, values, strict=True)
    ]
