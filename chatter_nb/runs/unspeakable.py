"""What a voice cannot speak of texts: refused with its places and the cure, or left out."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from chatter_nb.base.errors import InputError, shorten
from chatter_nb.base.wording import count
from chatter_nb.engines.models import pick_engine
from chatter_nb.engines.refusal import Unspeakable, counted, replacements_block
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.places import PlacedChunk
from chatter_nb.runs.saying import sayings_of
from chatter_nb.runs.speak_texts import chosen_part, cleaned
from chatter_nb.text.files import TextSource

_LISTED, _PLACES, _GUESSES = 20, 3, 20
_AROUND, _AROUND_CHARS = 4, 40  # words of a place on each side
WORD = re.compile(r"[^\W\d_]+(?:['’](?!s\b)[^\W\d_]+)*")
_ODD = re.compile(r"[^\x00-\x7f]|\d(?:,?\d){19}")  # other lines are in plain letters


class Unspoken(NamedTuple):
    """Chunks of a text without what an engine cannot speak of them, and why."""

    source: TextSource
    chunks: Sequence[PlacedChunk]
    errors: Sequence[Unspeakable]


def leave_out(
    chunks: list[PlacedChunk],
    check: Callable[[list[str], str], list[str]],
    chapters: Set[int] | None = None,
) -> tuple[list[PlacedChunk], list[str], list[Unspeakable]]:
    """The chunks without what `check` refuses in `chapters`, its notes, and what it refuses.

    `check` takes the texts of a language, and the language. Raises `Unspeakable` for what does not
    stand in the chunks as it is read.
    """
    texts = defaultdict[str, list[str]](list)
    for chunk in (c.chunk for c in chunks if chapters is None or c.chapter in chapters):
        texts[chunk.language].append(chunk.spoken)
    try:
        notes = [note for language in texts for note in check(texts[language], language)]
        return chunks, list(dict.fromkeys(notes)), []
    except Unspeakable as error:
        less = [_without(placed, error) for placed in chunks]
        if less == chunks:
            raise
        kept, notes, errors = leave_out(less, check, chapters)
        return kept, notes, [error, *errors]


def _without(placed: PlacedChunk, error: Unspeakable) -> PlacedChunk:
    chunk = placed.chunk
    said = chunk.text if chunk.said is None else chunk.said
    pattern = error.pattern(said)
    if not (lost := pattern.findall(said)):
        return placed
    unspoken, said = " ".join([chunk.unspoken, *lost]), " ".join(pattern.sub("", said).split())
    return replace(placed, chunk=replace(chunk, said=said, unspoken=unspoken.strip()))


def refusal(texts: Sequence[Unspoken]) -> str:
    """All that cannot be spoken, the worst first, with places, and a `replacements:` block."""
    places = defaultdict(list)
    for part, place in _places(texts):
        places[part].append(place)
    errors = [(text.source.origin, error) for text in texts for error in text.errors]
    lines = [f"{origin}: {problem}" for origin, error in errors for problem in error.problems]
    lines.append("To go on without it, each such chunk marked: unspeakable: note")
    for part in sorted(places, key=lambda part: -len(places[part]))[:_LISTED]:
        name = f" {unicodedata.name(part, '')}" if len(part) == 1 else ""
        where = "; ".join(list(dict.fromkeys(places[part]))[:_PLACES])
        lines.append(f"  {shorten(part, 60)}{name}, {count(len(places[part]), 'time')}: {where}")
    lines += [f"  and {len(places) - _LISTED:,} more"] if len(places) > _LISTED else []
    return "\n".join([*lines, replacements_block(sum((e.replaced for _, e in errors), Counter()))])


def warning(texts: Sequence[Unspoken]) -> str:
    """What is left out, in a sentence."""
    chunks = sum(bool(placed.chunk.unspoken) for text in texts for placed in text.chunks)
    parts = counted(Counter(part for part, _ in _places(texts)))
    return f"not spoken, in {count(chunks, 'chunk')}: {parts}"


def _places(texts: Sequence[Unspoken]) -> Iterator[tuple[str, str]]:
    """Each letter or word that cannot be spoken, with its chapter and the words around it."""
    for source, chunks, errors in texts:
        chapters = source.book.chapters if len(source.book.chapters) > 1 else ()
        titles = {c.number: shorten(" ".join(c.title.split()), 60) for c in chapters}
        where = f"{source.name}: " if len(texts) > 1 else ""
        for placed in chunks:
            number = placed.chapter
            place = where + (f"chapter {number}, {titles[number]}: " if number in titles else "")
            for piece in placed.chunk.unspoken.split():
                before, _, after = placed.chunk.text.partition(piece)
                before = " ".join(before.split(" ")[-_AROUND:])[-_AROUND_CHARS:].lstrip()
                after = " ".join(after.split(" ")[:_AROUND])[:_AROUND_CHARS].rstrip()
                for part in _parts(piece, errors):
                    yield part, f"{place}“{before}{shorten(piece, _AROUND_CHARS)}{after}”"


def _parts(piece: str, errors: Sequence[Unspeakable]) -> list[str]:
    """A word, or the letters of a run of letters."""
    is_word = any(piece in error.words for error in errors)
    return [piece] if is_word else [char for char in piece if char.isalnum()]


@dataclass(frozen=True)
class Unknown:
    """What a voice cannot speak of a document, and words that it guesses at, with their numbers."""

    unspeakable: Counter[str] = field(default_factory=Counter)
    guessed: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        lost, guessed = counted(self.unspeakable), counted(self.guessed, _GUESSES)
        told = [("cannot be spoken", lost), ("in no dictionary, its sound is a guess", guessed)]
        return "\n".join(f"{what}: {words}" for what, words in told if words)


def unknown_in(source: TextSource, params: SpeakParams) -> Unknown:
    """What the voice of `params` cannot speak, or guesses at, in a document's chosen chapters.

    Loads no voice; of an engine that needs its model for it, nothing is known. Linear in the text.
    """
    engine = pick_engine(params.engine, may_fetch=False)
    if engine.name != "hibari":
        return Unknown()
    from chatter_nb.engines.hibari_phonemes import MARK

    try:
        said = sayings_of(params, engine.entry, [source.book]).main
    except InputError:  # `in_words_of` tells it
        return Unknown()
    text = said.say(cleaned(chosen_part(source, params), params, "en")).text
    return unknown_of(MARK.sub("", text))


def unknown_of(text: str) -> Unknown:
    """What hibari cannot speak, or guesses at, in a text."""
    from chatter_nb.engines.hibari_text import Reader

    reader, unspeakable = Reader(), Counter[str]()
    try:
        reader.check("\n".join(filter(_ODD.search, text.split("\n"))))
    except Unspeakable as error:
        pattern = error.pattern(text)
        for piece in pattern.findall(text):
            unspeakable.update(_parts(piece, [error]))
        text = pattern.sub("", text)
    return Unknown(unspeakable, reader.guessed(Counter(WORD.findall(text))))
