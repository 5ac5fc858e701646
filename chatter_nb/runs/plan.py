"""The base of both kinds of plan (speech, conversion), their first steps, and a run's cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from chatter_nb.base.disk import free_disk_bytes
from chatter_nb.base.errors import ChatterError, InputError, ParamError, Problems
from chatter_nb.base.formats import OUTPUT_FORMATS
from chatter_nb.base.project import resolve_path, shown_path
from chatter_nb.base.timing import Stopwatch
from chatter_nb.base.wording import count, minutes
from chatter_nb.engines.base import SpeechEngine, Voice
from chatter_nb.engines.checks import check_files, check_supported, settle_params
from chatter_nb.engines.models import Settled, load, loaded
from chatter_nb.engines.registry import EngineEntry
from chatter_nb.engines.voices import Library, library_of
from chatter_nb.params.runs import AnyParams, SpeakParams
from chatter_nb.runs.checking import Checks, settle_checks
from chatter_nb.runs.folder import RunFolder
from chatter_nb.runs.resume import engine_and_seed, resumed
from chatter_nb.runs.store import ChunkStore

_SLOW_RTF = 2.0  # slower than this on a CPU, a person should hear what a GPU or `auto` would do
_MASTERING_RTF = 0.015  # with encoding and measuring, see audio/README.md
_PLACES_SHOWN = 6


@dataclass(frozen=True)
class Estimate:
    """The cost of a run, roughly: from the length of its input and the engine's usual pace.

    `wall_s` is None where nobody has measured the engine's pace on this kind of device.
    """

    audio_s: float
    wall_s: float | None
    disk_bytes: int

    def __str__(self) -> str:
        wall_s = self.wall_s
        work = "work of unknown length" if wall_s is None else f"{minutes(wall_s)} of work"
        return f"{minutes(self.audio_s)} of audio, {work}, {self.disk_bytes / 1e6:,.0f} MB on disk"

    def notes(self, folder: RunFolder) -> list[str]:
        """A warning if the disk of `folder` has too little free room; else nothing."""
        free_bytes = free_disk_bytes(folder.path)
        if self.disk_bytes <= free_bytes:
            return []
        return [f"only {free_bytes / 1e6:,.0f} MB are free there: the disk may fill up"]


@dataclass(frozen=True)
class Plan(ABC):
    """All that rendering a run needs. `str(plan)` is what a person reads before the run."""

    unit: ClassVar[str]  # of work: "chunk" or "window"
    source_noun: ClassVar[str]  # the label of the input: "text" or "source"
    output_noun: ClassVar[str]  # what an output is made from: "text" or "recording"

    params: AnyParams
    folder: RunFolder
    store: ChunkStore
    settled: Settled
    engine: Any
    voice: Voice
    seed: int
    outputs: tuple[Any, ...]
    warnings: tuple[str, ...]
    stages_s: dict[str, float]
    planning_s: float

    @property
    @abstractmethod
    def pieces(self) -> Sequence[Any]:
        """The chunks or windows of all outputs; each has a `key`."""

    @abstractmethod
    def chapters_s(self) -> list[float]:
        """The length of each chapter in seconds."""

    def audio_s(self) -> float:
        """The length of the result in seconds."""
        return sum(self.chapters_s())

    @abstractmethod
    def new_s(self) -> float:
        """Seconds of audio that are not in the store yet."""

    @property
    @abstractmethod
    def kept_bytes_per_s(self) -> int:
        """Bytes in the store for a second of new audio."""

    def estimate(self) -> Estimate:
        """The estimate; chunks that are in the store already take no work."""
        audio_s, new_s, rate = self.audio_s(), self.new_s(), self.engine.sample_rate
        formats = [OUTPUT_FORMATS[name] for name in self.params.formats]
        wav_bytes_per_s = rate * self.params.wav_bits // 8
        is_best, is_mastered = self.params.master == "acx", self.params.master != "none"
        file_bytes_per_s = sum(
            (row.best_bytes_per_s if is_best else 0) or row.bytes_per_s or wav_bytes_per_s
            for row in formats
        )
        if getattr(self.params, "read_along", False):  # an mp3, and again in the book
            file_bytes_per_s += 16_000
        disk = audio_s * file_bytes_per_s + new_s * self.kept_bytes_per_s
        if is_mastered:  # kept chapters; a spool that is written, one that is read
            ways = 2 if any(output.whole for output in self.outputs) else 1
            disk += audio_s * file_bytes_per_s + ways * 8 * rate * max(self.chapters_s())
        encoding_s = audio_s * sum(
            _MASTERING_RTF if is_mastered else row.encoding_rtf for row in formats
        )
        rtf = self.engine.typical_rtf if new_s else 0.0
        work_s = None if rtf is None else max(new_s * rtf, encoding_s)
        return Estimate(audio_s, work_s, round(disk))

    def __str__(self) -> str:
        pieces = count(len(self.pieces), self.unit)
        several = f"{len(self.outputs)} {self.output_noun}s, " if len(self.outputs) > 1 else ""
        estimate = self.estimate()
        lines = [
            *self._choices(),
            f"{self.source_noun}: {several}{pieces}; {estimate}",
            f"result: {shown_path(self.folder.path)}",
        ]
        notes = [*self._own_notes(), *self.warnings, *estimate.notes(self.folder)]
        return "\n".join([*lines, *(f"note: {note}" for note in notes)])

    def _choices(self) -> list[str]:
        """A line for each choice that was made, with its reason."""
        lines = [
            f"engine: {self.settled.engine}, voice {self.voice.name}, seed {self.seed}",
            f"device: {self.settled.device}",
        ]
        if "precision" in self.engine.accepts:
            lines.append(f"precision: {self.settled.precision}")
        return lines

    def _own_notes(self) -> list[str]:
        """A note on the time that a slow engine takes on a CPU, or on an unknown pace."""
        engine, new_s = self.engine, self.new_s()
        if new_s > 0 and engine.typical_rtf is None:
            return [f"nobody has measured yet how fast {engine.name} is on {engine.device}"]
        if engine.device != "cpu" or engine.typical_rtf < _SLOW_RTF or new_s <= 0:
            return []
        return [
            f"{engine.name} on a CPU takes about {engine.typical_rtf:.0f} s of work for a second "
            f"of audio, {minutes(new_s * engine.typical_rtf)} for what is new here; a GPU is many "
            "times faster, and engine: auto takes what is fast on this machine"
        ]


P = TypeVar("P", bound=Plan)
OnLoad = Callable[[EngineEntry], object]  # called before a model is loaded that takes long


class Planner:
    """Chooses and loads what every run needs: engine, device, precision, seed, voice.

    It collects problems of the input in `problems`; `load` raises them, before it calls `on_load`
    and loads. `reading` is the name of the stage in which the source is read, `voice` that of the
    run, or of its narrator.
    """

    def __init__(self, params: AnyParams, reading: str, on_load: OnLoad | None = None) -> None:
        self.watch = Stopwatch(("load", "voice", reading))
        self.problems = Problems()
        self._params = params
        self._on_load = on_load or (lambda _: None)
        self._folder = RunFolder(params.run_dir())
        self._library = library_of(params)
        self.voice: str = getattr(params, params.voice_field)
        with self.watch.stage("load"):  # looking at a GPU imports torch
            choice, self.seed = engine_and_seed(params, self._folder)
            self.entry = choice.entry
            self.entry.check_installed()
            self.settled = self.problems.of(lambda: settle_params(choice, params))
            if params.checkpoint:
                self.problems.of(lambda: check_files(self.entry, params))
        self.problems.of(lambda: check_supported(params, self.entry, choice.reason))

    def settle_checks(self, params: SpeakParams) -> Checks | None:
        """How the chunks are checked; None if that is a problem, which is then collected."""
        if self.settled is None or self.problems.messages:
            return None
        unfinished = resumed(params, self._folder)
        language = params.language or self.entry.languages[0]
        pinned = unfinished.checks if unfinished else None
        with self.watch.stage("load"):
            return self.problems.of(lambda: settle_checks(params, self.settled, language, pinned))

    def load(self) -> Any:
        """Load the engine and return it. Raises `InputError` with all collected problems."""
        with self.watch.stage("voice"):
            self.problems.of(lambda: check_voice(self.voice, self._library, self.entry))
        self.problems.raise_any()
        if self.entry.files and self.entry.key not in loaded():
            self._on_load(self.entry)
        with self.watch.stage("load"):
            check_files(self.entry, self._params)
            self._engine = load(self.settled)
        return self._engine

    def prepare_voice(self) -> Voice:
        """Prepare the voice that the parameters name, and return it."""
        with self.watch.stage("voice"):
            self._prepared: Voice = self._engine.prepare_voice(self.voice, self._library)
        return self._prepared

    def plan(self, kind: type[P], outputs: Sequence[Any], notes: Sequence[str], **more: Any) -> P:
        """The finished plan; `notes` are the notes on the source, `more` fields of its kind."""
        return kind(
            params=self._params,
            folder=self._folder,
            store=ChunkStore(resolve_path(self._params.outputs_dir)),
            settled=self.settled,
            engine=self._engine,
            voice=self._prepared,
            seed=self.seed,
            outputs=tuple(outputs),
            warnings=(*self._prepared.notes, *notes),
            stages_s=self.watch.stages_s,
            planning_s=self.watch.wall_s,
            **more,
        )


def check_voice(voice: str, library: Library, engine: EngineEntry) -> None:
    """Check the recording of a voice before a model is loaded. Raises `InputError`."""
    if not voice and engine.needs_voice:
        raise ParamError(
            f"engine '{engine.name}' has no voice of its own: set target to a recording, or "
            "to the name of one in the voices folder"
        )
    if voice and engine.min_voice_s:
        library.recording(voice, min_s=engine.min_voice_s)


def check_texts(engine: SpeechEngine, texts: list[str], language: str) -> list[str]:
    """The engine's notes on the texts of chunks. Raises `InputError` that names every bad text."""
    try:
        return engine.check_text("\n".join(texts), language)
    except ChatterError:
        raise
    except Exception as error:  # an engine's own code, which may raise anything
        places = [text for text in texts if not _can_check(text, engine, language)] or texts
        shown = ", ".join(f"{text[:60]!r}" for text in places[:_PLACES_SHOWN])
        more = len(places) - _PLACES_SHOWN
        raise InputError(
            f"engine '{engine.name}' cannot read {shown}{f' and {more} more' if more > 0 else ''} "
            f"({type(error).__name__}: {error}): write it otherwise (replacements)"
        ) from error


def _can_check(text: str, engine: SpeechEngine, language: str) -> bool:
    try:
        engine.check_text(text, language)
    except ChatterError:
        return True
    except Exception:
        return False
    return True
