"""The texts of a speech run: read, cleaned, cut into chunks, and words of edits cleaned alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from chatter_nb.base.budget import budget
from chatter_nb.base.disk import is_there
from chatter_nb.base.errors import InputError, shown
from chatter_nb.base.project import resolve_path, shown_path
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.folder import RECORD
from chatter_nb.runs.saying import Sayings
from chatter_nb.runs.speakers import Speakers, speakers_in
from chatter_nb.text.books.document import choose_chapters
from chatter_nb.text.chunking import Chunk, clean, split_chunks
from chatter_nb.text.files import TextSource, merge_sources, read_sources
from chatter_nb.text.line import without_breaks
from chatter_nb.text.markup import PAUSE_MARK, check_markup, foreign_format
from chatter_nb.text.pace import chunk_limit

MERGED = "speech"  # the name of the one output of a text, or of a folder that is merged


def read_texts(params: SpeakParams) -> list[TextSource]:
    """The texts of a run, one for each output. Raises `InputError` for what cannot be read."""
    if not params.text_file:
        if kind := foreign_format(params.text):
            raise InputError(
                f"text is {kind}: its markup would be read aloud. Give the text without it"
            )
        if params.chapters:
            raise InputError(f"chapters: {shown(params.chapters)} needs a document (text_file)")
        return [TextSource(MERGED, without_breaks(params.text))]
    path = resolve_path(params.text_file)
    if is_there(path / RECORD):
        raise InputError(
            f"{shown_path(path)} is the folder of a run: give a document, or its folder"
        )
    sources = read_sources(path, skip=params.skip, clean=params.clean)
    if params.merge or not path.is_dir():
        sources = [merge_sources(sources, MERGED, params.text_file)]
    for source in sources:  # of each in a folder that is not merged
        chapters_of(source, params)
    names = Counter(source.name for source in sources)
    twice = [Path(source.origin).name for source in sources if names[source.name] > 1]
    if twice:
        raise InputError(f"{path} holds {' and '.join(twice[:2])}: one name, one output")
    return sources


def chapters_of(source: TextSource, params: SpeakParams) -> frozenset[int] | None:
    """The numbers of the chosen chapters; None for all. Raises `InputError`."""
    try:
        return choose_chapters(source.book, params.chapters) if params.chapters else None
    except InputError as error:
        raise InputError(f"{source.origin}: {error}") from None


def chosen_part(source: TextSource, params: SpeakParams) -> TextSource:
    """The text without the chapters that are not chosen."""
    numbers = chapters_of(source, params)
    if numbers is None:
        return source
    chapters = tuple(c for c in source.book.chapters if c.number in numbers)
    book = replace(source.book, chapters=chapters)
    return replace(source, text=book.text, book=book)


class Split(NamedTuple):
    """A cleaned text, its chunks, and who speaks where."""

    text: str
    chunks: list[Chunk]
    speakers: Speakers


def split_text(source: TextSource, params: SpeakParams, sayings: Sayings) -> Split:
    """The text in chunks. An `InputError` begins with the text's origin."""
    language = sayings.language
    try:
        with budget(len(source.text)):
            text = cleaned(source, params, language)
            speakers = speakers_in(text, params, language)
            chunks = split_chunks(
                text,
                chunk_chars=chunk_limit(params.chunk_chars, language),
                sentence_pause_ms=params.sentence_pause_ms,
                paragraph_pause_ms=params.paragraph_pause_ms,
                chapter_pause_ms=params.chapter_pause_ms,
                language=language,
                say=sayings.main.say,
                spans=speakers.spans,
                sayings=sayings.own,
            )
        check_speakable(chunks)
    except InputError as error:
        raise InputError(f"{source.origin}: {error}") from error
    return Split(text, chunks, speakers)


def cleaned(source: TextSource, params: SpeakParams, language: str) -> str:
    """The text as the parameters clean it. Raises `InputError`."""
    return clean(
        source.text,
        remove_references=params.remove_references,
        regex_replacements=params.regex_replacements,
        language=language,
        counted_lines=params.normalize != "off",  # then chunks and keys are those of before
    )


def clean_words(params: SpeakParams, language: str, words: str) -> str:
    """The words of an edit, cleaned as the text is, in one line. Raises `InputError`."""
    with budget(len(words)):
        text = " ".join(cleaned(TextSource("", words), params, language).split())
    check_markup(text)
    if mark := PAUSE_MARK.search(text):
        raise InputError(f"{mark[0]!r} is a pause, and an edit has only words: take it out")
    return text


def check_speakable(chunks: Iterable[Chunk]) -> None:
    """Raise `InputError` if no chunk has a letter or a digit."""
    if not any(chunk.speakable for chunk in chunks):
        raise InputError("there is nothing to speak: no letter and no digit is left")
