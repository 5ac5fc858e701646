"""How the texts of a run are said: its own words first, then its lexicon's, then the rules.

A book's author may give the sounds of words at their places (`ssml:ph`), see `with_sounds`.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import accumulate, groupby

from chatter_nb.base.budget import ask
from chatter_nb.text.books.document import Block
from chatter_nb.text.chunking import Chunk, composed, plain
from chatter_nb.text.replacing import Finder, said_for
from chatter_nb.text.spoken.say import BOOK, LEXICON, Change, Spoken, say, with_changes

REPLACEMENTS = "replacements"
_OWN = (REPLACEMENTS, LEXICON)  # of the run


@dataclass(frozen=True)
class Saying:
    """What is said for texts of a `language`. `finders` have names, and come in their order.

    Each acts once on what those before it left, and never on what it put in. `sounds` returns what
    is said for a word by the sounds and the alphabet that a book gives.
    """

    language: str
    rules: Collection[str] = ()
    finders: Sequence[tuple[str, Finder]] = ()
    sounds: Mapping[tuple[str, str], Callable[[str], str]] = field(default_factory=dict)

    def say(self, text: str) -> Spoken:
        """What is said for a text, with every change. Linear in its length."""
        changes: list[Change] = []
        for name, finder in self.finders:
            found = [Change(f.start, f.end, said_for(f), name) for f in finder.find(text)]
            changes = sorted([*changes, *_apart(found, changes)], key=lambda change: change.start)
        parts, all_changes, left, at = list[str](), list[Change](), 0, 0
        for change in [*changes, Change(len(text), len(text), "", "")]:
            rest = say(text[at : change.start], self.language, self.rules)
            left += rest.left
            parts += [rest.text, change.said]
            all_changes += [replace(c, start=c.start + at, end=c.end + at) for c in rest.changes]
            all_changes += [change] if change.rule else []
            at = change.end
        return Spoken("".join(parts), tuple(all_changes), left)


def with_sounds(
    chunks: Sequence[Chunk], blocks: Sequence[Block], saying: Saying
) -> tuple[list[Chunk], int]:
    """The chunks with the sounds that their blocks have, and the number of places that are lost.

    A place is lost that a cut parts, or whose word no longer occurs as often as in its block.
    """
    marked, lost = list[Chunk](), 0
    for number, group in groupby(chunks, key=lambda chunk: chunk.block):
        own, block = list(group), blocks[min(number, len(blocks) - 1)] if blocks else None
        if block and saying.sounds and block.phonemes:
            given, missed = _places(block, [plain(chunk.text) for chunk in own], saying)
            own, lost = list(map(_with_given, own, given)), lost + missed
        marked += own
    return marked, lost


def _places(block: Block, texts: Sequence[str], saying: Saying) -> tuple[list[list[Change]], int]:
    """For each of the texts of a block the words whose sounds are given, and how many are lost."""
    starts = list(accumulate(map(len, texts), initial=0))
    given: list[list[Change]] = [[] for _ in texts]
    where = cache(lambda text, word: [m.start() for m in re.finditer(re.escape(word), text)])
    lost, whole = 0, "".join(texts)
    for first, last, *how in block.phonemes:
        ask("placing its sounds")
        written = block.text[first:last].strip()
        word = " ".join(plain(composed(written)).split())
        said = saying.sounds.get((how[0], how[1]))
        before, places = where(block.text, written), where(whole, word)
        if not (said and word) or {"[", "]"} & set(word) or len(before) != len(places):
            lost += bool(said)
            continue
        start = places[bisect_left(before, block.text.index(written, first))]
        at = bisect_right(starts, start) - 1
        if start + len(word) > starts[at + 1]:
            lost += 1
            continue
        start -= starts[at]
        given[at].append(Change(start, start + len(word), said(word), BOOK))
    return given, lost


def _with_given(chunk: Chunk, given: Sequence[Change]) -> Chunk:
    """The chunk with sounds of its author's: after the run's own words, before all else."""
    if not given:
        return chunk
    own = [change for change in chunk.changes if change.rule in _OWN]
    others = [change for change in chunk.changes if change.rule not in _OWN]
    for more in (given, others):
        own = sorted([*own, *_apart(more, own)], key=lambda change: change.start)
    return chunk.as_said(Spoken(with_changes(plain(chunk.text), own), tuple(own)))


def _apart(found: Iterable[Change], others: Sequence[Change]) -> Iterator[Change]:
    """The changes that share no character with one of the others, which are in order."""
    at = 0
    for change in found:
        while at < len(others) and others[at].end <= change.start:
            at += 1
        if at == len(others) or change.end <= others[at].start:
            yield change
