"""Lines as a printed page has them: divided words made whole, and running heads found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from chatter_nb.text.word_list import word_list

_WORD = re.compile(r"[^\W\d_]+(?:[-‐][^\W\d_]+)*")
_DIVIDED = re.compile(r"(?P<head>[^\W\d_]+)(?P<mark>[-‐\u00ad])\Z")
_TAIL = re.compile(r"[^\W\d_]+")
_ENDINGS = ("", "s", "es", "d", "ed", "ing", "ly")
_NUMBER = re.compile(r"\A[ivxlc]{1,7}\Z|\d{1,4}")
_NUMBER_LINE = re.compile(r"\W*(?:page\s+)?(\d{1,4})(?:\s*(?:/|of)\s*\d{1,4})?\W*")
_DIGITS = re.compile(r"(?<!\d)\d{1,4}(?!\d)")
_FEWEST_PAGES = 4  # whose heads have the number that they should
_EDGE_LINES, _NEAR_PAGES = 2, 2  # left and right pages have heads of their own


class WordJoiner:
    """Joins the lines of paragraphs, and makes whole the words that their ends divide.

    Asked first is the text itself, which has "negative" or "well-known" elsewhere, then the word
    list of the embedded voice, which is English. A word is whole if the list has it, or if it has
    not both parts. `count` is the number of words made whole: none without `make_whole`.
    """

    def __init__(self, text: str, *, make_whole: bool) -> None:
        self._make_whole = make_whole
        self._seen = Counter(map(str.lower, _WORD.findall(text if make_whole else "")))
        self.count = 0

    def join(self, lines: Iterable[str], separator: str = " ") -> str:
        parts: list[str] = []
        for line in lines:
            before, tail = parts[-1] if parts else "", _TAIL.match(line)
            divided = _DIVIDED.search(before[-40:].lower())  # no part of a word is longer
            if self._make_whole and divided and tail and line[0].islower():
                whole = divided["mark"] == "\u00ad" or self._is_whole(divided["head"], tail[0])
                self.count += whole
                parts[-1] = before[:-1] if whole else before
            elif parts:
                parts.append(separator)
            parts.append(line)
        return "".join(parts)

    def _is_whole(self, head: str, tail: str) -> bool:
        whole, parted = self._seen[head + tail], self._seen[f"{head}-{tail}"]
        if whole != parted:
            return whole > parted
        has_parts = len(head) == 1 or (_is_known(head) and _is_known(tail))
        return _is_known(head + tail) or not has_parts


def running_heads(pages: Sequence[Sequence[str]]) -> set[tuple[int, int]]:
    """Page and line of lines at a page's edge that a page near it has too, but for numbers."""
    edges = [list(_edge_lines(page, at)) for at, page in enumerate(pages)]
    found: set[tuple[int, int]] = set()
    for at, page in enumerate(pages):
        others = edges[max(0, at - _NEAR_PAGES) : at] + edges[at + 1 : at + 1 + _NEAR_PAGES]
        near = {key for lines in others for _, _, key in lines}
        for number, outer, key in edges[at]:
            if key in near and (outer in (-1, len(page)) or (at, outer) in found):
                found.add((at, number))
    offsets = Counter(int(n) - at for at, line in found for n in _DIGITS.findall(pages[at][line]))
    counting = {f"page {offset}" for offset, count in offsets.items() if count >= _FEWEST_PAGES}
    for at, page in enumerate(pages):  # a chapter's first page has its number alone
        outermost = (line for line in edges[at] if line[1] in (-1, len(page)))
        found |= {(at, number) for number, _, key in outermost if key in counting}
    return found


def _edge_lines(page: Sequence[str], at: int) -> Iterator[tuple[int, int, str]]:
    """Lines at the head and the foot, from the edge inwards: each, its outer one, its likeness.

    A page number alone is like the others if it counts on.
    """
    for depth in range(min(_EDGE_LINES, len(page))):
        foot = len(page) - 1 - depth
        for edge, number, outer in (("head", depth, depth - 1), ("foot", foot, foot + 1)):
            line = " ".join(page[number].lower().split())
            alone = _NUMBER_LINE.fullmatch(line)
            key = f"page {int(alone[1]) - at}" if alone else f"{edge} {_NUMBER.sub('#', line)}"
            yield number, outer, key


def _is_known(word: str) -> bool:
    return any(word.removesuffix(end) in word_list() for end in _ENDINGS)
