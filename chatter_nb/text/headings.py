"""Finds headings of chapters in plain text: "Chapter Two", "CHAPTER IV. The Return", "Epilogue".

A heading has a chapter's pause before it and is a paragraph of its own. Prose that only begins like
a heading ("Chapter 7 of The Hobbit") is no heading. Lines that count on are paragraphs, too.
"""

from __future__ import annotations

import re
from itertools import pairwise

_HEADING = re.compile(
    r"(?:(?i:chapter)\s+[\w-]+|(?i:prologue|epilogue))\b"
    r"(?:\.|(?P<mark>[.:—–-]*)\s(?P<title>.{1,60})(?<![.!?,;”\"]))?"
)
_SMALL_WORDS = ("a", "an", "and", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to")
_ROMAN = re.compile(r"(?=[IVX])(?:X[CL]|L?X{0,3})(?:I[XV]|V?I{0,3})\.?")
_NUMBERED = re.compile(r"(?m)^[^\S\n]*(\d{1,3})[.)][^\S\n]+[^\s\d].*$")
_LINE = re.compile(r"(?:\A|(?<=\n\n))(?:Chapter|CHAPTER) [^\n]+(?=\n(?!\n))")


def is_heading(paragraph: str) -> bool:
    """Whether a paragraph has the form of a heading, with capitals in its title."""
    heading = _HEADING.fullmatch(paragraph)
    if not heading:
        return False
    title = re.findall(r"\w+", heading["title"] or "")
    goes_on = not heading["mark"] and title and title[0][0].islower()
    return not goes_on and all(not w[0].islower() or w in _SMALL_WORDS for w in title)


def is_numeral(paragraph: str) -> bool:
    """Whether a paragraph is only a Roman numeral, as a chapter's number is."""
    return bool(_ROMAN.fullmatch(paragraph))


def set_headings_apart(text: str) -> str:
    """The text with a blank line after each heading that is a paragraph's first line."""
    return _LINE.sub(_apart_if_heading, text)


def set_counted_lines_apart(text: str) -> str:
    """The text with lines whose numbers count on ("1. …", "2. …") as paragraphs."""
    places, lines = set[int](), list(_NUMBERED.finditer(text))
    for item, after in pairwise(lines):
        if int(after[1]) == int(item[1]) + 1 and "\n\n" not in text[item.end() : after.start()]:
            places |= {item.start(), after.start()}
            if text[after.end() + 1 : after.end() + 2].isupper():
                places.add(after.end() + 1)
    edges = [0, *sorted(places - {0}), len(text)]
    return "\n".join(text[start:end] for start, end in pairwise(edges))


def _apart_if_heading(line: re.Match[str]) -> str:
    next_line = line.string[line.end() + 1 : line.end() + 200].lstrip()
    goes_on = next_line[:1].islower()
    return f"{line[0]}\n" if is_heading(line[0].strip()) and not goes_on else line[0]
