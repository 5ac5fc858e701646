"""Reference recordings: found by name, checked with figures, encoded once and kept.

A library is a folder of recordings, each a voice by the name of its file. What a model makes of a
recording (its conditionals) is kept under the outputs root, by model and content. Not here: how a
model encodes one.
"""

from __future__ import annotations

import difflib
import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from chatter_nb.audio.containers import way_out
from chatter_nb.audio.reading import Heard, Signal, mix_notes, peak, read_recording
from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.base.project import resolve_path

SUFFIXES = (  # of recordings; what libsndfile reads
    *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".aifc"),
    *(".au", ".caf", ".w64", ".rf64"),
)
FOLDER = "voices"
CACHE = ".voices"
_NAMING = ".naming.lock"

MIN_S = 3.0  # upstream takes less, and says it badly: its prompts were 6 to 10 s
HEARD_S = 6.0  # of a recording, by the model that hears least of it: Chatterbox' T3
QUIET_DB = -40.0  # RMS of the loud half; below, the room's noise becomes part of the voice
SILENT_PEAK_DB = -60.0
CLIPPED_SHARE = 1e-3  # of samples at full scale: louder than a click or two
SILENT_SHARE = 0.6
# Between the loud and the quiet tenth of the frames. Speech has 40 dB, 15 in noise 10 dB below it,
# 6 in noise as loud; noise alone 1, a hum less.
STEADY_DB = 6.0
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
        unread = [path for path in self._there() if voice in (path.stem, path.name)]
        if unread and (cure := way_out(unread[0])):
            raise ParamError(f"voice '{voice}' is {unread[0]}: {cure}")
        near = difflib.get_close_matches(voice, self.names(), n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        known = ", ".join(self.names()) or "none yet"
        raise ParamError(
            f"voice '{voice}' is neither a file nor a name in {self.folder}: {hint}"
            f"voices there: {known}. Put a recording of 6 to 15 s there, or give its path"
        )

    def recording(self, voice: str, *, min_s: float = MIN_S, heard_s: float = HEARD_S) -> Recording:
        """Find, read and check a voice's recording; see `check_recording`."""
        path = self.find(voice)
        heard, notes = read_checked(path, where=f"voice {path.name}", min_s=min_s, heard_s=heard_s)
        key = content_hash(path, channel=heard.channel)
        return Recording(path.stem, path, key, heard.signal, heard.sample_rate, tuple(notes))

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Hold the names alone, among all processes, from asking for a free one to taking it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / _NAMING):
            yield

    def files(self) -> list[Path]:
        """The recordings there are, by name."""
        return [path for path in self._there() if path.suffix.lower() in SUFFIXES]

    def unread(self) -> list[Path]:
        """The recordings there are in formats that are not read here."""
        others = (path for path in self._there() if path.suffix.lower() not in SUFFIXES)
        return [path for path in others if way_out(path)]

    def _there(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        seen = (path for path in self.folder.iterdir() if not path.name.startswith("."))
        return sorted(path for path in seen if path.is_file())


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
    library = Library(folder, folder)
    files = sorted([*library.files(), *library.unread()])
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
) -> tuple[Heard, list[str]]:
    """Read a recording that is to be a voice, and what is doubtful about it; see
    `check_recording`."""
    heard = read_recording(path)
    notes = check_recording(
        heard.signal, heard.sample_rate, where=where, min_s=min_s, heard_s=heard_s
    )
    return heard, [*mix_notes(heard.channel, where=where), *notes]


def content_hash(path: Path, *, channel: int | None = None) -> str:
    """A file's identity, whatever its name; with the one channel that is taken, if there is one."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    return digest if channel is None else f"{digest}-channel{channel + 1}"


@dataclass(frozen=True)
class Figures:
    """What a recording measures: its duration, and of what a model hears of it all else.

    `rms_db` is that of its louder half, in dB of full scale; `spread_db` lies between the loud and
    the quiet tenth of its frames. `silent_share` is of frames 40 dB below the whole's peak.
    """

    duration_s: float
    peak_db: float
    rms_db: float
    spread_db: float
    clipped_share: float
    silent_share: float


def measure(signal: Signal, sample_rate: int, *, heard_s: float = HEARD_S) -> Figures:
    """Duration and peak of a mono recording; level, clipping, silence of its first `heard_s`."""
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
    signal: Signal,
    sample_rate: int,
    *,
    where: str,
    min_s: float = MIN_S,
    heard_s: float = HEARD_S,
) -> list[str]:
    """Refuse what cannot serve as a voice (`InputError`); return notes on what will sound worse.

    Refused: shorter than `min_s`, or silent. Noted: quiet, clipped, mostly silence, or noise only,
    in the first `heard_s`, which are what a model hears.
    """
    found = measure(signal, sample_rate, heard_s=heard_s)
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
    is_longer = found.duration_s > heard_s
    part = f"the first {heard_s:g} s, which the model hears," if is_longer else "it"
    return [f"{where}: {doubt}" for doubt in _doubts(found, part, is_longer)]


def _doubts(found: Figures, part: str, is_longer: bool) -> Iterator[str]:
    cure = ": cut off what is before the speech" if is_longer else ""
    if found.silent_share > SILENT_SHARE:
        yield f"{found.silent_share:.0%} of {part} is silence{cure}"
    elif found.spread_db < STEADY_DB:
        yield f"nothing in {part} rises above a steady noise: no speech is heard{cure}"
    elif found.rms_db < QUIET_DB:
        yield f"quiet ({found.rms_db:.0f} dB): its noise becomes part of the voice"
    if found.clipped_share > CLIPPED_SHARE:
        yield f"clipped ({found.clipped_share:.1%} of samples at full scale)"


def _db(amplitude: float) -> float:
    return 20 * float(np.log10(max(amplitude, 1e-6)))
