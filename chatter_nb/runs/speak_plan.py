"""A run decided before it starts: engine and reason, texts, chunks with their seeds and keys.

Everything that can be wrong with the input is found here, before a sample is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from chatter_nb.base.budget import budget
from chatter_nb.base.errors import InputError
from chatter_nb.base.project import resolve_path
from chatter_nb.base.timing import Stopwatch
from chatter_nb.base.wording import count
from chatter_nb.engines.base import SpeechEngine, Voice, check_supported
from chatter_nb.engines.models import Choice, get_or_load_tts_model, pick_precision
from chatter_nb.engines.registry import entry
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.keys import PlannedChunk, Settled, check_takes, identify
from chatter_nb.runs.record import RunFolder
from chatter_nb.runs.settle import (
    Estimate,
    Problems,
    check_texts,
    check_voice,
    cost_notes,
    encoding_rtf,
    file_bytes_per_s,
    library_of,
    look_ahead,
    settle,
)
from chatter_nb.runs.store import ChunkStore
from chatter_nb.text.chunking import (
    Chunk,
    chars_per_s,
    chunk_limit,
    clean,
    split_chunks,
    without_breaks,
)
from chatter_nb.text.files import TextSource, merge_sources, read_sources
from chatter_nb.text.markup import TERMINAL_CODE, foreign_format, markup_notes

MERGED = "speech"  # the name of the one output of a text, or of a folder that is merged
STORE_BYTES_PER_SAMPLE = 4
OUTLINED_CHARS = 200_000  # takes 60 ms


@dataclass(frozen=True)
class PlannedOutput:
    """One audio signal to make: the chunks of a text, or of several merged."""

    name: str
    source: str
    chunks: tuple[PlannedChunk, ...]


@dataclass(frozen=True)
class SpeechPlan:
    """All that `render_speech` needs, and what to tell a person first (`str(plan)`)."""

    params: SpeakParams
    folder: RunFolder
    store: ChunkStore
    engine: SpeechEngine
    engine_choice: Choice
    device_choice: Choice
    precision_choice: Choice
    voice: Voice
    seed: int
    outputs: tuple[PlannedOutput, ...]
    warnings: tuple[str, ...]
    stages_s: dict[str, float]
    planning_s: float

    @property
    def chunks(self) -> list[PlannedChunk]:
        return [planned for output in self.outputs for planned in output.chunks]

    def estimate(self) -> Estimate:
        """Audio, work and disk, leaving out the work on chunks that are kept already."""
        pauses_s = sum(planned.chunk.pause_ms for planned in self.chunks) / 1000
        audio_s, new_s = self._seconds(self.chunks) + pauses_s, self._new_s()
        rate = self.engine.sample_rate
        disk = audio_s * file_bytes_per_s(self.params, rate) + new_s * rate * STORE_BYTES_PER_SAMPLE
        work_s = new_s * self.engine.typical_rtf + audio_s * encoding_rtf(self.params)
        return Estimate(audio_s, work_s, round(disk))

    @property
    def precision(self) -> str:
        return self.precision_choice.name

    @property
    def _has_precision(self) -> bool:
        return "precision" in self.engine.takes

    def _new_s(self) -> float:
        return self._seconds(one for one in self.chunks if not self.store.has(one.key))

    def _seconds(self, chunks: Iterable[PlannedChunk]) -> float:
        rate = chars_per_s(self.params.language or self.engine.languages[0])
        return sum(len(one.chunk.text) for one in chunks) / rate / (self.params.speed or 1.0)

    def __str__(self) -> str:
        chunks = count(len(self.chunks), "chunk")
        texts = f"{len(self.outputs)} texts, " if len(self.outputs) > 1 else ""
        estimate = self.estimate()
        lines = [
            f"engine: {self.engine_choice}, voice {self.voice.name}, seed {self.seed}",
            f"device: {self.device_choice}",
            *([f"precision: {self.precision_choice}"] if self._has_precision else []),
            f"text: {texts}{chunks}; {estimate}",
            f"result: {self.folder.path}",
        ]
        notes = [*cost_notes(self.engine, self._new_s()), *self.warnings]
        notes += estimate.notes(self.folder)
        return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def plan_speech(params: SpeakParams) -> SpeechPlan:
    """Settle everything about a run. Raises `InputError` with all that would stop it."""
    watch = Stopwatch(("load", "voice", "text"))
    folder = RunFolder(params.run_dir())
    problems = Problems()
    with watch.stage("load"):  # looking for a GPU imports torch
        choice, seed = settle(params, folder.unfinished(), source=("text", "text_file"))
        device = look_ahead(choice.name, params, problems)
        engine_class = entry(choice.name).engine_class()
    problems.of(lambda: check_supported(params, engine_class, choice.reason))
    with watch.stage("text"):
        sources = problems.of(lambda: _sources(params))
    with watch.stage("voice"):
        problems.of(lambda: check_voice(params.voice, library_of(params), engine_class))
    problems.raise_any()
    plain = params.engine_path == "upstream"  # float32 whatever the fast path's weights are
    precision = pick_precision("exact" if plain else params.precision, device.name)
    with watch.stage("load"):
        engine = get_or_load_tts_model(
            choice.name, params.device, params.checkpoint, "any" if plain else precision.name
        )
    with watch.stage("voice"):
        voice = problems.of(lambda: engine.prepare_voice(params.voice, library_of(params)))
    with watch.stage("text"):
        chunked = [problems.of(partial(_chunks, source, params, engine)) for source in sources]
        problems.raise_any()
        settled = Settled(engine, precision.name, voice, seed)
        outputs = tuple(_plan_output(one, params, settled) for one in chunked)
    check_takes(params, (planned for output in outputs for planned in output.chunks))
    return SpeechPlan(
        params=params,
        folder=folder,
        store=ChunkStore(resolve_path(params.outputs_dir)),
        engine=engine,
        engine_choice=choice,
        device_choice=device,
        precision_choice=precision,
        voice=voice,
        seed=seed,
        outputs=outputs,
        warnings=(*voice.notes, *(note for one in chunked for note in one.notes)),
        stages_s=watch.stages_s,
        planning_s=watch.wall_s,
    )


@dataclass(frozen=True)
class Outline:
    """A text at a glance: how much there is to speak. `exact` unless it was too long to cut up."""

    chars: int
    chunks: int
    audio_s: float
    exact: bool = True


def outline(params: SpeakParams) -> Outline:
    """How much a run would speak, at the usual pace of its language; neither model nor store.

    Fast enough for every key that is pressed: of a text beyond `OUTLINED_CHARS` only its beginning
    is cut up. Raises `InputError` for a text that cannot be spoken.
    """
    language = params.language or "en"
    chars = chunks = 0
    audio_s, exact = 0.0, True
    for source in _sources(params):
        share = min(1.0, OUTLINED_CHARS / max(1, len(source.text)))
        seen = (
            source.text[: source.text.rfind(" ", 0, OUTLINED_CHARS)] if share < 1 else source.text
        )
        _, found = _split(TextSource(source.name, seen, source.origin), params, language)
        spoken_s = sum(len(one.text) for one in found) / chars_per_s(language)
        paused_s = sum(one.pause_ms for one in found) / 1000
        chars += len(source.text)
        chunks += round(len(found) / share)
        audio_s += (spoken_s / (params.speed or 1.0) + paused_s) / share
        exact = exact and share == 1.0
    return Outline(chars, chunks, audio_s, exact)


def check_speech(params: SpeakParams, engine_class: Any) -> list[str]:
    """Every problem of a speech run that needs no model to be found.

    `engine_class` is None where the engine is not installed.
    """
    problems = Problems()
    for source in problems.of(lambda: _sources(params)) or []:
        problems.of(partial(_split, source, params, params.language or "en"))
    problems.of(lambda: check_voice(params.voice, library_of(params), engine_class))
    return problems.found


def _sources(params: SpeakParams) -> list[TextSource]:
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


@dataclass(frozen=True)
class _Chunked:
    source: TextSource
    chunks: list[Chunk]
    notes: tuple[str, ...]


def _chunks(source: TextSource, params: SpeakParams, engine: SpeechEngine) -> _Chunked:
    """A text's chunks; an `InputError` begins with where the text comes from."""
    language = params.language or engine.languages[0]
    text, chunks = _split(source, params, language)
    try:
        with budget(len(text)):
            notes = check_texts([chunk.spoken for chunk in chunks], engine, language)
    except InputError as error:
        raise InputError(f"{source.origin}: {error}") from error
    if TERMINAL_CODE.search(source.text):
        notes.append("the codes that colour a terminal's text are taken out")
    notes += markup_notes(text, engine=engine.name, markdown=source.markdown)
    return _Chunked(source, chunks, tuple(filter(None, [source.note, *notes])))


def _split(source: TextSource, params: SpeakParams, language: str) -> tuple[str, list[Chunk]]:
    """The cleaned text, and its chunks."""
    try:
        with budget(len(source.text)):
            text = clean(
                source.text,
                remove_references=params.remove_references,
                replacements=params.replacements,
                regex_replacements=params.regex_replacements,
                language=language,
            )
            chunks = split_chunks(
                text,
                chunk_chars=chunk_limit(params.chunk_chars, language),
                sentence_pause_ms=params.sentence_pause_ms,
                paragraph_pause_ms=params.paragraph_pause_ms,
                chapter_pause_ms=params.chapter_pause_ms,
                language=language,
            )
        if not any(chunk.speakable for chunk in chunks):
            raise InputError("there is nothing to speak: no letter and no digit is left")
    except InputError as error:
        raise InputError(f"{source.origin}: {error}") from error
    return text, chunks


def _plan_output(chunked: _Chunked, params: SpeakParams, settled: Settled) -> PlannedOutput:
    planned = identify(chunked.chunks, params, settled)
    return PlannedOutput(chunked.source.name, chunked.source.origin, tuple(planned))


def estimate(params: SpeakParams) -> Estimate:
    """What a run of these parameters will cost, without running it."""
    return plan_speech(params).estimate()
