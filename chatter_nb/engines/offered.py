"""The voices that can be had: the engines' own, and the recordings of a library, with doubts.

Not here: how a voice is made ready to speak (the engines).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatter_nb.base.errors import InputError, shown
from chatter_nb.engines.recordings import Figures, measure, read_checked
from chatter_nb.engines.voices import Library

if TYPE_CHECKING:
    from chatter_nb.engines.registry import EngineEntry

DEFAULT_VOICE = "default"  # the name of a model's own voice in lists, and over HTTP


@dataclass(frozen=True)
class ListedVoice:
    """A voice in a list: an `engine`'s own, or a recording at a `path`, with its `figures`.

    `problem` says what keeps it from speaking here; empty if nothing does.
    """

    name: str
    about: str = ""
    problem: str = ""
    notes: tuple[str, ...] = ()
    engine: str = ""
    path: Path | None = None
    figures: Figures | None = None

    @property
    def duration_s(self) -> float | None:
        return self.figures.duration_s if self.figures else None

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "path": self.path and str(self.path)}

    def __str__(self) -> str:
        problem = f": {self.problem}" if self.problem else ""
        return "; ".join([f"{self.name:20} {self.about}{problem}", *self.notes])


def own_voices(engine: EngineEntry, *, checkpoint: str = "") -> list[ListedVoice]:
    """The voices of an engine itself, also those that have to be fetched first."""
    where = f"engine {engine.name}"
    lacks = engine.lacks()
    if engine.name != "hibari" or lacks:
        about, problem = f"{where}'s own, where voice is empty", lacks
        if not (lacks or checkpoint):
            problem = _lacks_files(engine)
        return [ListedVoice(DEFAULT_VOICE, about, problem, engine=engine.name)]
    from hibari.voices import VOICES

    here, voices = hibari_voices(), []
    for name, voice in VOICES.items():
        size = f"a download of {voice['bytes'] / 1e6:.0f} MB"
        problem = "" if name in here else f"{size} from the Hugging Face hub, once, on first use"
        about = f"{voice['accent']} {voice['gender']}, {where}"
        voices.append(ListedVoice(name, about, problem, engine=engine.name))
    return voices


def _lacks_files(engine: EngineEntry) -> str:
    from chatter_nb.engines.checkpoints import cached

    here = not engine.files or cached(engine.files)
    return "" if here else f"its files, 1 to 3 GB, come with: chatter-nb fetch {engine.files}"


def no_voice(engine: str, voice: str, known: Iterable[str]) -> str:
    """The sentence on a voice that an engine does not have, with those that it has."""
    cure = ". It cannot clone a recording: for that choose engine: chatterbox"
    told = f"engine '{engine}' has no voice {shown(voice)}; it has: {', '.join(known)}"
    return told + (cure if engine == "hibari" else "")


def hibari_voices() -> list[str]:
    """The voices of hibari that are on this machine."""
    from hibari.voices import VOICES, voice_path

    here = []
    for name in VOICES:
        with suppress(FileNotFoundError):
            voice_path(name, download_missing=False)
            here.append(name)
    return here


def voice_choices(engine: EngineEntry | None, library: Library) -> list[tuple[str, str]]:
    """(in words, name) of each voice to choose from: the engine's, and recordings if it clones.

    A voice that is not on this machine yet says so.
    """
    recordings = [(f"{name}, a recording", name) for name in library.names()]
    if engine is None or engine.name != "hibari" or engine.missing():
        return recordings if engine is None or engine.min_voice_s is not None else []
    choices = []
    for voice in own_voices(engine):
        parts = [voice.name, voice.about.partition(",")[0], voice.problem.partition(" from")[0]]
        choices.append((", ".join(filter(None, parts)), voice.name))
    return choices


def survey(folder: Path) -> list[ListedVoice]:
    """Every recording of a library, measured and checked; read again only if it changed."""
    if not folder.is_dir():
        raise InputError(
            f"{folder} is not a folder: make it, and put recordings of 6 to 15 s there"
        )
    files = Library(folder, folder).files()
    stems, voices = Counter(path.stem for path in files), []
    for path in files:
        name = path.stem if stems[path.stem] == 1 else path.name
        try:
            status = path.stat()
            voices.append(_surveyed(path, name, status.st_mtime_ns, status.st_size))
        except (InputError, OSError) as error:
            voices.append(ListedVoice(name, "cannot be used", str(error), path=path))
    return voices


@lru_cache(maxsize=256)
def _surveyed(path: Path, name: str, changed_ns: int, size: int) -> ListedVoice:
    read, mended, notes = read_checked(path, where=path.name)
    figures = measure(mended.signal, read.sample_rate)
    figures = replace(figures, duration_s=len(read.signal) / read.sample_rate)
    about = f"{figures.duration_s:6.1f} s, {figures.rms_db:.0f} dB"
    return ListedVoice(name, about, notes=tuple(notes), path=path, figures=figures)
