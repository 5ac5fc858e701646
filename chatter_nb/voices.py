"""Reference recordings: found by name, checked with figures, encoded once and kept.

A library is a folder of recordings, each a voice by the name of its file. What a model makes of a
recording (its conditionals) is kept under the outputs root, by model and content. Not here: how a
model encodes one.
"""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chatter_nb.audio import Signal, peak, read_audio
from chatter_nb.errors import InputError, ParamError
from chatter_nb.project import resolve_path

SUFFIXES = (  # of recordings; what libsndfile reads
    *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".aifc"),
    *(".au", ".caf", ".w64", ".rf64"),
)
FOLDER = "voices"
CACHE = ".voices"

MIN_S = 3.0  # upstream takes less, and says it badly: its prompts were 6 to 10 s
QUIET_DB = -40.0  # RMS of the loud half; below, the room's noise becomes part of the voice
SILENT_PEAK_DB = -60.0
CLIPPED_SHARE = 1e-3  # of samples at full scale: louder than a click or two
SILENT_SHARE = 0.6
_FRAME_S = 0.02
_SPEECH_FLOOR_DB = -40.0  # below the recording's peak


@dataclass(frozen=True)
class Recording:
    """A checked recording: mono, at its own rate. `notes` tell what is doubtful about it."""

    name: str
    path: Path
    content_hash: str
    signal: Signal = field(repr=False, compare=False)
    sample_rate: int
    notes: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        return len(self.signal) / self.sample_rate


@dataclass(frozen=True)
class Library:
    """Voices by name in `folder`; what models made of them under `cache`."""

    folder: Path
    cache: Path

    def names(self) -> list[str]:
        """The voices there are."""
        return sorted({path.stem for path in self.files()})

    def find(self, voice: str) -> Path:
        """A voice's file: by name in the library, else the file of that path.

        Raises `ParamError` that lists the names there are.
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

    def recording(self, voice: str, *, min_s: float = MIN_S) -> Recording:
        """Find, read and check a voice's recording; see `check_recording`."""
        path = self.find(voice)
        signal, rate = read_audio(path)
        notes = check_recording(signal, rate, where=f"voice {path.name}", min_s=min_s)
        return Recording(path.stem, path, content_hash(path), signal, rate, tuple(notes))

    def files(self) -> list[Path]:
        """The recordings there are, by name."""
        if not self.folder.is_dir():
            return []
        seen = (path for path in self.folder.iterdir() if not path.name.startswith("."))
        return sorted(path for path in seen if path.is_file() and path.suffix.lower() in SUFFIXES)


@dataclass(frozen=True)
class Surveyed:
    """A voice of a library as a list shows it; `figures` is None where `problem` says why."""

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
    files = Library(folder, folder).files()
    stems = Counter(path.stem for path in files)
    return [_surveyed(path, path.stem if stems[path.stem] == 1 else path.name) for path in files]


def _surveyed(path: Path, name: str) -> Surveyed:
    try:
        signal, rate = read_audio(path)
        notes = check_recording(signal, rate, where=path.name)
    except InputError as error:
        return Surveyed(name, path, None, problem=str(error))
    return Surveyed(name, path, measure(signal, rate), tuple(notes))


def content_hash(path: Path) -> str:
    """A file's identity, whatever its name."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


@dataclass(frozen=True)
class Figures:
    """What a recording measures. `rms_db` is that of its louder half, in dB of full scale."""

    duration_s: float
    peak_db: float
    rms_db: float
    clipped_share: float
    silent_share: float


def measure(signal: Signal, sample_rate: int) -> Figures:
    """Duration, level, clipping and silence of a mono recording."""
    top = peak(signal)
    frame = max(1, round(_FRAME_S * sample_rate))
    whole = signal[: len(signal) // frame * frame].reshape(-1, frame)
    power = np.sort(np.mean(whole.astype(np.float64) ** 2, axis=1)) if len(whole) else np.zeros(1)
    floor = (top * 10 ** (_SPEECH_FLOOR_DB / 20)) ** 2
    return Figures(
        duration_s=len(signal) / sample_rate,
        peak_db=_db(top),
        rms_db=_db(float(np.sqrt(power[len(power) // 2 :].mean()))),
        clipped_share=float(np.mean(np.abs(signal) >= 0.999)),
        silent_share=float(np.mean(power <= floor)),
    )


def check_recording(
    signal: Signal, sample_rate: int, *, where: str, min_s: float = MIN_S
) -> list[str]:
    """Refuse what cannot serve as a voice (`InputError`); return notes on what will sound worse.

    Refused: shorter than `min_s`, or silent. Noted: quiet, clipped, or mostly silence.
    """
    found = measure(signal, sample_rate)
    if found.peak_db < SILENT_PEAK_DB:
        raise InputError(
            f"{where}: silent (its peak is {found.peak_db:.0f} dB): record it again, louder"
        )
    if found.duration_s < min_s:
        # Turbo takes 5 s and a sample.
        needed = f"at least {min_s:g}" if min_s == int(min_s) else f"more than {int(min_s)}"
        raise InputError(
            f"{where}: {found.duration_s:.2f} s long; {needed} s are needed, "
            "and 6 to 15 s of one person speaking are best"
        )
    notes = []
    if found.rms_db < QUIET_DB:
        notes.append(f"{where}: quiet ({found.rms_db:.0f} dB): its noise becomes part of the voice")
    if found.clipped_share > CLIPPED_SHARE:
        notes.append(f"{where}: clipped ({found.clipped_share:.1%} of samples at full scale)")
    if found.silent_share > SILENT_SHARE:
        notes.append(f"{where}: {found.silent_share:.0%} of it is silence")
    return notes


def _db(amplitude: float) -> float:
    return 20 * float(np.log10(max(amplitude, 1e-6)))
