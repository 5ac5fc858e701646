"""The plan of a speech run: engine and reason, texts, chunks with their seeds and keys.

Every problem of the input is found here, before a sample is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

from chatter_nb.base.budget import budget
from chatter_nb.base.disk import is_there
from chatter_nb.base.errors import InputError, Problems
from chatter_nb.base.project import resolve_path
from chatter_nb.base.wording import count
from chatter_nb.engines.base import SpeechEngine
from chatter_nb.engines.checks import notes_on_language
from chatter_nb.engines.registry import EngineEntry
from chatter_nb.engines.voices import library_of
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.book_plan import PlannedOutput, plan_outputs
from chatter_nb.runs.checking import Checks
from chatter_nb.runs.edits import EDITS, Edit, PlacedChunk, edit_chunks, load_edits, place_chunks
from chatter_nb.runs.keys import Identities, PlannedChunk, check_takes, identities
from chatter_nb.runs.plan import Estimate, OnLoad, Plan, Planner, check_texts, check_voice
from chatter_nb.runs.saying import saying_of
from chatter_nb.runs.speak_texts import (
    chapters_of,
    check_speakable,
    chosen_part,
    clean_words,
    read_texts,
    split_text,
)
from chatter_nb.runs.unspeakable import Unspoken, leave_out, refusal, warning
from chatter_nb.text.chunking import BLOCK_BREAK, CHAPTER_BREAK
from chatter_nb.text.files import TextSource
from chatter_nb.text.markup import TERMINAL_CODE, markup_notes
from chatter_nb.text.pace import chars_per_s
from chatter_nb.text.sounds import with_sounds
from chatter_nb.text.spoken.saying import Saying

STORE_BYTES_PER_SAMPLE = 4
_NO_SAYING = Saying("en"), list[str]()
OUTLINED_CHARS = 200_000  # takes 60 ms


@dataclass(frozen=True)
class SpeechPlan(Plan):
    """A plan of chunks to speak."""

    unit: ClassVar = "chunk"
    source_noun: ClassVar = "text"
    output_noun: ClassVar = "text"

    params: SpeakParams
    engine: SpeechEngine
    outputs: tuple[PlannedOutput, ...]
    identities: Identities
    checks: Checks

    @property
    def chunks(self) -> list[PlannedChunk]:
        return [planned for output in self.outputs for planned in output.chunks]

    pieces = chunks

    def chapters_s(self) -> list[float]:
        chapters = (
            output.chunks[start:end]
            for output in self.outputs
            for start, end in pairwise([0, *(c.first for c in output.chapters[1:]), None])
        )
        return [self._seconds(own) + sum(c.chunk.pause_ms for c in own) / 1000 for own in chapters]

    def new_s(self) -> float:
        return self._seconds(chunk for chunk in self.chunks if not self.store.has(chunk.key))

    @property
    def kept_bytes_per_s(self) -> int:
        return self.engine.sample_rate * STORE_BYTES_PER_SAMPLE

    def _choices(self) -> list[str]:
        is_told = self.checks.is_on or bool(self.settled.engine.entry.files)
        return [*super()._choices(), *([f"verify: {self.checks}"] if is_told else [])]

    def _seconds(self, chunks: Iterable[PlannedChunk]) -> float:
        rate = chars_per_s(self.params.language or self.engine.languages[0])
        chars = sum(len(planned.chunk.text) for planned in chunks)
        return chars / rate / (self.params.speed or 1.0)


def plan_speech(params: SpeakParams, on_load: OnLoad | None = None) -> SpeechPlan:
    """The plan of a speech run. Raises `InputError` with every problem that would stop the run.

    `on_load` is called before a large model is loaded, when all that needs no model is checked.
    """
    planner = Planner(params, "text", on_load)
    problems, watch = planner.problems, planner.watch
    with watch.stage("text"):
        sources = problems.of(lambda: read_texts(params))
        edits = problems.of(lambda: _edits(params))
        books = [source.book for source in sources or ()]
        how = partial(saying_of, params, planner.entry, books=books)
        saying, on_lexicon = problems.of(how) or _NO_SAYING
        for source in (sources or []) if planner.entry.files else []:  # loading takes longer
            problems.of(partial(split_text, source, params, saying))
    checks = planner.settle_checks(params)
    if params.read_along and sources and checks:
        from chatter_nb.runs.read_along import check_read_along  # loads FFmpeg: 0.06 s

        problems.of(partial(check_read_along, params, sources[0], planner.entry, checks))
    engine = planner.load()
    voice = problems.of(planner.prepare_voice)
    with watch.stage("text"):
        chunks_of = partial(_chunks, params=params, engine=engine, edits=edits, saying=saying)
        texts = [problems.of(partial(chunks_of, source)) for source in sources]
        unspoken = [of_text[2] for of_text in texts if of_text and of_text[2]]
        if unspoken and params.unspeakable == "refuse":
            problems.messages.append(refusal(unspoken))
        problems.raise_any()
        precision = planner.settled.precision.name
        whole = identities(params, engine, precision, voice, planner.seed)
        planned = [whole.identify(chunks, params.takes) for chunks, *_ in texts]
        language = params.language or engine.languages[0]
        outputs = [
            output
            for source, chunks in zip(sources, planned, strict=True)
            for output in plan_outputs(
                source, _chosen(chunks, chapters_of(source, params)), params, language
            )
        ]
        _check_names(outputs)
    if params.takes:
        check_takes(params, whole, [chunks for chunks, *_ in texts])
    assert checks is not None  # else `load` has raised
    notes = [*on_lexicon, *(note for _, notes, _ in texts for note in notes)]
    notes += [warning(unspoken)] if unspoken else []
    notes += dict.fromkeys(note for output in outputs for note in output.notes)
    notes += _notes_on_edits(params, edits, [source.name for source in sources])
    return planner.plan(
        SpeechPlan, outputs, [*notes, *checks.notes], identities=whole, checks=checks
    )


def _check_names(outputs: Iterable[PlannedOutput]) -> None:
    """Raise `InputError` if chapters of two documents have one name."""
    names = sorted(output.name for output in outputs)
    if twice := [name for name, following in pairwise(names) if name == following]:
        raise InputError(f"chapters of two documents would be files named {twice[0]}: rename one")


@dataclass(frozen=True)
class Outline:
    """The size of a text: characters, chunks, seconds; an estimate unless `exact`."""

    chars: int
    chunks: int
    audio_s: float
    exact: bool = True


def outline(params: SpeakParams) -> Outline:
    """The size of what a run would speak, at its language's usual pace, without model and store.

    A form calls it after every key: of a longer text only the first `OUTLINED_CHARS` are cut into
    chunks, and the rest is estimated. Raises `InputError` for a text that cannot be spoken.
    """
    language = params.language or "en"
    chars = chunks = 0
    audio_s, exact = 0.0, True
    for whole in read_texts(params):
        source = chosen_part(whole, params)
        share = min(1.0, OUTLINED_CHARS / max(1, len(source.text)))
        text = source.text
        if share < 1:
            text = text[: text.rfind(" ", 0, OUTLINED_CHARS)]
        part = TextSource(source.name, text, source.origin)
        _, pieces = split_text(part, params, Saying(language))
        spoken_s = sum(len(chunk.text) for chunk in pieces) / chars_per_s(language)
        paused_s = sum(chunk.pause_ms for chunk in pieces) / 1000
        chars += len(source.text)
        chunks += round(len(pieces) / share)
        audio_s += (spoken_s / (params.speed or 1.0) + paused_s) / share
        exact = exact and share == 1.0
    return Outline(chars, chunks, audio_s, exact)


def check_speech(params: SpeakParams, engine: EngineEntry, problems: Problems) -> None:
    """Add every problem of the text and the voice to `problems`, without loading a model."""
    saying, _ = problems.of(partial(saying_of, params, engine)) or _NO_SAYING
    for source in problems.of(lambda: read_texts(params)) or []:
        problems.of(partial(split_text, source, params, saying))
    problems.of(lambda: _edits(params))
    problems.of(lambda: check_voice(params.voice, library_of(params), engine))


def _edits(params: SpeakParams) -> tuple[Edit, ...]:
    return load_edits(resolve_path(params.edits)).edits if params.edits else ()


def _notes_on_edits(
    params: SpeakParams, edits: Iterable[Edit], documents: Sequence[str]
) -> list[str]:
    """Notes on edits of documents that the run does not have, and on edits not asked for."""
    unnamed = Path(params.outputs_dir, params.resolved_run_name(), EDITS)
    if not params.edits and is_there(resolve_path(str(unnamed))):
        return [f"the edits in {unnamed} are not applied: to apply them, name the file in edits"]
    return edit_chunks([], [edit for edit in edits if edit.document not in documents], str)[1]


def _chunks(
    source: TextSource,
    params: SpeakParams,
    engine: SpeechEngine,
    edits: Sequence[Edit],
    saying: Saying,
) -> tuple[list[PlacedChunk], list[str], Unspoken | None]:
    """The chunks of a text, edited, notes, and what is left out of the chunks.

    An `InputError` begins with the text's origin.
    """
    language = saying.language
    text, chunks = split_text(source, params, saying)
    chunks, lost = with_sounds(chunks, [block for _, block in source.book.blocks], saying)
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
        saying.say,
    )
    try:
        chapters = chapters_of(source, params)
        check = partial(check_texts, engine=engine, language=language)
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
    about = [] if params.language else notes_on_language(text, engine.name, language)
    unspoken = Unspoken(source, chosen, errors) if errors else None
    notes = [note for note in (source.note, *notes, *about, *markup, *on_edits) if note]
    return placed, notes, unspoken


def _chosen(chunks: Sequence[PlannedChunk], chapters: Set[int] | None) -> tuple[PlannedChunk, ...]:
    """The chunks of the chosen chapters, which sound as in the whole book; no pause ends them."""
    if chapters is None:
        return tuple(chunks)
    *before, last = [planned for planned in chunks if planned.placed.chapter in chapters]
    silent = replace(last.placed, chunk=replace(last.chunk, pause_ms=0))
    return (*before, last if last is chunks[-1] else replace(last, placed=silent))


def spoken_text(params: SpeakParams) -> str:
    """All that a run would speak, in one line. Raises `InputError` if it is nothing."""
    language = params.language or "en"
    chunks = [
        chunk
        for source in read_texts(params)
        for chunk in split_text(chosen_part(source, params), params, Saying(language))[1]
    ]
    return " ".join(chunk.spoken for chunk in chunks if chunk.speakable)


def estimate(params: SpeakParams) -> Estimate:
    """The cost of a run with these parameters, without running it."""
    return plan_speech(params).estimate()
