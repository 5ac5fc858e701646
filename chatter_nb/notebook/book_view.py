"""Shows a book: its contents before the run, the loudness of its chapters after it.

Notebooks use these functions through `show`.
"""

from __future__ import annotations

import html
from collections.abc import Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chatter_nb.audio.meter import SILENCE_DB, Loudness
from chatter_nb.audio.targets import TARGETS, Target
from chatter_nb.base.errors import shorten
from chatter_nb.base.wording import count, minutes
from chatter_nb.notebook.plots import ACCENT, GREY, INK, house_figure
from chatter_nb.pages.players import note, page, table

if TYPE_CHECKING:
    from IPython.display import HTML
    from matplotlib.figure import Figure

    from chatter_nb.params.runs import SpeakParams
    from chatter_nb.runs.record import LoudnessRecord
    from chatter_nb.runs.speech import Speech
    from chatter_nb.text.files import TextSource

_Panel = tuple[str, str, float, float]
MAX_TITLE = 30  # characters
MAX_TITLES = 50  # chapters; of more, only those that miss the target are named
_NOT_MEASURED = "Not measured: master is none. chatter-nb loudness FILE measures any file."


def contents(params: SpeakParams) -> HTML:
    """Return a table of the document's chapters, what is left out, and words to look at.

    Raises `InputError` if it cannot be read.
    """
    from chatter_nb.runs.speak_texts import chapters_of, read_texts  # loads what reads documents

    sources = read_texts(params)
    return page(*(_contents(source, chapters_of(source, params), params) for source in sources))


def names(params: SpeakParams) -> HTML:
    """Return a table of the words that the voice guesses at, with numbers and first sentences."""
    from chatter_nb.runs.names import names_in

    found, told = names_in(params)
    rows = [[html.escape(f"{cell}") for cell in name] for name in found]
    head = ("word", "times", "first in", "sounds")
    return page(f"<p>{html.escape(told)}</p>", table(head, rows) if rows else "")


def loudness(speech: Speech) -> Figure | HTML:
    """Draw each chapter's level, true peak and noise floor over what its target asks for.

    A line of text takes the figure's place if the chapters were not mastered.
    """
    records = sorted(speech.record.loudness, key=lambda record: Path(record.file).suffix)
    if not records:
        return note(_NOT_MEASURED)
    target = TARGETS[records[0].target]
    chapters = len(records) // len({Path(record.file).suffix for record in records})
    with house_figure(1, height_in=min(12, 1.3 + 0.24 * chapters), columns=3) as (figure, axes):
        figure.set_figwidth(7.6)  # its many small words are read at half the width of a window
        for ax, panel in zip(axes, _panels(target, records[0]), strict=True):
            _draw(ax, records, chapters, panel)
            ax.set_yticks([])
        failed = {n % chapters for n, record in enumerate(records) if record.failures}
        named = sorted(failed) if chapters > MAX_TITLES else range(chapters)
        axes[0].set_yticks(named, [shorten(records[n].chapter, MAX_TITLE) for n in named])
        handles = axes[0].get_legend_handles_labels()
        figure.legend(*handles, ncols=len(handles[0]), loc="outside lower right")
        good = f"{chapters - len(failed)} of {count(chapters, 'chapter')}"
        title = f"{good} keep {target.name}'s levels{_first_failure(records)}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def _contents(source: TextSource, chosen: Set[int] | None, params: SpeakParams) -> str:
    from chatter_nb.runs.in_words import in_words_of
    from chatter_nb.runs.unspeakable import unknown_in

    book, rows, words, spoken_s = source.book, [], 0, 0.0
    chosen = chosen or {chapter.number for chapter in book.chapters}
    lengths_s = book.lengths_s(params.language, params.speed)
    for chapter, length_s in zip(book.chapters, lengths_s, strict=True):
        left_out = chapter.skipped or ("" if chapter.number in chosen else "not chosen")
        words += 0 if left_out else chapter.words
        spoken_s += 0 if left_out else length_s
        title = html.escape(chapter.title or "(before the first chapter)")
        name = f'<span dir="auto" style="padding-left:{chapter.level - 1}em">{title}</span>'
        length = "" if chapter.skipped else minutes(length_s)
        rows.append((str(chapter.number), name, f"{chapter.words:,}", length, left_out))
    title = (book.title or source.name) + (f", by {book.author}" if book.author else "")
    unknown = str(unknown_in(source, params)).splitlines()
    notes = [f"{words:,} words are spoken, {minutes(spoken_s)}", source.note]
    notes += [*in_words_of(source, params), *unknown]
    below = "".join(f"<p>{html.escape(line)}</p>" for line in notes if line)
    head = ("number", "chapter", "words", "length", "left out")
    return f"<p><b>{html.escape(title)}</b></p>{table(head, rows)}{below}"


def _panels(target: Target, record: LoudnessRecord) -> Sequence[_Panel]:
    """Return the panels: label, key, lowest and highest level that is asked for; NaN: any."""
    _, shift = target.level_and_shift(Loudness(**record.after))  # type: ignore[arg-type]
    level = ("RMS (dB)", "rms_db") if target.is_rms else ("loudness (LUFS)", "lufs")
    return (
        (*level, target.lowest + shift, target.highest + shift),
        ("true peak (dB)", "true_peak_db", np.nan, target.peak_db),
        ("noise floor (dB)", "floor_db", np.nan, target.floor_db or np.nan),
    )


def _draw(ax: Any, records: Sequence[LoudnessRecord], chapters: int, panel: _Panel) -> None:
    label, key, low, high = panel
    rows = [number % chapters for number in range(len(records))]  # a format after the other
    colours = [ACCENT if record.failures else INK for record in records]
    levels = (record.before[key] for record in records)
    before = [level if level > SILENCE_DB else np.nan for level in levels]
    ax.plot(before, rows, "o", color=GREY, markersize=4, label="as the voice spoke")
    after = [record.after[key] for record in records]
    ax.scatter(after, rows, s=28, c=colours, label="in the file", zorder=3)
    values = [*before, *after, low, high]
    left, right = np.nanmin(values) - 1, np.nanmax(values) + 1
    ax.axvspan(np.fmax(low, left), high, color=INK, alpha=0.15, label="asked for")
    ax.set_xlim(left, right)
    ax.set_ylim(chapters - 0.4, -0.6)  # the first chapter at the top
    ax.set_xlabel(label)


def _first_failure(records: Sequence[LoudnessRecord]) -> str:
    """Return the first chapter that misses its target, and by what; "" if there is none."""
    failed = next((record for record in records if record.failures), None)
    return f"; {shorten(failed.chapter, MAX_TITLE)}: {failed.failures[0]}" if failed else ""
