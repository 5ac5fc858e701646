"""Reference recordings of voices: found by name, and known by their content.

A library is a folder of recordings; a file's name is the voice's name. A model's encoding of a
recording (its conditionals) is kept under the outputs root, by model and content. Not here: how
a recording is checked and mended (`recordings`), and how a model encodes it.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from chatter_nb.audio.reading import Signal
from chatter_nb.base.errors import ParamError
from chatter_nb.base.formats import RECORDING_SUFFIXES
from chatter_nb.base.project import resolve_path

if TYPE_CHECKING:
    from chatter_nb.params.runs import AnyParams

FOLDER = "voices"
CACHE = ".voices"
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # of voices that are added
_NAMING = ".naming.lock"


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

    def has(self, name: str) -> bool:
        """Whether a name is taken; capitals do not count, as in some file systems."""
        return name.casefold() in (taken.casefold() for taken in self.names())

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

    def recording(self, voice: str, **limits_s: float) -> Recording:
        """Find, read, mend and check the recording of a voice; see `recordings.read_checked`.

        What was mended is part of its content: how, by which version, and the span.
        """
        from chatter_nb.engines.recordings import read_checked

        path = self.find(voice)
        read, mended, notes = read_checked(path, where=f"voice {path.name}", **limits_s)
        key = content_hash(path, channel=read.channel) + mended.key
        return Recording(path.stem, path, key, mended.signal, read.sample_rate, tuple(notes))

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


def library_of(params: AnyParams) -> Library:
    """The library of a run's voices: `voices_dir`, else voices/ in its `outputs_dir`."""
    outputs = resolve_path(params.outputs_dir)
    folder = resolve_path(params.voices_dir) if params.voices_dir else outputs / FOLDER
    # Samples of voices lie in a folder of the cache, and are runs themselves.
    return Library(folder, outputs.parent if outputs.parent.name == CACHE else outputs / CACHE)


def content_hash(path: Path, *, channel: int | None = None) -> str:
    """A hash of a file's content, not its name, and of the `channel` if only it is used."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    return digest if channel is None else f"{digest}-channel{channel + 1}"
