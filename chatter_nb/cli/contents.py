"""`contents`: the chapters of a document, and what of it is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chatter_nb.base.errors import shorten
from chatter_nb.base.wording import count, minutes
from chatter_nb.cli.options import SetOption, pairs_of
from chatter_nb.cli.sources import from_here
from chatter_nb.params.runs import SpeakParams

_TITLE_CHARS = 60


def contents(
    document: Annotated[Path, typer.Argument(metavar="FILE", help="A document, or a folder.")],
    param: SetOption = None,
) -> None:
    """Show a document's chapters, what is left out or put in words, and unknown words.

    Choose chapters of a run by these numbers: -p chapters=1-3,7.
    """
    from chatter_nb.runs.in_words import in_words_of
    from chatter_nb.runs.speak_texts import chosen_part, read_texts
    from chatter_nb.runs.unspeakable import unknown_in

    overrides = {"text_file": from_here(str(document)), **pairs_of(param)}
    params = SpeakParams.create(SpeakParams.coerce(overrides), where="contents")
    for source in read_texts(params):
        book = chosen_part(source, params).book
        lengths_s = book.lengths_s(params.language, params.speed)
        typer.echo((book.title or document.name) + (f", by {book.author}" if book.author else ""))
        for chapter, spoken_s in zip(book.chapters, lengths_s, strict=True):
            length = f"skipped: {chapter.skipped}" if chapter.skipped else minutes(spoken_s)
            name = "  " * (chapter.level - 1) + (chapter.title or "(before the first chapter)")
            name, words = shorten(name, _TITLE_CHARS), count(chapter.words, "word")
            typer.echo(f"{chapter.number:>4}  {name:<{_TITLE_CHARS}} {words:>12}  {length}")
        words = count(sum(chapter.words for chapter in book.chapters), "word")
        chapters, length = count(len(book.chapters), "chapter"), minutes(sum(lengths_s))
        typer.echo(f"{chapters}, {words}, {length}")
        notes = (source.note, *in_words_of(source, params), str(unknown_in(source, params)))
        for note in filter(None, notes):
            typer.echo(note)
