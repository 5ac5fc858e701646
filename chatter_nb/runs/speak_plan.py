"""The plan of a speech run: engine and reason, texts, chunks with their seeds and keys.

Every problem of the input is found here, before a sample is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

from chatter_nb.base.disk import is_there
from chatter_nb.base.errors import InputError, Problems
from chatter_nb.base.project import resolve_path
from chatter_nb.base.speakers import NARRATOR
from chatter_nb.engines.base import SpeechEngine
from chatter_nb.engines.registry import EngineEntry
from chatter_nb.engines.voices import library_of
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.book_plan import PlannedOutput, plan_outputs
from chatter_nb.runs.checking import Checks
from chatter_nb.runs.edits import EDITS, Edit, edit_chunks, load_edits
from chatter_nb.runs.in_words import in_words, left_as_written
from chatter_nb.runs.keys import Identities, PlannedChunk, check_takes, identities
from chatter_nb.runs.plan import Estimate, OnLoad, Plan, Planner, check_voice
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
    read_texts,
    split_text,
)
from chatter_nb.runs.speakers import silent_members
from chatter_nb.runs.text_chunks import TextChunks, chunks_of
from chatter_nb.runs.unspeakable import refusal, warning
from chatter_nb.text.files import TextSource
from chatter_nb.text.pace import chars_per_s
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
        of = partial(chunks_of, params=params, engine=engine, edits=edits, sayings=sayings)
        texts: list[TextChunks] = [problems.of(partial(of, source)) for source in sources]
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
        outputs = _outputs(params, engine, sources, texts, whole)
    assert checks is not None  # else `load` has raised
    notes = [*sayings.notes, *(note for text in texts for note in text.notes)]
    notes += [warning(unspoken)] if unspoken else []
    notes += _notes(params, outputs, roles, sayings.language)
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


def _outputs(
    params: SpeakParams,
    engine: SpeechEngine,
    sources: Sequence[TextSource],
    texts: Sequence[TextChunks],
    whole: Identities,
) -> list[PlannedOutput]:
    """The outputs of texts, with the chunks of their chosen chapters. Raises `InputError`."""
    language, outputs = params.language or engine.languages[0], list[PlannedOutput]()
    for source, text in zip(sources, texts, strict=True):
        chunks = whole.identify(text.chunks, params.takes)
        chosen = _chosen(chunks, chapters_of(source, params))
        outputs += plan_outputs(source, chosen, params, language)
    _check_names(outputs)
    if params.takes:
        check_takes(params.takes, whole, [text.chunks for text in texts])
    return outputs


def _notes(
    params: SpeakParams,
    outputs: Sequence[PlannedOutput],
    roles: Mapping[RoleKey, Role],
    language: str,
) -> list[str]:
    """Notes on files, on speakers, on numbers that no rule says."""
    chunks = [planned.chunk for output in outputs for planned in output.chunks]
    narrators = roles[NARRATOR, ""].voice.notes  # these the planner tells
    on_voices = (note for role in roles.values() for note in role.voice.notes)
    return [
        *dict.fromkeys(note for output in outputs for note in output.notes),
        *silent_members(params, chunks),
        *dict.fromkeys(note for note in on_voices if note not in narrators),
        *left_as_written(chunks, language),
    ]


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
