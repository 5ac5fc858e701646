"""`contents`: the chapters of a document, and what of it is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from chatter_nb.base.errors import shorten
from chatter_nb.base.wording import count, minutes
from chatter_nb.cli.options import JsonOption, SetOption, pairs_of
from chatter_nb.cli.sources import from_here
from chatter_nb.params.runs import SpeakParams

_TITLE_CHARS = 60


def contents(
    document: Annotated[Path, typer.Argument(metavar="FILE", help="A document, or a folder.")],
    param: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a document's chapters with words and minutes, and what is left out.

    Choose chapters of a run by these numbers: -p chapters=1-3,7.
    """
    from chatter_nb.runs.speak_texts import chapter_rows, read_texts

    overrides = {"text_file": from_here(str(document)), **pairs_of(param)}
    params = SpeakParams.create(SpeakParams.coerce(overrides), where="contents")
    for source in read_texts(params):
        book, rows = source.book, chapter_rows(source, params)
        if as_json:
            about = {name: getattr(book, name) for name in ("title", "author", "language", "date")}
            skipped = [
                {"kind": part.kind, "place": str(part.place), "words": part.words}
                for part in book.skipped
            ]
            lists = {"chapters": rows, "skipped": skipped, "note": source.note}
            typer.echo(json.dumps({"name": source.name, **about, **lists}, ensure_ascii=False))
            continue
        title = book.title or document.name
        typer.echo(f"{title}, by {book.author}" if book.author else title)
        for row in rows:
            typer.echo(_line(row))
        words, total_s = (sum(row[name] for row in rows) for name in ("words", "audio_s"))
        typer.echo(f"{count(len(rows), 'chapter')}, {count(words, 'word')}, {minutes(total_s)}")
        if source.note:
            typer.echo(source.note)


def _line(row: dict[str, Any]) -> str:
    title = "  " * (row["level"] - 1) + (row["title"] or "(before the first chapter)")
    length = f"skipped: {row['skipped']}" if row["skipped"] else minutes(row["audio_s"])
    words = count(row["words"], "word")
    return (
        f"{row['number']:>4}  {shorten(title, _TITLE_CHARS):<{_TITLE_CHARS}} {words:>12}  {length}"
    )
