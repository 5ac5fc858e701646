"""Finds what is said aloud in a text: quotes by their marks, and turns that begin with a dash.

Who says it is not known here. Every step is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from chatter_nb.text.line import BLOCK_BREAK, CHAPTER_BREAK

_PARAGRAPH_END = re.compile(rf"\n\s*\n|[{BLOCK_BREAK}{CHAPTER_BREAK}]|\Z")
_DASH_LINE = re.compile(r"^[^\S\n]*[—–―](?=[^\S\n]*[\w¿¡«…])", re.MULTILINE)
_CLOSES = {"“": "”", "„": "[“”]", "«": "»", "»": "«", '"': '"'}
_CLOSES_AT = {mark: re.compile(closing) for mark, closing in _CLOSES.items()}
_OPENS = [re.compile(rf"(?<!\w)(?:[“„«{single}]|»(?=\w)|\"(?=[^\s\"]))") for single in ("", "‘")]
# An apostrophe ends a word too: of "the dogs’ tails,’ he said" the second closes.
_SINGLE = re.compile(r"(?P<sure>(?<=[.,!?;:…—–])’(?!\w))|’(?!\w)|‘")
_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_SCARE_WORDS, _SCARE_CHARS = 3, 60
_NEAR = 20  # characters that are looked at beside a quote


class Quote(NamedTuple):
    """Characters [start, end) of a text, with the quotation marks.

    `is_open`: no mark closes it. `is_scare`: it is a word that is only called so.
    """

    start: int
    end: int
    is_open: bool = False
    is_scare: bool = False


def paragraphs(
    text: str, inserted: re.Pattern[str] | None = None
) -> Iterator[tuple[int, int, list[Quote]]]:
    """The start and the end of every paragraph, and the quotes in it.

    `inserted` finds words of the narrator inside what is said, as in ", dit Anna,". With it, a line
    that begins with a dash is said. Single quotes count if the text has more of them than double.
    """
    opens = _OPENS[text.count("‘") > text.count("“") + text.count('"') // 2]
    at = 0
    for gap in _PARAGRAPH_END.finditer(text):
        lines = _DASH_LINE.finditer(text, at, gap.start()) if inserted else ()
        dashes = {line.start() for line in lines}
        for start, end in pairwise(sorted({at, gap.start(), *dashes})):
            quotes = [Quote(start, end)] if start in dashes else _quotes(text, start, end, opens)
            yield start, end, list(_divided(text, quotes, inserted))
        at = gap.end()


def _quotes(text: str, start: int, end: int, opens: re.Pattern[str]) -> Iterator[Quote]:
    at = start
    while mark := opens.search(text, at, end):
        closed = _closed(text, mark, end)
        at = closed or end
        scare = _is_scare(text, start, mark.start(), at, end)
        yield Quote(mark.start(), at, closed is None, scare)


def _closed(text: str, mark: re.Match[str], end: int) -> int | None:
    """Where the quote that `mark` opens ends; None if no mark closes it."""
    if mark[0] != "‘":
        closing = _CLOSES_AT[mark[0]].search(text, mark.end(), end)
        return closing and closing.end()
    first = None
    for closing in _SINGLE.finditer(text, mark.end(), end):
        if closing[0] == "‘":
            break
        if closing["sure"]:
            return closing.end()
        first = first or closing.end()
    return first


def _is_scare(text: str, start: int, opened: int, closed: int, end: int) -> bool:
    """Whether a quote is at most three words inside a sentence, and no mark ends them."""
    words = text[opened + 1 : closed - 1].strip()
    before = text[max(start, opened - _NEAR) : opened].rstrip()
    after = text[closed : min(end, closed + _NEAR)].lstrip()
    is_apart = not before or before[-1] in ",:" or after.startswith(",")
    is_short = len(words) <= _SCARE_CHARS and len(_WORD.findall(words)) <= _SCARE_WORDS
    return is_short and words[-1:].isalnum() and not is_apart


def _divided(
    text: str, quotes: Iterable[Quote], inserted: re.Pattern[str] | None
) -> Iterator[Quote]:
    """The quotes without what is inserted in them, without spaces around, and no empty ones."""
    for quote in quotes:
        found = inserted.finditer(text, quote.start + 1, quote.end) if inserted else ()
        edges = [quote.start, *(edge for words in found for edge in words.span()), quote.end]
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            said, is_open = text[start:end], quote.is_open and end == quote.end
            if any(map(str.isalnum, said)):
                spoken = (end - len(said.lstrip()), start + len(said.rstrip()))
                yield Quote(*spoken, is_open, quote.is_scare)
