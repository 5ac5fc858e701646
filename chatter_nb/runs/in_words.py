"""What of texts is said in other words than it is written: counts by rule, with examples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from chatter_nb.base.errors import InputError, shorten
from chatter_nb.base.wording import count
from chatter_nb.engines.models import pick_engine
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.saying import sayings_of
from chatter_nb.runs.speak_texts import chosen_part, split_text
from chatter_nb.runs.speakers import of_a_part
from chatter_nb.text.chunking import Chunk, plain
from chatter_nb.text.files import TextSource
from chatter_nb.text.sentences import base_of
from chatter_nb.text.spoken.words import POINTS

_EXAMPLE_CHARS = 48


def in_words(chunks: Iterable[Chunk], *, lines: int = 8, examples: int = 2) -> list[str]:
    """A line for each rule, that with most places first: its places, and examples of them."""
    places, pairs = Counter[str](), defaultdict[str, dict[str, None]](dict)
    for chunk in chunks:
        written = plain(chunk.text) if chunk.changes else ""
        for change in chunk.changes:
            places[change.rule] += 1
            if len(pairs[change.rule]) < examples:
                parts = written[change.start : change.end], change.said.strip()
                pairs[change.rule][" → ".join(shorten(p, _EXAMPLE_CHARS) for p in parts)] = None
    first = places.most_common(lines if len(places) <= lines else lines - 1)
    told = [f"{rule} {number:,}: {', '.join(pairs[rule])}" for rule, number in first]
    others, rest = len(places) - len(first), places.total() - sum(number for _, number in first)
    return [*told, f"{count(others, 'other rule')} {rest:,}"] if others else told


def left_as_written(chunks: Iterable[Chunk], language: str) -> list[str]:
    """A sentence on the numbers that no rule puts in words, if there are any."""
    left, code = sum(chunk.left for chunk in chunks), base_of(language)
    knows = "only plain numbers" if code in POINTS else "nothing"
    told = [f"left as written: {count(left, 'number')}; normalize knows {knows} in '{code}'"]
    return told if left else []


def in_words_of(source: TextSource, params: SpeakParams) -> list[str]:
    """What a run would put in words of a document's chosen chapters, or what keeps it from that."""
    try:
        sayings = sayings_of(
            params, pick_engine(params.engine, may_fetch=False).entry, [source.book]
        )
        chunks = split_text(chosen_part(source, params), of_a_part(params), sayings).chunks
    except InputError as error:
        return [str(error)]
    told = [f"put in words, {line}" for line in in_words(chunks)]
    return [*sayings.notes, *told, *left_as_written(chunks, sayings.language)]
