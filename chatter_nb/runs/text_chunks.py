"""The chunks of one text of a run: edited, checked by the engine, with what is to be told."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from chatter_nb.base.budget import budget
from chatter_nb.base.errors import InputError
from chatter_nb.base.wording import count
from chatter_nb.engines.base import SpeechEngine
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.edits import Edit, edit_chunks
from chatter_nb.runs.outline import language_notes
from chatter_nb.runs.places import PlacedChunk, place_chunks
from chatter_nb.runs.plan import check_texts
from chatter_nb.runs.record import UnsureRecord
from chatter_nb.runs.saying import Sayings
from chatter_nb.runs.speak_texts import (
    chapters_of,
    check_speakable,
    clean_words,
    split_text,
)
from chatter_nb.runs.speakers import note_on, unsure_quotes
from chatter_nb.runs.unspeakable import Unspoken, leave_out
from chatter_nb.text.files import TextSource
from chatter_nb.text.line import BLOCK_BREAK, CHAPTER_BREAK
from chatter_nb.text.markup import TERMINAL_CODE, markup_notes
from chatter_nb.text.sounds import with_sounds


class TextChunks(NamedTuple):
    """The chunks of a text, edited, notes, what is left out of the chunks, and unsure quotes."""

    chunks: list[PlacedChunk]
    notes: list[str]
    unspoken: Unspoken | None
    unsure: list[UnsureRecord]


def chunks_of(
    source: TextSource,
    params: SpeakParams,
    engine: SpeechEngine,
    edits: Sequence[Edit],
    sayings: Sayings,
) -> TextChunks:
    """The chunks of a text. An `InputError` begins with the text's origin."""
    language = sayings.language
    text, chunks, speakers = split_text(source, params, sayings)
    blocks = [block for _, block in source.book.blocks]
    chunks, lost = with_sounds(chunks, blocks, sayings.main)
    markup = list(markup_notes(text, engine=engine.name, is_marked=source.is_marked))
    breaks = text.count(BLOCK_BREAK) + text.count(CHAPTER_BREAK)
    if params.read_along and breaks != len(source.book.blocks) - 1:
        raise InputError(
            f"{source.origin}: read_along: regex_replacements change where paragraphs end: let "
            "their patterns match no line's end (\\n, \\s)"
        )
    own = [edit for edit in edits if edit.document == source.name]
    placed, on_edits = edit_chunks(
        list(place_chunks(source.name, chunks, source.book)),
        own,
        partial(clean_words, params, language),
        sayings.said,
    )
    try:
        chapters = chapters_of(source, params)
        check = partial(check_texts, engine)
        with budget(len(text)):
            placed, notes, errors = leave_out(placed, check, chapters)
        chosen = [c for c in placed if chapters is None or c.chapter in chapters]
        if params.unspeakable == "note" or not errors:
            check_speakable(c.chunk for c in chosen)
    except InputError as error:
        raise InputError(f"{source.origin}: {error}") from error
    if lost:
        notes.append(
            f"{count(lost, 'word')} whose sounds the book gives are not found: cut, changed"
        )
    if TERMINAL_CODE.search(source.text):
        notes.append("the codes that colour a terminal's text are taken out")
    about = language_notes(text, params, engine)
    unspoken = Unspoken(source, chosen, errors) if errors else None
    places = {c.start for c in chosen}
    starts = [c.start for c in placed]
    unsure = [
        quote
        for quote in unsure_quotes(source.name, text, speakers.spans)
        if starts[bisect_right(starts, quote.start) - 1] in places
    ]
    on_speakers = [*speakers.notes, *note_on(unsure)]
    told = (source.note, *notes, *about, *markup, *on_speakers, *on_edits)
    return TextChunks(placed, [note for note in told if note], unspoken, unsure)
