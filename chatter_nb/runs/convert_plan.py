"""A conversion decided before it starts: recordings read through, windows with their keys."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from chatter_nb.audio.containers import way_out
from chatter_nb.audio.reading import inspect_audio, mix_notes, resampled_length
from chatter_nb.audio.windows import Window, plan_windows
from chatter_nb.base.errors import InputError
from chatter_nb.base.hashing import chunk_key
from chatter_nb.base.project import resolve_path
from chatter_nb.base.timing import Stopwatch
from chatter_nb.base.wording import count
from chatter_nb.engines.base import ConvertEngine, Voice, check_supported, knobs_of
from chatter_nb.engines.models import Choice, get_or_load_vc_model
from chatter_nb.engines.registry import entry
from chatter_nb.engines.voices import SUFFIXES, content_hash
from chatter_nb.params.runs import ConvertParams
from chatter_nb.runs.record import RunFolder
from chatter_nb.runs.settle import (
    Estimate,
    Problems,
    check_voice,
    cost_notes,
    encoding_rtf,
    file_bytes_per_s,
    library_of,
    look_ahead,
    settle,
)
from chatter_nb.runs.store import ChunkStore
from chatter_nb.text.files import natural_key

CONVERTED = "converted"  # the name of the one output of a single recording
MIN_SOURCE_S = 0.2
SILENT_PEAK = 1e-4  # -80 dB
KEPT_BYTES_PER_S = 100_000  # of a window in the store; world's audio, Chatterbox' mel is less


@dataclass(frozen=True)
class PlannedWindow:
    """A window and the key that names what is made of it."""

    window: Window
    key: str


@dataclass(frozen=True)
class PlannedRecording:
    """One recording to convert, and its windows."""

    name: str
    path: Path
    content_hash: str
    duration_s: float
    samples: int  # of the result: as long as the recording
    steps: int
    windows: tuple[PlannedWindow, ...]


@dataclass(frozen=True)
class ConversionPlan:
    """All that `render_conversion` needs, and what to tell a person first (`str(plan)`)."""

    params: ConvertParams
    folder: RunFolder
    store: ChunkStore
    engine: ConvertEngine
    engine_choice: Choice
    device_choice: Choice
    voice: Voice
    seed: int
    outputs: tuple[PlannedRecording, ...]
    warnings: tuple[str, ...]
    stages_s: dict[str, float]
    planning_s: float

    @property
    def windows(self) -> list[PlannedWindow]:
        return [planned for output in self.outputs for planned in output.windows]

    @property
    def precision(self) -> str:
        return self.engine.precision

    def estimate(self) -> Estimate:
        """Audio, work and disk, leaving out the windows that are kept already."""
        audio_s, new_s = sum(one.duration_s for one in self.outputs), self._new_s()
        disk = audio_s * file_bytes_per_s(self.params, self.engine.sample_rate)
        work_s = new_s * self.engine.typical_rtf + audio_s * encoding_rtf(self.params)
        return Estimate(audio_s, work_s, round(disk + new_s * KEPT_BYTES_PER_S))

    def _new_s(self) -> float:
        new = [one.window for one in self.windows if not self.store.has(one.key)]
        return sum(window.end_s - window.start_s for window in new)

    def __str__(self) -> str:
        sources = f"{len(self.outputs)} recordings, " if len(self.outputs) > 1 else ""
        estimate = self.estimate()
        lines = [
            f"engine: {self.engine_choice}, voice {self.voice.name}, seed {self.seed}",
            f"device: {self.device_choice}",
            f"source: {sources}{count(len(self.windows), 'window')}; {estimate}",
            f"result: {self.folder.path}",
        ]
        notes = [*cost_notes(self.engine, self._new_s()), *self.warnings]
        notes += estimate.notes(self.folder)
        return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def plan_conversion(params: ConvertParams) -> ConversionPlan:
    """Settle everything about a run. Raises `InputError` with all that would stop it."""
    watch = Stopwatch(("load", "voice", "read"))
    folder = RunFolder(params.run_dir())
    problems = Problems()
    with watch.stage("load"):  # looking for a GPU imports torch
        choice, seed = settle(params, folder.unfinished(), source=("source",), convert=True)
        device = look_ahead(choice.name, params, problems, convert=True)
        engine_class = entry(choice.name, convert=True).engine_class()
    problems.of(lambda: check_supported(params, engine_class, choice.reason))
    with watch.stage("read"):
        sources, notes = read_sources(params, problems)
    with watch.stage("voice"):
        problems.of(lambda: check_voice(params.target, library_of(params), engine_class))
    problems.raise_any()
    with watch.stage("load"):
        engine = get_or_load_vc_model(choice.name, params.device, params.checkpoint)
    with watch.stage("voice"):
        voice = engine.prepare_voice(params.target, library_of(params))
    outputs = tuple(_planned(source, params, engine, voice, seed) for source in sources)
    return ConversionPlan(
        params=params,
        folder=folder,
        store=ChunkStore(resolve_path(params.outputs_dir)),
        engine=engine,
        engine_choice=choice,
        device_choice=device,
        voice=voice,
        seed=seed,
        outputs=outputs,
        warnings=(*voice.notes, *notes),
        stages_s=watch.stages_s,
        planning_s=watch.wall_s,
    )


@dataclass(frozen=True)
class Source:
    """A recording that has been read through and found usable."""

    name: str
    path: Path
    content_hash: str
    samples: int
    sample_rate: int
    notes: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        return self.samples / self.sample_rate


def read_sources(params: ConvertParams, problems: Problems) -> tuple[list[Source], list[str]]:
    """The recordings to convert, in natural order, and notes; all their problems are collected."""
    path = resolve_path(params.source)
    if not path.exists():
        problems.found.append(f"source {path} does not exist")
        return [], []
    if not path.is_dir():
        found = problems.of(lambda: _inspected(path, CONVERTED))
        return ([found], [*found.notes]) if found else ([], [])
    files = [file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")]
    ours = sorted(
        (file for file in files if file.suffix.lower() in SUFFIXES),
        key=lambda file: natural_key(file.name),
    )
    notes = _passed_over(path, sorted(set(files) - set(ours)))
    if not ours:
        problems.found.append(f"folder {path} holds no recording ({' '.join(SUFFIXES)})")
    twice = [name for name, times in Counter(file.stem for file in ours).items() if times > 1]
    if twice:
        problems.found.append(f"{path} holds two recordings named {twice[0]}: one name, one output")
    found = [problems.of(partial(_inspected, file, file.stem)) for file in ours]
    sources = [source for source in found if source]
    return sources, notes + [note for source in sources for note in source.notes]


def _passed_over(folder: Path, files: list[Path]) -> list[str]:
    cures = {file: way_out(file) for file in files}
    notes = [f"{folder}: passed over {file.name}: {cure}" for file, cure in cures.items() if cure]
    if others := [file.name for file, cure in cures.items() if not cure]:
        notes.append(f"{folder}: passed over {', '.join(others)}: no recordings")
    return notes


def _inspected(path: Path, name: str) -> Source:
    found = inspect_audio(path)
    if found.duration_s < MIN_SOURCE_S:
        raise InputError(f"recording {path} is {found.duration_s:.2f} s: at least {MIN_SOURCE_S} s")
    if found.peak < SILENT_PEAK:
        raise InputError(f"recording {path} is all silence: there is nothing to convert")
    key = content_hash(path, channel=found.channel)
    notes = mix_notes(found.channel, where=path.name)
    return Source(name, path, key, found.samples, found.sample_rate, tuple(notes))


def _planned(
    source: Source, params: ConvertParams, engine: ConvertEngine, voice: Voice, seed: int
) -> PlannedRecording:
    steps = engine.steps(resampled_length(source.samples, source.sample_rate, engine.source_rate))
    windows = plan_windows(steps, window_s=params.window_s, overlap_s=params.overlap_s)
    determines = {
        "kind": "convert",
        "engine": engine.name,
        "version": engine.version,
        "voice": voice.content_hash,
        "knobs": knobs_of(params),
        "precision": engine.precision,
        "device": engine.device.partition(":")[0],  # another draws other numbers from a seed
        "source": source.content_hash,
        "steps": steps,
        "seed": seed,
    }
    return PlannedRecording(
        name=source.name,
        path=source.path,
        content_hash=source.content_hash,
        duration_s=source.duration_s,
        samples=resampled_length(source.samples, source.sample_rate, engine.sample_rate),
        steps=steps,
        windows=tuple(
            PlannedWindow(
                window, chunk_key(**determines, window=[window.start, window.end, window.overlap])
            )
            for window in windows
        ),
    )


def check_conversion(params: ConvertParams, engine_class: Any) -> list[str]:
    """Every problem of a conversion's input that needs no model to be found.

    `engine_class` is None where the engine is not installed.
    """
    problems = Problems()
    problems.of(lambda: read_sources(params, problems))
    problems.of(lambda: check_voice(params.target, library_of(params), engine_class))
    return problems.found
