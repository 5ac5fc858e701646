"""PDF to books: lines by their boxes, in reading order, to paragraphs; the outline's chapters."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pypdfium2
from pypdfium2 import raw

from chatter_nb.base.errors import InputError
from chatter_nb.text.books import document
from chatter_nb.text.books.document import Block, Book, Skipped, count_words
from chatter_nb.text.books.lines import WordJoiner, running_heads
from chatter_nb.text.chunking import ends_sentence
from chatter_nb.text.line import without_breaks

# PDFium writes U+0002 or U+FFFE for a hyphen that ends a line, and no line break.
_LINE = re.compile(r"[^\r\n\x02\ufffe]*[^\s\x02\ufffe][^\r\n\x02\ufffe]*[\x02\ufffe]?")
_HYPHEN = str.maketrans("\x02\ufffe", "--", "\0")
_ITEM = re.compile(r"(?:[-–•·*◦▪]|\(?\d{1,2}[.)])\s")
_LEADERS = re.compile(r"(?:\s?\.){4,}\s*[\divxlc]+\Z", re.IGNORECASE)
_COLUMN_SHARE = 0.3  # of a page's lines, in the right one of two columns, at least
_HEADING_RATIOS = (1.5, 1.15)  # of a heading's letters to the usual ones
_HEADING_LINES = 3


class _Line(NamedTuple):
    text: str
    page: int  # from 0
    left: float  # this and what follows in points, from the page's left and lower edge
    right: float
    bottom: float
    height: float


def read_pdf(path: Path, clean: Collection[str]) -> Book:
    """A PDF with text. `clean`: see `skips.CLEANINGS`. Raises `InputError` for other ones."""
    try:
        pdf = pypdfium2.PdfDocument(path)
        pages = [_in_order(list(_lines(page, n)), page.get_width()) for n, page in enumerate(pdf)]
    except pypdfium2.PdfiumError as error:
        raise InputError(f"it is no PDF, or a damaged or encrypted one: {error}") from None
    skipped: list[Skipped] = []
    lines = list(_spoken_lines(pages, path.name, clean, skipped))
    if not lines:
        raise InputError("it has no text: of pictures, let a program recognise it first (OCR)")
    joiner = WordJoiner("\n".join(line.text for line in lines), make_whole="hyphens" in clean)
    usual = median(line.height for line in lines)
    blocks, firsts = [], []
    for part in _paragraphs(lines):
        ratio = part[0].height / (usual or 1) if len(part) <= _HEADING_LINES else 0
        level = next((n for n, least in enumerate(_HEADING_RATIOS, 1) if ratio >= least), 0)
        kind, place = "heading" if level else "paragraph", f"{path.name}#page {part[0].page + 1}"
        blocks.append(Block(kind, joiner.join(line.text for line in part), place, level))
        firsts.append(part[0])
    skipped += [Skipped("hyphens", path.name, 0)] * joiner.count
    title, author = (pdf.get_metadata_value(name) for name in ("Title", "Author"))
    chapters = document.divide_at_headings(blocks, title or path.stem)
    if entries := _entries(pdf, blocks, firsts):
        chapters = document.divide(blocks, entries)
    return Book(title=title, author=author, chapters=chapters, skipped=tuple(skipped))


def _spoken_lines(
    pages: list[list[_Line]], name: str, clean: Collection[str], skipped: list[Skipped]
) -> Iterator[_Line]:
    """The lines but those that `clean` takes out, which are added to `skipped`."""
    heads = running_heads([[line.text for line in page] for page in pages])
    for number, page in enumerate(pages):
        for at, line in enumerate(page):
            kind = "contents" if _LEADERS.search(line.text) else ""
            kind = "pages" if (number, at) in heads else kind
            if kind in clean:
                skipped.append(Skipped(kind, f"{name}#page {number + 1}", count_words(line.text)))
            else:
                yield line


def _lines(page: pypdfium2.PdfPage, number: int) -> Iterator[_Line]:
    textpage = page.get_textpage()
    text = textpage.get_text_range()
    if len(text) != (chars := textpage.count_chars()):  # then the places below are not its own
        text = "".join(chr(raw.FPDFText_GetUnicode(textpage, n)) for n in range(chars))
    for match in _LINE.finditer(text):
        first = match.end() - len(match[0].lstrip())
        last = match.start() + len(match[0].rstrip()) - 1
        left, bottom, _, top = textpage.get_charbox(first, loose=True)
        right = textpage.get_charbox(last, loose=True)[2]
        text = " ".join(without_breaks(match[0].translate(_HYPHEN)).split())
        yield _Line(text, number, left, right, bottom, top - bottom)


def _in_order(lines: list[_Line], width: float) -> list[_Line]:
    """From top to bottom; between lines across its middle a page of two columns by columns."""
    right = {line for line in lines if line.left > 0.45 * width}
    wide = {line for line in lines if line not in right and line.right > 0.55 * width}
    has_columns = len(right) >= _COLUMN_SHARE * len(lines)

    def place(line: _Line) -> tuple[float, ...]:
        above = sum(other.bottom > line.bottom for other in wide)
        column = (line in right) + 2 * (line in wide) if has_columns else 0
        return above, column, -round(line.bottom), line.left

    return sorted(lines, key=place)


def _paragraphs(lines: Sequence[_Line]) -> Iterator[list[_Line]]:
    falls = [a.bottom - b.bottom for a, b in pairwise(lines)]
    pitch = median([fall for fall in falls if fall > 0] or [0])
    paragraph = list(lines[:1])
    for line in lines[1:]:
        if _begins(paragraph, line, pitch):
            yield paragraph
            paragraph = []
        paragraph.append(line)
    yield paragraph


def _begins(paragraph: list[_Line], line: _Line, pitch: float) -> bool:
    """Whether a line begins a paragraph: by its letters' size, by the gap above, by its indent."""
    before, is_item = paragraph[-1], bool(_ITEM.match(paragraph[0].text))
    if _ITEM.match(line.text) or not 0.88 < line.height / (before.height or 1) < 1.14:
        return True
    fall, indent = before.bottom - line.bottom, (line.left - before.left) / (line.height or 1)
    if line.page != before.page or fall < 0:
        return ends_sentence(before.text, line.text)
    is_out = indent < -0.7 and (len(paragraph) > 1 or is_item)
    return is_out or (indent > 0.7 and not is_item) or fall > 1.35 * max(pitch, line.height)


def _entries(
    pdf: pypdfium2.PdfDocument, blocks: list[Block], firsts: list[_Line]
) -> list[tuple[int, str, int]]:
    """The outline's entries: first block, title, level. Blocks with their titles are headings."""
    entries = []
    words = [re.findall(r"\w+", block.text.lower()) for block in blocks]
    pages = [line.page for line in firsts]
    for mark in pdf.get_toc():
        page = (dest := mark.get_dest()) and dest.get_index()
        if page is None:
            continue
        title, level = mark.get_title(), min(6, mark.level + 1)
        wanted = re.findall(r"\w+", title.lower())
        first, end = bisect_left(pages, page), bisect_right(pages, page)
        titles = (n for n in range(first, end) if words[n][-len(wanted) :] == wanted)
        if (start := next(titles, None)) is not None:
            blocks[start] = replace(blocks[start], kind="heading", level=level)
        entries.append((first if start is None else start, title, level))
    return sorted(entries, key=lambda entry: entry[0])
