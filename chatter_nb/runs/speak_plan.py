"""The plan of a speech run: engine and reason, texts, chunks with their seeds and keys.

Every problem of the input is found here, before a sample is made.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, NamedTuple

from chatter_nb.base.budget import budget
from chatter_nb.base.disk import is_there
from chatter_nb.base.errors import InputError, Problems
from chatter_nb.base.project import resolve_path
from chatter_nb.base.speakers import NARRATOR
from chatter_nb.base.wording import count
from chatter_nb.engines.base import SpeechEngine
from chatter_nb.engines.registry import EngineEntry
from chatter_nb.engines.voices import library_of
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.book_plan import PlannedOutput, plan_outputs
from chatter_nb.runs.checking import Checks
from chatter_nb.runs.edits import EDITS, Edit, edit_chunks, load_edits
from chatter_nb.runs.in_words import in_words, left_as_written
from chatter_nb.runs.keys import Identities, PlannedChunk, check_takes, identities
from chatter_nb.runs.outline import language_notes
from chatter_nb.runs.places import PlacedChunk, place_chunks
from chatter_nb.runs.plan import Estimate, OnLoad, Plan, Planner, check_texts, check_voice
from chatter_nb.runs.record import UnsureRecord
from chatter_nb.runs.roles import (
    Role,
    RoleKey,
    check_cast,
    described,
    params_of,
    role_key,
    roles_of,
    told_of,
)
from chatter_nb.runs.saying import Sayings, sayings_of
from chatter_nb.runs.speak_texts import (
    chapters_of,
    check_speakable,
    clean_words,
    read_texts,
    split_text,
)
from chatter_nb.runs.speakers import note_on, silent_members, unsure_quotes
from chatter_nb.runs.unspeakable import Unspoken, leave_out, refusal, warning
from chatter_nb.text.files import TextSource
from chatter_nb.text.line import BLOCK_BREAK, CHAPTER_BREAK
from chatter_nb.text.markup import TERMINAL_CODE, markup_notes
from chatter_nb.text.pace import chars_per_s
from chatter_nb.text.sounds import with_sounds
from chatter_nb.text.spoken.saying import Saying

STORE_BYTES_PER_SAMPLE = 4
_NO_SAYING = Sayings(Saying("en"))


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
    roles: Mapping[RoleKey, Role]
    unsure: tuple[UnsureRecord, ...] = ()
    gains_db: Mapping[RoleKey, float] | None = None  # of the run that is revised

    def role_of(self, planned: PlannedChunk) -> Role:
        """How the speaker of a chunk speaks."""
        return self.roles[role_key(planned.chunk)]

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
        cast = described(self.roles, (planned.chunk for planned in self.chunks))
        several = [f"speakers: {cast}"] if len(self.roles) > 1 else []
        return [*super()._choices(), *several, *([f"verify: {self.checks}"] if is_told else [])]

    def _own_notes(self) -> list[str]:
        told = "; ".join(in_words((c.chunk for c in self.chunks), lines=4, examples=1))
        return [*super()._own_notes(), *([f"put in words: {told}"] if told else [])]

    def _seconds(self, chunks: Iterable[PlannedChunk]) -> float:
        rate = chars_per_s(self.params.language or self.engine.languages[0])
        chars = sum(len(planned.chunk.spoken) for planned in chunks)
        return chars / rate / (self.params.speed or 1.0)


def plan_speech(params: SpeakParams, on_load: OnLoad | None = None) -> SpeechPlan:
    """The plan of a speech run. Raises `InputError` with every problem that would stop the run.

    `on_load` is called before a large model is loaded, when all that needs no model is checked.
    """
    planner = Planner(params, "text", on_load)
    problems, watch = planner.problems, planner.watch
    planner.voice = params_of(params, NARRATOR)[0].voice
    with watch.stage("text"):
        sources = problems.of(lambda: read_texts(params))
        edits = problems.of(lambda: _edits(params))
        books = [source.book for source in sources or ()]
        how = partial(sayings_of, params, planner.entry, books)
        sayings = problems.of(how) or _NO_SAYING
        if params.labels and len(sources or []) > 1:
            problems.messages.append("labels are of one text: set merge, or speak them one by one")
        speakers: dict[str, None] = {}
        for source in (sources or []) if planner.entry.files else []:  # loading takes longer
            if split := problems.of(partial(split_text, source, params, sayings)):
                speakers |= dict.fromkeys(chunk.speaker for chunk in split.chunks)
        check_cast(params, planner.entry, problems, speakers)
    checks = planner.settle_checks(params)
    if params.read_along and sources and checks:
        from chatter_nb.runs.read_along import check_read_along  # loads FFmpeg: 0.06 s

        problems.of(partial(check_read_along, params, sources[0], planner.entry, checks))
    engine = planner.load()
    narrator = "narrator" if params.narrator else ""
    problems.of(partial(told_of, params, narrator, planner.prepare_voice))
    with watch.stage("text"):
        chunks_of = partial(_chunks, params=params, engine=engine, edits=edits, sayings=sayings)
        texts: list[_Text] = [problems.of(partial(chunks_of, source)) for source in sources]
        unspoken = [text.unspoken for text in texts if text and text.unspoken]
        if unspoken and params.unspeakable == "refuse":
            problems.messages.append(refusal(unspoken))
        problems.raise_any()
    with watch.stage("voice"):
        spoken = (placed.chunk for text in texts for placed in text.chunks)
        roles = roles_of(params, engine, spoken, problems)
        problems.raise_any()
    with watch.stage("text"):
        whole = identities(roles, engine, planner.settled.precision.name, planner.seed)
        planned = [whole.identify(text.chunks, params.takes) for text in texts]
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
        check_takes(params.takes, whole, [text.chunks for text in texts])
    assert checks is not None  # else `load` has raised
    notes = [*sayings.notes, *(note for text in texts for note in text.notes)]
    notes += [warning(unspoken)] if unspoken else []
    notes += dict.fromkeys(note for output in outputs for note in output.notes)
    notes += silent_members(params, (c.chunk for output in outputs for c in output.chunks))
    narrators = roles[NARRATOR, ""].voice.notes  # these the planner tells
    on_voices = (note for role in roles.values() for note in role.voice.notes)
    notes += dict.fromkeys(note for note in on_voices if note not in narrators)
    notes += left_as_written((c.chunk for o in outputs for c in o.chunks), language)
    notes += _notes_on_edits(params, edits, [source.name for source in sources])
    return planner.plan(
        SpeechPlan,
        outputs,
        [*notes, *checks.notes],
        identities=whole,
        checks=checks,
        roles=roles,
        unsure=tuple(quote for text in texts for quote in text.unsure),
    )


def _check_names(outputs: Iterable[PlannedOutput]) -> None:
    """Raise `InputError` if chapters of two documents have one name."""
    names = sorted(output.name for output in outputs)
    if twice := [name for name, following in pairwise(names) if name == following]:
        raise InputError(f"chapters of two documents would be files named {twice[0]}: rename one")


def check_speech(params: SpeakParams, engine: EngineEntry, problems: Problems) -> None:
    """Add every problem of the text and the voice to `problems`, without loading a model."""
    sayings = problems.of(partial(sayings_of, params, engine)) or _NO_SAYING
    for source in problems.of(lambda: read_texts(params)) or []:
        problems.of(partial(split_text, source, params, sayings))
    problems.of(lambda: _edits(params))
    problems.of(lambda: check_voice(params.voice, library_of(params), engine))
    check_cast(params, engine, problems)


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


class _Text(NamedTuple):
    """The chunks of a text, edited, notes, what is left out of the chunks, and unsure quotes."""

    chunks: list[PlacedChunk]
    notes: list[str]
    unspoken: Unspoken | None
    unsure: list[UnsureRecord]


def _chunks(
    source: TextSource,
    params: SpeakParams,
    engine: SpeechEngine,
    edits: Sequence[Edit],
    sayings: Sayings,
) -> _Text:
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
    return _Text(placed, [note for note in told if note], unspoken, unsure)


def _chosen(chunks: Sequence[PlannedChunk], chapters: Set[int] | None) -> tuple[PlannedChunk, ...]:
    """The chunks of the chosen chapters, which sound as in the whole book; no pause ends them."""
    if chapters is None:
        return tuple(chunks)
    *before, last = [planned for planned in chunks if planned.placed.chapter in chapters]
    silent = replace(last.placed, chunk=replace(last.chunk, pause_ms=0))
    return (*before, last if last is chunks[-1] else replace(last, placed=silent))


def estimate(params: SpeakParams) -> Estimate:
    """The cost of a run with these parameters, without running it."""
    return plan_speech(params).estimate()
