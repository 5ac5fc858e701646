"""The plan of a conversion: every recording is read and checked, every window has its key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from chatter_nb.audio.reading import Inspected, inspect_audio, mix_notes, resampled_length
from chatter_nb.audio.tags import Tags
from chatter_nb.audio.windows import Window, plan_windows
from chatter_nb.base.errors import InputError, Problems
from chatter_nb.base.formats import RECORDING_SUFFIXES
from chatter_nb.base.hashing import chunk_key, digest
from chatter_nb.base.project import resolve_path
from chatter_nb.engines.base import ConvertEngine, Voice
from chatter_nb.engines.registry import EngineEntry
from chatter_nb.engines.voices import content_hash, library_of
from chatter_nb.params.runs import ConvertParams
from chatter_nb.runs.book_plan import PlannedChapter
from chatter_nb.runs.convert_cast import Stretches, cut_length, is_of_run, outputs_of_run
from chatter_nb.runs.folder import RECORD
from chatter_nb.runs.keys import determinants
from chatter_nb.runs.plan import OnLoad, Plan, Planner, check_voice
from chatter_nb.text.files import list_folder

CONVERTED = "converted"  # the name of the one output of a single recording
MIN_SOURCE_S = 0.2
SILENT_PEAK = 1e-4  # -80 dB
KEPT_BYTES_PER_S = 100_000  # of a window in the store; world's audio, Chatterbox' mel is less


@dataclass(frozen=True)
class PlannedWindow:
    """A window, and the key that names its result in the store."""

    window: Window
    key: str


@dataclass(frozen=True)
class PlannedRecording:
    """One recording to convert, and its windows.

    A dialogue has `stretches`, and a part for each speaker who is converted: what this one says, as
    one recording.
    """

    chapters: ClassVar[tuple[PlannedChapter, ...]] = ()
    tags: ClassVar = Tags()
    whole: ClassVar = None

    name: str
    path: Path
    content_hash: str
    duration_s: float
    samples: int  # of the result: as long as the recording
    steps: int
    windows: tuple[PlannedWindow, ...]
    voice: Voice
    stretches: Stretches = ()
    parts: tuple[PlannedRecording, ...] = ()

    @property
    def source(self) -> str:
        return self.path.name


@dataclass(frozen=True)
class ConversionPlan(Plan):
    """A plan of windows to convert."""

    unit: ClassVar = "window"
    source_noun: ClassVar = "source"
    output_noun: ClassVar = "recording"
    kept_bytes_per_s: ClassVar = KEPT_BYTES_PER_S

    params: ConvertParams
    engine: ConvertEngine
    outputs: tuple[PlannedRecording, ...]

    @property
    def windows(self) -> list[PlannedWindow]:
        return [planned for output in self.outputs for planned in output.windows]

    pieces = windows

    def chapters_s(self) -> list[float]:
        return [output.duration_s for output in self.outputs]

    def new_s(self) -> float:
        missing = [planned.window for planned in self.windows if not self.store.has(planned.key)]
        return sum(window.end_s - window.start_s for window in missing)


def plan_conversion(params: ConvertParams, on_load: OnLoad | None = None) -> ConversionPlan:
    """The plan of a conversion. Raises `InputError` with every problem that would stop the run.

    `on_load` is called before a large model is loaded, when all that needs no model is checked.
    """
    planner = Planner(params, "read", on_load)
    with planner.watch.stage("read"):
        sources, notes = read_sources(params, planner.problems)
    planner.voice, *others = _voices(params)
    _check_voices(others, planner.entry, params, planner.problems)
    engine = planner.load()
    voices = {planner.voice: planner.prepare_voice()}
    voices |= {other: engine.prepare_voice(other, library_of(params)) for other in others}
    notes += [note for other in others for note in voices[other].notes]
    plan = partial(_planned, params=params, engine=engine, seed=planner.seed)
    outputs = [_dialogue(source, plan, engine, voices, planner.voice) for source in sources]
    return planner.plan(ConversionPlan, outputs, notes + _notes_on_kept(sources, engine))


@dataclass(frozen=True)
class Source:
    """A recording that was read to its end and can be converted."""

    name: str
    path: Path
    content_hash: str
    audio: Inspected
    stretches: Stretches = ()


def read_sources(params: ConvertParams, problems: Problems) -> tuple[list[Source], list[str]]:
    """The recordings to convert, in natural order, and notes; problems are added to `problems`."""
    path = resolve_path(params.source)
    messages = problems.messages
    names, notes, stretches = {path: CONVERTED}, list[str](), dict[Path, Stretches]()
    if not path.exists():
        messages.append(f"source {path} does not exist")
        return [], []
    if is_of_run(path, params):
        run = problems.of(lambda: outputs_of_run(path, params)) or {}
        names = {file: name if len(run) > 1 else CONVERTED for file, (name, _) in run.items()}
        stretches = {file: own for file, (_, own) in run.items()}
    elif params.cast:
        messages.append(f"cast is for the speakers of a speech run: set source to its {RECORD}")
    elif path.is_dir():
        files, others = list_folder(path, RECORDING_SUFFIXES)
        names = {file: file.stem for file in files}
        if passed := ", ".join(file.name for file in others):
            notes = [f"{path}: passed over {passed}: no recordings"]
        if not files:
            messages.append(f"folder {path} holds no recording ({' '.join(RECORDING_SUFFIXES)})")
        twice = [name for name, times in Counter(names.values()).items() if times > 1]
        if twice:
            messages.append(f"{path} holds two recordings named {twice[0]}: one name, one output")
    found = [(file, name, stretches.get(file, ())) for file, name in names.items()]
    inspected = [problems.of(partial(_inspected, *each)) for each in found]
    sources = [source for source in inspected if source]
    for source in sources:
        notes += mix_notes(source.audio.channel, where=source.path.name)
    return sources, notes


def _inspected(path: Path, name: str, stretches: Stretches) -> Source:
    audio = inspect_audio(path)
    if audio.duration_s < MIN_SOURCE_S:
        raise InputError(f"recording {path} is {audio.duration_s:.2f} s: at least {MIN_SOURCE_S} s")
    if audio.peak < SILENT_PEAK:
        raise InputError(f"recording {path} is all silence: there is nothing to convert")
    return Source(name, path, content_hash(path, channel=audio.channel), audio, stretches)


def _dialogue(
    source: Source,
    plan: Callable[..., PlannedRecording],
    engine: ConvertEngine,
    voices: Mapping[str, Voice],
    target: str,
) -> PlannedRecording:
    """The plan of a recording; of a dialogue with a part for each speaker who has a target."""
    whole, audio = plan(source, voice=voices[target]), source.audio
    if not source.stretches:
        return whole
    rate, parts = engine.source_rate, list[PlannedRecording]()
    samples = resampled_length(audio.samples, audio.sample_rate, rate)
    for speaker, voice in {stretch.speaker: stretch.target for stretch in source.stretches}.items():
        if voice is not None:
            own = [stretch for stretch in source.stretches if stretch.speaker == speaker]
            spoken = replace(audio, samples=cut_length(samples, own, rate), sample_rate=rate)
            times_s = [(stretch.start_s, stretch.end_s) for stretch in own]
            content = digest([source.content_hash, times_s], size=16)
            part = replace(source, content_hash=content, audio=spoken, stretches=own)
            parts.append(plan(part, voice=voices[voice]))
    windows = tuple(window for part in parts for window in part.windows)
    names = {None: None} | {voice: voices[voice].name for voice in voices}  # it may be a path
    told = {"output": source.name}
    named = [s.model_copy(update=told | {"target": names[s.target]}) for s in source.stretches]
    return replace(whole, windows=windows, parts=tuple(parts), stretches=named)


def _notes_on_kept(sources: Iterable[Source], engine: ConvertEngine) -> list[str]:
    """A note on the speakers whose sound stays, and on what it still goes through."""
    stretches = [stretch for source in sources for stretch in source.stretches]
    kept = dict.fromkeys(stretch.speaker for stretch in stretches if stretch.target is None)
    rates = {source.audio.sample_rate for source in sources} - {engine.sample_rate}
    but = f", at {engine.sample_rate} Hz" if rates else ""
    but += ", with a watermark" if engine.watermarked else ""
    told = f"{', '.join(kept)}: neither in cast nor a target, so the sound stays as it is{but}"
    return [told] if kept else []


def _voices(params: ConvertParams) -> list[str]:
    """The voices of a conversion: of all who are not in the cast, and of those who are."""
    default = [params.target] if params.target or not params.cast else []
    return list(dict.fromkeys([*default, *params.cast.values()]))


def _check_voices(
    voices: Iterable[str], engine: EngineEntry, params: ConvertParams, problems: Problems
) -> None:
    for voice in voices:
        problems.of(partial(check_voice, voice, library_of(params), engine))


def _planned(
    source: Source, params: ConvertParams, engine: ConvertEngine, voice: Voice, seed: int
) -> PlannedRecording:
    audio = source.audio
    steps = engine.steps(resampled_length(audio.samples, audio.sample_rate, engine.source_rate))
    windows = plan_windows(steps, window_s=params.window_s, overlap_s=params.overlap_s)
    determines = determinants(params, engine, engine.precision, voice) | {
        "kind": "convert",
        "source": source.content_hash,
        "steps": steps,
        "seed": seed,
    }
    return PlannedRecording(
        name=source.name,
        path=source.path,
        content_hash=source.content_hash,
        duration_s=audio.duration_s,
        samples=resampled_length(audio.samples, audio.sample_rate, engine.sample_rate),
        steps=steps,
        voice=voice,
        stretches=source.stretches,
        windows=tuple(
            PlannedWindow(
                window, chunk_key(**determines, window=[window.start, window.end, window.overlap])
            )
            for window in windows
        ),
    )


def check_conversion(params: ConvertParams, engine: EngineEntry, problems: Problems) -> None:
    """Add every problem of the recordings and the voice to `problems`, without loading a model."""
    problems.of(lambda: read_sources(params, problems))
    _check_voices(_voices(params), engine, params, problems)
