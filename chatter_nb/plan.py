"""A run decided before it starts: engine and reason, texts, chunks with their seeds and keys.

Everything that can be wrong with the input is found here, before a sample is made.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from chatter_nb.chunkstore import ChunkStore
from chatter_nb.disk import free_disk_bytes
from chatter_nb.engines.base import SpeechEngine, Voice, check_supported, tts_entry
from chatter_nb.errors import ChatterError, InputError, ParamError
from chatter_nb.identity import PlannedChunk, check_takes, identify
from chatter_nb.models import Choice, get_or_load_tts_model, pick_device, pick_engine
from chatter_nb.params import SpeakParams
from chatter_nb.project import read_yaml, resolve_path
from chatter_nb.runs import RunFolder, RunRecord
from chatter_nb.text import Chunk, clean, split_chunks
from chatter_nb.textfiles import TextSource, merge_sources, read_sources
from chatter_nb.timing import Stopwatch

MERGED = "speech"  # the name of the one output of a text, or of a folder that is merged
CHARS_PER_S = 17.0  # English; the demo: 5,963 characters in 331 s without its pauses, 18 a second
_FILE_BYTES_PER_S = {"flac": 24_000, "mp3": 6_000, "opus": 6_000}  # of 24 kHz speech, roughly
_ENCODING_RTF = {"mp3": 0.009, "opus": 0.04}  # measured by `bench embedded`; wav and flac: nothing
STORE_BYTES_PER_SAMPLE = 4


@dataclass(frozen=True)
class PlannedOutput:
    """One audio signal to make: the chunks of a text, or of several merged."""

    name: str
    source: str
    chunks: tuple[PlannedChunk, ...]


@dataclass(frozen=True)
class Estimate:
    """What a run will cost. Rough: by characters and the engine's usual pace."""

    audio_s: float
    wall_s: float
    disk_bytes: int

    def __str__(self) -> str:
        return (
            f"about {_minutes(self.audio_s)} of audio, {_minutes(self.wall_s)} of work, "
            f"{self.disk_bytes / 1e6:,.0f} MB on disk"
        )


@dataclass(frozen=True)
class SpeechPlan:
    """All that `render_speech` needs, and what to tell a person first (`str(plan)`)."""

    params: SpeakParams
    folder: RunFolder
    store: ChunkStore
    engine: SpeechEngine
    engine_choice: Choice
    device_choice: Choice
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
        chars = sum(len(planned.chunk.text) for planned in self.chunks)
        new_chars = sum(
            len(planned.chunk.text) for planned in self.chunks if not self.store.has(planned.key)
        )
        pauses_s = sum(planned.chunk.pause_ms for planned in self.chunks) / 1000
        speed = self.params.speed or 1.0
        audio_s, new_s = chars / CHARS_PER_S / speed, new_chars / CHARS_PER_S / speed
        rate = self.engine.sample_rate
        file_bytes_per_s = {"wav": rate * self.params.wav_bits // 8, **_FILE_BYTES_PER_S}
        per_s = sum(file_bytes_per_s[name] for name in self.params.formats)
        disk = (audio_s + pauses_s) * per_s + new_s * rate * STORE_BYTES_PER_SAMPLE
        encoding_rtf = sum(_ENCODING_RTF.get(name, 0.0) for name in self.params.formats)
        work_s = new_s * self.engine.typical_rtf + (audio_s + pauses_s) * encoding_rtf
        return Estimate(audio_s + pauses_s, work_s, round(disk))

    def __str__(self) -> str:
        chunks = count(len(self.chunks), "chunk")
        texts = f"{len(self.outputs)} texts, " if len(self.outputs) > 1 else ""
        estimate = self.estimate()
        lines = [
            f"engine: {self.engine_choice}, voice {self.voice.name}, seed {self.seed}",
            f"device: {self.device_choice}",
            f"text: {texts}{chunks}; {estimate}",
            f"result: {self.folder.path}",
        ]
        notes = list(self.warnings)
        free_bytes = free_disk_bytes(self.folder.path)
        if estimate.disk_bytes > free_bytes:
            notes.append(f"only {free_bytes / 1e6:,.0f} MB are free there: the disk may fill up")
        return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def plan_speech(params: SpeakParams) -> SpeechPlan:
    """Settle everything about a run. Raises `InputError` with all that would stop it."""
    watch = Stopwatch(("load", "voice", "text"))
    folder = RunFolder(params.run_dir())
    choice, seed = _settle(params, folder.unfinished())
    problems = _Problems()
    with watch.stage("load"):
        engine_class = tts_entry(choice.name).engine_class()
    device = problems.of(lambda: pick_device(params.device, engine=choice.name))
    problems.of(lambda: check_supported(params, engine_class, choice.reason))
    with watch.stage("text"):
        sources = problems.of(lambda: _sources(params))
    problems.raise_any()
    with watch.stage("load"):
        engine = get_or_load_tts_model(choice.name, params.device, params.checkpoint)
    with watch.stage("voice"):
        voice = problems.of(lambda: engine.prepare_voice(params.voice))
    with watch.stage("text"):
        chunked = [problems.of(partial(_chunks, source, params, engine)) for source in sources]
        problems.raise_any()
        outputs = tuple(_plan_output(one, params, engine, voice, seed) for one in chunked)
    check_takes(params, (planned for output in outputs for planned in output.chunks))
    return SpeechPlan(
        params=params,
        folder=folder,
        store=ChunkStore(resolve_path(params.outputs_dir)),
        engine=engine,
        engine_choice=choice,
        device_choice=device,
        voice=voice,
        seed=seed,
        outputs=outputs,
        warnings=tuple(note for one in chunked for note in one.notes),
        stages_s=watch.stages_s,
        planning_s=watch.wall_s,
    )


def check_file(path: str | Path) -> list[str]:
    """Every problem of a parameter file and of the text it names; none if a run could start."""
    try:
        params = SpeakParams.from_file(path)
    except ChatterError as error:
        return [str(error), *_problems_of_text(path)]
    try:
        plan_speech(params)
    except ChatterError as error:
        return [str(error)]
    return []


def _problems_of_text(path: str | Path) -> list[str]:
    """The text's own problems, when the parameters are so wrong that no plan got to it."""
    problems = _Problems()
    text_file = problems.of(lambda: read_yaml(path).get("text_file"))
    if not problems.found and text_file and isinstance(text_file, str):
        problems.of(lambda: read_sources(resolve_path(text_file)))
        return problems.found
    return []


class _Problems:
    """Collects what several steps have to say, so that a person hears all of it at once."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def of(self, step: Callable[[], Any]) -> Any:
        """The step's result, or None if it found bad input."""
        try:
            return step()
        except InputError as error:
            self.found.append(str(error))
            return None

    def raise_any(self) -> None:
        if self.found:
            raise ParamError("\n".join(self.found))


def _settle(params: SpeakParams, unfinished: RunRecord | None) -> tuple[Choice, int]:
    """Engine and seed: as the unfinished run of the same request settled them, else anew."""
    asked = ("text", "text_file", "engine", "seed")
    resumes = unfinished is not None and all(
        unfinished.params.get(name) == getattr(params, name) for name in asked
    )
    if unfinished is None or not resumes:
        seed = draw_seed() if params.seed < 0 else params.seed
        return pick_engine(params.engine), seed
    if params.engine != "auto":
        return pick_engine(params.engine), unfinished.seed
    reason = unfinished.engine.reason.removeprefix(_RESUMED)
    return Choice(unfinished.engine.name, _RESUMED + reason), unfinished.seed


def draw_seed() -> int:
    """A seed from the system's own source, leaving every generator as it is."""
    return secrets.randbelow(2**31)


_RESUMED = "the run to resume had it: "


def _sources(params: SpeakParams) -> list[TextSource]:
    if not params.text_file:
        return [TextSource(MERGED, params.text)]
    path = resolve_path(params.text_file)
    sources = read_sources(path)
    if params.merge or not path.is_dir():
        notes = "; ".join(source.note for source in sources if source.note)
        return [TextSource(MERGED, merge_sources(sources), params.text_file, notes)]
    names = Counter(source.name for source in sources)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise InputError(f"{path} holds {twice[0]}.txt and {twice[0]}.md: one name, one output")
    return sources


@dataclass(frozen=True)
class _Chunked:
    source: TextSource
    chunks: list[Chunk]
    notes: tuple[str, ...]


def _chunks(source: TextSource, params: SpeakParams, engine: SpeechEngine) -> _Chunked:
    """A text's chunks; an `InputError` begins with where the text comes from."""
    try:
        chunks = split_chunks(
            clean(
                source.text,
                remove_references=params.remove_references,
                replacements=params.replacements,
                regex_replacements=params.regex_replacements,
            ),
            chunk_chars=params.chunk_chars,
            sentence_pause_ms=params.sentence_pause_ms,
            paragraph_pause_ms=params.paragraph_pause_ms,
            chapter_pause_ms=params.chapter_pause_ms,
            language=params.language or engine.languages[0],
        )
        if not any(chunk.speakable for chunk in chunks):
            raise InputError("there is nothing to speak: no letter and no digit is left")
        notes = engine.check_text(" ".join(chunk.spoken for chunk in chunks))
    except InputError as error:
        raise InputError(f"{source.origin}: {error}") from error
    return _Chunked(source, chunks, tuple(filter(None, [source.note, *notes])))


def _plan_output(
    chunked: _Chunked, params: SpeakParams, engine: SpeechEngine, voice: Voice, seed: int
) -> PlannedOutput:
    planned = identify(chunked.chunks, params, engine, voice, seed)
    return PlannedOutput(chunked.source.name, chunked.source.origin, tuple(planned))


def estimate(params: SpeakParams) -> Estimate:
    """What a run of these parameters will cost, without running it."""
    return plan_speech(params).estimate()


def count(number: int, noun: str) -> str:
    """ "1 chunk", "2 chunks"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
