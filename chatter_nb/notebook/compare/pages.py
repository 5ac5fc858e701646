"""A comparison as a notebook shows it: what differs, in a table, and players side by side."""

from __future__ import annotations

import html
import io
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import soundfile

from chatter_nb.audio.reading import Signal
from chatter_nb.base.project import resolve_path
from chatter_nb.base.wording import count
from chatter_nb.notebook.compare.acoustics import extremes
from chatter_nb.notebook.compare.compared import COMPARE, Comparison
from chatter_nb.notebook.compare.params import CompareParams
from chatter_nb.notebook.compare.pieces import Piece
from chatter_nb.notebook.compare.veil import veiled
from chatter_nb.notebook.players import (
    EMBED_LIMIT_BYTES,
    Picture,
    data_url,
    link_from,
    mime_of,
    peaks_of,
    waveform_player,
)

if TYPE_CHECKING:
    from IPython.display import HTML

SNIPPET_BINS = 300
MAX_VALUE = 160  # characters of a parameter's value
_GRID = (
    "display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,230px),1fr));gap:0 1.5em"
)


@veiled
def compare_table(comparison: Comparison) -> HTML:
    """Only the parameters that differ, a column a run."""
    from IPython.display import HTML

    if not comparison.differences:
        return HTML("<p>No parameter differs between these runs.</p>")
    left = 'style="text-align:left"'
    names = [f"{run.label}, {run.name}" for run in comparison.runs]
    head = "".join(f"<th {left}>{html.escape(name)}</th>" for name in ("parameter", *names))
    rows = "".join(
        f"<tr><th {left}>{html.escape(name)}</th>"
        + "".join(f"<td {left}>{html.escape(value)}</td>" for value in _short(values))
        + "</tr>"
        for name, values in comparison.differences.items()
    )
    return HTML(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")


@veiled
def compare_players(comparison: Comparison, params: CompareParams) -> HTML:
    """A row of players for each row of chunks: embedded for a person, linked in headless runs."""
    from IPython.display import HTML

    left_bytes = EMBED_LIMIT_BYTES if params.interactive else 0
    pages = []
    for number, row in enumerate(comparison.rows):
        page, used = _row(comparison, row, number, _links_from(params), left_bytes)
        left_bytes -= used
        pages.append(page)
    more = f"<p>… {count(comparison.hidden, 'more row')}</p>" if comparison.hidden else ""
    return HTML(f"<div data-together>{''.join(pages)}{more}</div>")


def flac(signal: Signal, rate_hz: int) -> bytes:
    """The samples as a FLAC file of 16 bits: nothing is lost that a wav would keep."""
    file = io.BytesIO()
    soundfile.write(file, signal, rate_hz, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def picture_of(signal: Signal, rate_hz: int, *, from_s: float = 0.0) -> Picture:
    """What a player draws of samples that it plays whole."""
    low, high = extremes(signal, -(-len(signal) // SNIPPET_BINS))
    return Picture(len(signal) / rate_hz, peaks_of(low, high), from_s=from_s)


def _row(
    comparison: Comparison,
    row: Sequence[Piece | None],
    number: int,
    starts: Sequence[Path],
    left_bytes: int,
) -> tuple[str, int]:
    """A row's HTML, and the bytes of audio embedded in it."""
    texts = [piece.text for piece in row if piece]
    same = len(set(texts)) == 1
    cells, used = [], 0
    for run, piece in zip(comparison.runs, row, strict=True):
        if piece is None:
            told = f"<small>{run.label}: nothing here</small>"
            cells.append(f'<div style="min-width:0">{told}</div>')
            continue
        player, size = _player(run.label, piece, starts, left_bytes - used)
        used += size
        text = "" if same else f"<div>{_marked(piece.text, texts)}</div>"
        cells.append(f'<div style="min-width:0">{text}{player}</div>')
    heading = html.escape(texts[0].strip()) if same else "the texts differ"
    return (
        f'<div style="margin:0 0 1em 0"><div><b>{number}</b> {heading}</div>'
        f'<div style="{_GRID}">{"".join(cells)}</div></div>'
    ), used


def _player(label: str, piece: Piece, starts: Sequence[Path], left_bytes: int) -> tuple[str, int]:
    signal, rate_hz = piece.read()
    told = f"{label}, {piece.name}, {len(signal) / rate_hz:.1f} s"
    content = flac(signal, rate_hz) if left_bytes or len(piece.spans) > 1 else b""
    if content and (len(content) <= left_bytes or len(piece.spans) > 1):
        urls = [data_url(content, "audio/flac")]
        picture = picture_of(signal, rate_hz)
        return waveform_player(urls, "audio/flac", told, picture), len(content)
    (span,) = piece.spans
    stretch = f"#t={span.start_s:.3f},{span.end_s:.3f}"
    urls = [link_from(span.path, start) + stretch for start in starts]
    picture = picture_of(signal, rate_hz, from_s=span.start_s)
    return waveform_player(urls, mime_of(span.path), told, picture), 0


def _links_from(params: CompareParams) -> list[Path]:
    """Where the executed notebook may lie: where it was run, or beside the answers."""
    return [Path.cwd(), resolve_path(params.outputs_dir) / COMPARE]


def _marked(text: str, texts: Sequence[str]) -> str:
    """A text with the words in bold that the first, or to the first the second, does not have."""
    other = next((one for one in texts if one != text), text)
    return " ".join(_words(text.split(), other.split()))


def _words(words: Sequence[str], other: Sequence[str]) -> Iterator[str]:
    matcher = SequenceMatcher(None, other, words, autojunk=False)
    for kind, _, _, start, end in matcher.get_opcodes():
        told = html.escape(" ".join(words[start:end]))
        if told:
            yield told if kind == "equal" else f"<b>{told}</b>"


def _short(values: Sequence[str]) -> list[str]:
    """Long values from shortly before they part."""
    if max(map(len, values)) <= MAX_VALUE:
        return list(values)
    columns = enumerate(zip_longest(*values))
    parted = next((at for at, letters in columns if len(set(letters)) > 1), 0)
    start = max(0, parted - MAX_VALUE // 4)
    before = "…" if start else ""
    cut = [value[start : start + MAX_VALUE] for value in values]
    return [
        f"{before}{part}{'…' if start + len(part) < len(value) else ''}"
        for part, value in zip(cut, values, strict=True)
    ]
