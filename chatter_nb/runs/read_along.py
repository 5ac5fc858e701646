"""`<output>.epub`: the book of an output, which reads along with an mp3 of each chapter.

Times are those of the joined signal, before any mastering.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any

from chatter_nb.base.disk import writing
from chatter_nb.base.errors import InputError
from chatter_nb.base.project import resolve_path
from chatter_nb.engines.registry import EngineEntry
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.book_files import Tracks
from chatter_nb.runs.book_plan import PlannedOutput
from chatter_nb.runs.checking import Checks
from chatter_nb.runs.record import ChunkRecord, file_record
from chatter_nb.runs.speak_texts import chapters_of, read_texts
from chatter_nb.runs.words_file import SideFile
from chatter_nb.text.books.archive import Archive
from chatter_nb.text.books.document import Book
from chatter_nb.text.books.overlays import ReadAlongBook, Word
from chatter_nb.text.books.skips import choose_kinds
from chatter_nb.text.files import TextSource
from chatter_nb.text.places import place_words, words_of
from chatter_nb.verify.aligner import LANGUAGES

Words = Iterator[Iterable[Mapping[str, Any]] | None]  # as `words_file` has them, chunk by chunk


def check_read_along(
    params: SpeakParams, source: TextSource, engine: EngineEntry, checks: Checks
) -> None:
    """Raise `InputError`, with the cure, if the run could not write its book."""
    language = params.language or engine.languages[0]
    if not engine.word_times and not (checks.is_on and language in LANGUAGES):
        raise InputError(
            f"read_along: {engine.name} does not say when its words sound: set verify: fast, which "
            f"finds them ({', '.join(LANGUAGES)} only), or leave read_along out"
        )
    chosen = chapters_of(source, params)
    numbered = enumerate(source.book.blocks)
    try:
        with Archive(resolve_path(params.text_file)) as archive:
            ReadAlongBook(archive, source.book, choose_kinds(params.skip)).check(
                n for n, (chapter, _) in numbered if chosen is None or chapter.number in chosen
            )
    except InputError as error:
        raise InputError(
            f"{source.origin}: read_along: {error}: choose another book, or leave read_along out"
        ) from None


def write_read_along(
    file: SideFile,
    plan: Any,
    output: PlannedOutput,
    tracks: Tracks,
    records: Sequence[Sequence[ChunkRecord]],
    words: Words,
) -> None:
    """Write the book of an output to `file`. `words` are of each chunk that is spoken."""
    tracks.finish()
    params, language = plan.params, plan.params.language or plan.engine.languages[0]
    book, pairs = read_texts(params)[0].book, pairwise(tracks.ends_s.items())
    lengths_ms = {path: int(1000 * (end_s - start_s)) for (_, start_s), (path, end_s) in pairs}
    with Archive(resolve_path(params.text_file)) as archive, writing(file.path):
        placed = list(_placed(output, [*tracks.ends_s.values()], records, words, book))
        target = ReadAlongBook(archive, book, choose_kinds(params.skip))
        target.write(file.part, placed, lengths_ms, language, params.read_by)
    file.record = file_record(file.part, file.path.name)


def _placed(
    output: PlannedOutput,
    starts_s: Sequence[float],
    records: Sequence[Sequence[ChunkRecord]],
    words: Words,
    book: Book,
) -> Iterator[Word]:
    """The words at their places in the book. A chunk whose words are not known counts as one."""
    firsts = [chapter.first for chapter in output.chapters]
    chunks = enumerate(zip(output.chunks, records, strict=True))
    for block, group in groupby(chunks, key=lambda chunk: chunk[1][0].chunk.block):
        said: list[tuple[str, float, int]] = []
        for position, (planned, own) in group:
            track = bisect_right(firsts, position) - 1
            known = next(words) if planned.chunk.speakable else ()
            if known is None:
                known = [{"word": "", "start_s": own[0].start_s}]
            said += [(word["word"], word["start_s"], track) for word in known]
        text = book.blocks[block][1].text
        shown = Counter(text[slice(*place)].casefold() for place in words_of(text))
        same = (Counter(word.casefold() for word, *_ in said) & shown).total()
        is_known = 2 * same >= len(said)  # else all stand at the block's beginning
        places = place_words([word for word, *_ in said], text)
        for place, (_, start_s, track) in zip(places, said, strict=True):
            start_ms = int(1000 * max(0.0, start_s - starts_s[track]))
            yield Word(block, place.start if is_known else 0, track, start_ms)
