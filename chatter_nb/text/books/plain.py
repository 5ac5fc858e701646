"""Plain text to chapters: at headings, and at the breaks that Markdown's headings have become."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chatter_nb.text.books.document import Block, Book, divide
from chatter_nb.text.headings import is_heading, set_headings_apart
from chatter_nb.text.line import CHAPTER_BREAK

_SEPARATOR = f"\n\n{CHAPTER_BREAK}\n\n"
_MAY_HEAD = re.compile(
    r"(?:\A\s*|(?<=\n)[ \t]*\n[ \t]*)(?P<paragraph>(?:chapter|prologue|epilogue)\b[^\n]{0,200}"
    r"(?:\n[^\n]*\S[^\n]*)?)",
    re.IGNORECASE,
)
_TITLE_CHARS = 80


def book_of_text(text: str, document: str) -> Book:
    """A plain text as a book, with nothing left out: the words of `Book.text` are its own.

    Chapters begin at headings ("Chapter Two") and at `CHAPTER_BREAK`, which is not in a part of it.
    """
    blocks: list[Block] = []
    entries: list[tuple[int, str, int]] = []
    line = 1
    for part in text.split(_SEPARATOR):
        starts = [0, *_heading_starts(part)]
        for start, end in zip(starts, [*starts[1:], len(part)], strict=True):
            piece = part[start:end]
            if title := _title(piece, after_break=bool(blocks)):
                entries.append((len(blocks), title, 1))
            if piece:
                blocks.append(Block("text", piece, f"{document}#line {line}"))
            line += piece.count("\n")
        line += _SEPARATOR.count("\n")
    if not entries:
        entries = [(0, document.rpartition(".")[0] or document, 1)]
    return Book(chapters=divide(blocks, entries))


def _heading_starts(text: str) -> Iterator[int]:
    """Where the headings in a text begin, but for one at its beginning."""
    lead = len(text) - len(text.lstrip())
    for match in _MAY_HEAD.finditer(text):
        first, _, _ = set_headings_apart(match["paragraph"]).partition("\n\n")
        if is_heading(first.strip()) and match.start("paragraph") > lead:
            yield match.start("paragraph")


def _title(piece: str, *, after_break: bool) -> str:
    """The title of a chapter that begins with a piece: its first line, if it can be one."""
    line, _, rest = piece.strip().partition("\n")
    is_alone = rest.startswith("\n") and len(line) <= _TITLE_CHARS
    is_title = is_heading(line) or (is_alone and not line.endswith((".", ",", ";")))
    return line[:_TITLE_CHARS] if is_title or after_break else ""
