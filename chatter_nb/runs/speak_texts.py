"""The texts of a speech run: read, cleaned, cut into chunks, and words of edits cleaned alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from chatter_nb.base.budget import budget
from chatter_nb.base.errors import InputError
from chatter_nb.base.project import resolve_path
from chatter_nb.params.runs import SpeakParams
from chatter_nb.text.chunking import Chunk, chunk_limit, clean, split_chunks, without_breaks
from chatter_nb.text.files import TextSource, merge_sources, read_sources
from chatter_nb.text.markup import PAUSE_MARK, check_markup, foreign_format

MERGED = "speech"  # the name of the one output of a text, or of a folder that is merged


def read_texts(params: SpeakParams) -> list[TextSource]:
    """The texts of a run, one for each output. Raises `InputError` for what cannot be read."""
    if not params.text_file:
        if kind := foreign_format(params.text):
            raise InputError(
                f"text is {kind}: its markup would be read aloud. Give the text without it"
            )
        return [TextSource(MERGED, without_breaks(params.text))]
    path = resolve_path(params.text_file)
    sources = read_sources(path)
    if params.merge or not path.is_dir():
        notes = "; ".join(source.note for source in sources if source.note)
        markdown = all(source.markdown for source in sources)
        return [TextSource(MERGED, merge_sources(sources), params.text_file, notes, markdown)]
    names = Counter(source.name for source in sources)
    twice = [Path(source.origin).name for source in sources if names[source.name] > 1]
    if twice:
        raise InputError(f"{path} holds {' and '.join(twice[:2])}: one name, one output")
    return sources


def split_text(source: TextSource, params: SpeakParams, language: str) -> tuple[str, list[Chunk]]:
    """The cleaned text, and its chunks. An `InputError` begins with the text's origin."""
    try:
        with budget(len(source.text)):
            text = _clean(source.text, params, language)
            chunks = split_chunks(
                text,
                chunk_chars=chunk_limit(params.chunk_chars, language),
                sentence_pause_ms=params.sentence_pause_ms,
                paragraph_pause_ms=params.paragraph_pause_ms,
                chapter_pause_ms=params.chapter_pause_ms,
                language=language,
            )
        check_speakable(chunks)
    except InputError as error:
        raise InputError(f"{source.origin}: {error}") from error
    return text, chunks


def _clean(text: str, params: SpeakParams, language: str) -> str:
    return clean(
        text,
        remove_references=params.remove_references,
        replacements=params.replacements,
        regex_replacements=params.regex_replacements,
        language=language,
    )


def clean_words(params: SpeakParams, language: str, words: str) -> str:
    """The words of an edit, cleaned as the text is, in one line. Raises `InputError`."""
    with budget(len(words)):
        text = " ".join(_clean(words, params, language).split())
    check_markup(text)
    if mark := PAUSE_MARK.search(text):
        raise InputError(f"{mark[0]!r} is a pause, and an edit has only words: take it out")
    return text


def check_speakable(chunks: Iterable[Chunk]) -> None:
    """Raise `InputError` if no chunk has a letter or a digit."""
    if not any(chunk.speakable for chunk in chunks):
        raise InputError("there is nothing to speak: no letter and no digit is left")
