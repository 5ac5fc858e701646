"""Where the words that are spoken stand in the text that is shown.

A voice says "figure three" where "Fig. 3" is written, "twelfth of March" for "12 March", and a long
word in parts. The two are compared word by word, in their order.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import accumulate
from typing import NamedTuple

# A word is what stands between spaces; a dash parts words, unless it joins two numbers ("3–5").
_WORD = re.compile(r"(?:(?!—|--|…|\.\.|–(?!\d))\S)+")
_SPOKEN_MARKS = "%&#@§"  # punctuation to Unicode, but said aloud: they stay with their word
# Initials ("p.m."), letters with their apostrophes, digits, and each sign that may be said aloud.
_ATOM = re.compile(
    r"(?<!\w)(?:[^\W\d_]\.)+[^\W\d_](?!\w)"
    r"|[^\W\d_]+(?:['’][^\W\d_]+)*"
    r"|\d+"
    r"|[^\w\s.,;:!?\"'“”„«»‘’()\[\]{}…*—–-]"
)
_SHORTEST_STEM = 2  # letters of an abbreviation by which its word is known: "Jan", "January"
_MOST_STEMS = 20  # words that are written otherwise, among which abbreviations are sought


class Place(NamedTuple):
    """A word's place in a text, in characters: [start, end)."""

    start: int
    end: int


class _Atom(NamedTuple):
    """The smallest piece of a word that is compared; `word` is the number of its word."""

    text: str
    word: int


def words_of(text: str) -> list[Place]:
    """The places of the words of a text, without the punctuation around them."""
    places = (_trimmed(text, *match.span()) for match in _WORD.finditer(text))
    return [place for place in places if place.start < place.end]


def place_words(spoken: Sequence[str], text: str) -> list[Place]:
    """The place of each spoken word in `text`: the word, or words, that are written for it.

    Several spoken words may have the same place ("3:30": "three", "thirty"), and a word that is
    said but not written gets its neighbour's. Places lie inside the text, in order.
    """
    places = words_of(text) or [Place(0, len(text))]
    targets = _targets(_atoms_of_words(spoken), _atoms_of_text(text, places))
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for atom, target in targets:
        first.setdefault(atom.word, target)
        last[atom.word] = target
    earlier = 0
    placed = []
    for number in range(len(spoken)):
        start = first.get(number, earlier)
        earlier = last.get(number, earlier)
        placed.append(Place(places[start].start, places[earlier].end))
    return placed


def _trimmed(text: str, start: int, end: int) -> Place:
    while start < end and _is_edge(text[start]):
        start += 1
    while start < end and _is_edge(text[end - 1]):
        end -= 1
    return Place(start, end)


def _is_edge(char: str) -> bool:
    return unicodedata.category(char)[0] in "PC" and char not in _SPOKEN_MARKS


def _atoms_of_words(words: Sequence[str]) -> list[_Atom]:
    return [
        _Atom(_folded(match[0]), number)
        for number, word in enumerate(words)
        for match in _ATOM.finditer(word)
    ]


def _atoms_of_text(text: str, places: Sequence[Place]) -> list[_Atom]:
    starts = [place.start for place in places]
    return [
        _Atom(_folded(match[0]), max(0, bisect_right(starts, match.start()) - 1))
        for match in _ATOM.finditer(text)
    ]


def _folded(atom: str) -> str:
    if atom.isascii():
        return atom.lower().replace(".", "")
    return unicodedata.normalize("NFKC", atom).casefold().replace("’", "'").replace(".", "")


def _targets(spoken: list[_Atom], written: list[_Atom]) -> list[tuple[_Atom, int]]:
    """For each atom of the spoken words the number of the word of the text that it belongs to."""
    if not written:
        return [(atom, 0) for atom in spoken]
    ours, theirs = [atom.text for atom in spoken], [atom.text for atom in written]
    if ours == theirs:
        return [(said, atom.word) for said, atom in zip(spoken, written, strict=True)]
    targets: list[tuple[_Atom, int]] = []
    # From 200 words on, frequent ones are matched only beside others: else the time is cubic.
    matcher = SequenceMatcher(None, ours, theirs)
    for kind, start, end, first, last in matcher.get_opcodes():
        said, read = spoken[start:end], written[first:last]
        if kind == "equal":
            targets += [(atom, of.word) for atom, of in zip(said, read, strict=True)]
        else:
            targets += _spread(said, read or written[max(0, first - 1) :][:1])
    return targets


def _spread(spoken: list[_Atom], written: list[_Atom]) -> list[tuple[_Atom, int]]:
    """Share atoms that are written otherwise among the words that stand in their place.

    An abbreviation gets the word that begins with it; the others are shared by their length.
    """
    few = max(len(spoken), len(written)) <= _MOST_STEMS
    for at, said in enumerate(spoken if few else ()):
        for by, atom in enumerate(written):
            if len(atom.text) >= _SHORTEST_STEM and said.text.startswith(atom.text):
                before = _spread(spoken[:at], written[:by] or [atom])
                after = _spread(spoken[at + 1 :], written[by + 1 :] or [atom])
                return [*before, (said, atom.word), *after]
    ends = list(accumulate(len(atom.text) for atom in written))
    starts = accumulate((len(atom.text) for atom in spoken), initial=0)
    scale = ends[-1] / max(1, sum(len(atom.text) for atom in spoken))
    shares = (bisect_right(ends, start * scale) for start, _ in zip(starts, spoken, strict=False))
    return [(said, written[share].word) for said, share in zip(spoken, shares, strict=True)]
