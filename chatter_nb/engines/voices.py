"""Reference recordings of voices: found by name, measured and checked.

A library is a folder of recordings; a file's name is the voice's name. A model's encoding of a
recording (its conditionals) is kept under the outputs root, by model and content. Not here: how a
model encodes a recording.
"""

from __future__ import annotations

import difflib
import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from chatter_nb.audio.reading import MonoRecording, Signal, mix_notes, peak, read_recording
from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.base.formats import RECORDING_SUFFIXES
from chatter_nb.base.project import resolve_path

if TYPE_CHECKING:
    from chatter_nb.engines.registry import EngineEntry
    from chatter_nb.params.runs import AnyParams

FOLDER = "voices"
CACHE = ".voices"
_NAMING = ".naming.lock"

MIN_S = 3.0  # upstream takes shorter recordings, but was made with prompts of 6 to 10 s
HEARD_S = 6.0  # what Chatterbox' T3 hears of a recording, the least of all models
QUIET_DB = -40.0  # RMS of the loud half; below it the room's noise becomes part of the voice
SILENT_PEAK_DB = -60.0
CLIPPED_SHARE = 1e-3  # of samples at full scale: louder than a click or two
SILENT_SHARE = 0.6
# Level between the loud and the quiet tenth of the frames. Speech has 40 dB, in noise 10 dB below
# it 15 dB, in noise as loud as itself 6 dB; noise alone has 1 dB, a hum less.
STEADY_DB = 6.0
_FRAME_S = 0.02
_SPEECH_FLOOR_DB = -40.0  # below the recording's peak


@dataclass(frozen=True)
class Recording:
    """A checked recording: mono, at its own sample rate. `notes` say what is doubtful about it."""

    name: str
    path: Path
    content_hash: str
    signal: Signal = field(repr=False, compare=False)
    sample_rate: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Library:
    """The voices in `folder`, by name; the models' encodings of them are in `cache`."""

    folder: Path
    cache: Path

    def names(self) -> list[str]:
        """The names of the voices."""
        return sorted({path.stem for path in self.files()})

    def find(self, voice: str) -> Path:
        """A voice's file: the file of that name in the library, else the file at that path.

        Raises `ParamError` that lists the names of the library.
        """
        named = [path for path in self.files() if voice in (path.stem, path.name)]
        if len(named) > 1:
            names = ", ".join(path.name for path in named)
            raise ParamError(f"voice '{voice}' is ambiguous: {names}; give the file's whole name")
        if named:
            return named[0]
        path = resolve_path(voice)
        if path.is_file():
            return path
        near = difflib.get_close_matches(voice, self.names(), n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        known = ", ".join(self.names()) or "none yet"
        raise ParamError(
            f"voice '{voice}' is neither a file nor a name in {self.folder}: {hint}"
            f"voices there: {known}. Put a recording of 6 to 15 s there, or give its path"
        )

    def recording(self, voice: str, *, min_s: float = MIN_S, heard_s: float = HEARD_S) -> Recording:
        """Find, read and check the recording of a voice; see `check_recording`."""
        path = self.find(voice)
        heard, notes = read_checked(path, where=f"voice {path.name}", min_s=min_s, heard_s=heard_s)
        key = content_hash(path, channel=heard.channel)
        return Recording(path.stem, path, key, heard.signal, heard.sample_rate, tuple(notes))

    @contextmanager
    def naming(self) -> Iterator[None]:
        """A lock among all processes: hold it from the search for a free name to its use."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / _NAMING):
            yield

    def files(self) -> list[Path]:
        """The recordings that can be read, sorted by name."""
        if not self.folder.is_dir():
            return []
        seen = (path for path in self.folder.iterdir() if not path.name.startswith("."))
        readable = (path for path in seen if path.suffix.lower() in RECORDING_SUFFIXES)
        return sorted(path for path in readable if path.is_file())


def voice_choices(engine: EngineEntry | None, library: Library) -> list[tuple[str, str]]:
    """(in words, name) of each voice to choose from: the engine's, and recordings if it clones.

    A voice that is not on this machine yet says so.
    """
    recordings = [(f"{name}, a recording", name) for name in library.names()]
    if engine is None or engine.name != "hibari" or engine.missing():
        return recordings if engine is None or engine.min_voice_s is not None else []
    from hibari.voices import VOICES

    here, choices = hibari_voices(), []
    for name, voice in VOICES.items():
        there = "" if name in here else f", a download of {voice['bytes'] / 1e6:.0f} MB"
        choices.append((f"{name}, {voice['accent']} {voice['gender']}{there}", name))
    return choices


def hibari_voices() -> list[str]:
    """The voices of hibari that are on this machine."""
    from hibari.voices import VOICES, voice_path

    here = []
    for name in VOICES:
        with suppress(FileNotFoundError):
            voice_path(name, download_missing=False)
            here.append(name)
    return here


def library_of(params: AnyParams) -> Library:
    """The library of a run's voices: `voices_dir`, else voices/ in its `outputs_dir`."""
    outputs = resolve_path(params.outputs_dir)
    folder = resolve_path(params.voices_dir) if params.voices_dir else outputs / FOLDER
    return Library(folder, outputs / CACHE)


@dataclass(frozen=True)
class Surveyed:
    """A voice of a library in a list; `figures` is None if `problem` says why it cannot be used."""

    name: str
    path: Path
    figures: Figures | None
    notes: tuple[str, ...] = ()
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path)}

    def __str__(self) -> str:
        if self.figures is None:
            return f"{self.name:20} cannot be used: {self.problem}"
        doubts = "".join(f"; {note}" for note in self.notes)
        return (
            f"{self.name:20} {self.figures.duration_s:6.1f} s, {self.figures.rms_db:.0f} dB{doubts}"
        )


def survey(folder: Path) -> list[Surveyed]:
    """Every voice of a library, measured and checked."""
    if not folder.is_dir():
        raise InputError(
            f"{folder} is not a folder: make it, and put recordings of 6 to 15 s there"
        )
    library = Library(folder, folder)
    files = library.files()
    stems = Counter(path.stem for path in files)
    return [_surveyed(path, path.stem if stems[path.stem] == 1 else path.name) for path in files]


def _surveyed(path: Path, name: str) -> Surveyed:
    try:
        heard, notes = read_checked(path, where=path.name)
    except InputError as error:
        return Surveyed(name, path, None, problem=str(error))
    return Surveyed(name, path, measure(heard.signal, heard.sample_rate), tuple(notes))


def read_checked(
    path: Path, *, where: str, min_s: float = MIN_S, heard_s: float = HEARD_S
) -> tuple[MonoRecording, list[str]]:
    """Read and check a recording of a voice. Returns it and notes; see `check_recording`."""
    heard = read_recording(path)
    notes = check_recording(
        heard.signal, heard.sample_rate, where=where, min_s=min_s, heard_s=heard_s
    )
    return heard, [*mix_notes(heard.channel, where=where), *notes]


def content_hash(path: Path, *, channel: int | None = None) -> str:
    """A hash of a file's content, not its name, and of the `channel` if only it is used."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    return digest if channel is None else f"{digest}-channel{channel + 1}"


@dataclass(frozen=True)
class Figures:
    """Measurements of a recording: duration and peak of all of it, the rest of what a model hears.

    `rms_db` is the level of the louder half of the frames, in dB of full scale. `spread_db` is the
    level between the loud and the quiet tenth of the frames. `silent_share` counts frames 40 dB
    below the peak.
    """

    duration_s: float
    peak_db: float
    rms_db: float
    spread_db: float
    clipped_share: float
    silent_share: float


def measure(signal: Signal, sample_rate: int, *, heard_s: float = HEARD_S) -> Figures:
    """Measure a mono recording; level, clipping and silence are of its first `heard_s` seconds."""
    top = peak(signal)
    heard = signal[: math.ceil(min(heard_s * sample_rate, len(signal)))]
    frame = max(1, round(_FRAME_S * sample_rate))
    whole = heard[: len(heard) // frame * frame].reshape(-1, frame)
    power = np.sort(np.mean(whole.astype(np.float64) ** 2, axis=1)) if len(whole) else np.zeros(1)
    floor = (top * 10 ** (_SPEECH_FLOOR_DB / 20)) ** 2
    quiet, loud = np.sqrt(np.percentile(power, [10, 90]))
    return Figures(
        duration_s=len(signal) / sample_rate,
        peak_db=_db(top),
        rms_db=_db(float(np.sqrt(power[len(power) // 2 :].mean()))),
        spread_db=_db(float(loud)) - _db(float(quiet)),
        clipped_share=float(np.mean(np.abs(heard) >= 0.999)),
        silent_share=float(np.mean(power <= floor)),
    )


def check_recording(
    signal: Signal, sample_rate: int, *, where: str, min_s: float = MIN_S, heard_s: float = HEARD_S
) -> list[str]:
    """Raise `InputError` for a recording that cannot serve as a voice: silent, or under `min_s`.

    Returns notes on what will sound worse: a recording that is quiet, clipped, mostly silence or
    only noise in its first `heard_s` seconds, which a model hears.
    """
    figures = measure(signal, sample_rate, heard_s=heard_s)
    if figures.peak_db < SILENT_PEAK_DB:
        raise InputError(
            f"{where}: silent (its peak is {figures.peak_db:.0f} dB): record it again, louder"
        )
    if figures.duration_s < min_s:
        # Turbo takes 5 s and a sample.
        needed = f"at least {min_s:g}" if min_s == int(min_s) else f"more than {int(min_s)}"
        raise InputError(
            f"{where}: {figures.duration_s:.2f} s long; {needed} s are needed, "
            "and 6 to 15 s of one person speaking are best"
        )
    is_longer = figures.duration_s > heard_s
    part = f"the first {heard_s:g} s, which the model hears," if is_longer else "it"
    return [f"{where}: {doubt}" for doubt in _doubts(figures, part, is_longer)]


def _doubts(figures: Figures, part: str, is_longer: bool) -> Iterator[str]:
    cure = ": cut off what is before the speech" if is_longer else ""
    if figures.silent_share > SILENT_SHARE:
        yield f"{figures.silent_share:.0%} of {part} is silence{cure}"
    elif figures.spread_db < STEADY_DB:
        yield f"nothing in {part} rises above a steady noise: no speech is heard{cure}"
    elif figures.rms_db < QUIET_DB:
        yield f"quiet ({figures.rms_db:.0f} dB): its noise becomes part of the voice"
    if figures.clipped_share > CLIPPED_SHARE:
        yield f"clipped ({figures.clipped_share:.1%} of samples at full scale)"


def _db(amplitude: float) -> float:
    return 20 * float(np.log10(max(amplitude, 1e-6)))
