"""The sounds that a book's author gives for words at their places (`ssml:ph`), put into chunks."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cache
from itertools import accumulate, groupby

from chatter_nb.base.budget import ask
from chatter_nb.text.books.document import Block
from chatter_nb.text.chunking import Chunk, composed, plain
from chatter_nb.text.spoken.say import BOOK, LEXICON, REPLACEMENTS, Change, Spoken, with_changes
from chatter_nb.text.spoken.saying import Saying, apart


def with_sounds(
    chunks: Sequence[Chunk], blocks: Sequence[Block], saying: Saying
) -> tuple[list[Chunk], int]:
    """The chunks with the sounds that their blocks have, and the number of places that are lost.

    A place is lost that a cut parts, or whose word no longer occurs as often as in its block.
    """
    marked, lost = list[Chunk](), 0
    for number, group in groupby(chunks, key=lambda chunk: chunk.block):
        own, block = list(group), blocks[min(number, len(blocks) - 1)] if blocks else None
        if block and block.phonemes:
            given = _places(block, [plain(chunk.text) for chunk in own], saying)
            own = list(map(_with_given, own, given))
            lost += sum(p[2:] in saying.sounds for p in block.phonemes) - sum(map(len, given))
        marked += own
    return marked, lost


def _places(block: Block, texts: Sequence[str], saying: Saying) -> list[list[Change]]:
    """For each of the texts of a block the words whose sounds are given."""
    starts, whole = list(accumulate(map(len, texts), initial=0)), "".join(texts)
    given: list[list[Change]] = [[] for _ in texts]
    where = cache(lambda text, word: [m.start() for m in re.finditer(re.escape(word), text)])
    for first, last, *how in block.phonemes:
        ask("placing its sounds")
        written = block.text[first:last].strip()
        word = " ".join(plain(composed(written)).split())
        said = saying.sounds.get((how[0], how[1]))
        if not said or not word or {"[", "]"} & set(word):
            continue
        before, places = where(block.text, written), where(whole, word)
        if len(before) != len(places):
            continue
        start = places[bisect_left(before, block.text.index(written, first))]
        at = bisect_right(starts, start) - 1
        if start + len(word) <= starts[at + 1]:
            start -= starts[at]
            given[at].append(Change(start, start + len(word), said(word), BOOK))
    return given


def _with_given(chunk: Chunk, given: Sequence[Change]) -> Chunk:
    """The chunk with its author's sounds: after the run's own words, before all else."""
    changes = [c for c in chunk.changes if c.rule in (REPLACEMENTS, LEXICON)]
    for more in (given, [change for change in chunk.changes if change not in changes]):
        changes = sorted([*changes, *apart(more, changes)], key=lambda change: change.start)
    spoken = Spoken(with_changes(plain(chunk.text), changes), tuple(changes))
    return chunk.as_said(spoken) if given else chunk
