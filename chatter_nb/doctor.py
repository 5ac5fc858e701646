"""What is installed here, what a run would use, and the command that adds what is missing."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import soundfile

from chatter_nb import __version__
from chatter_nb.audio import FORMATS
from chatter_nb.disk import free_disk_bytes
from chatter_nb.engines.base import TTS_ENGINES
from chatter_nb.errors import EngineError
from chatter_nb.models import pick_device, pick_engine
from chatter_nb.project import resolve_path

PACKAGES = (
    "papermill",
    "jupyterlab",
    "ipywidgets",
    "numpy",
    "soundfile",
    "hibari-tts",
    "torch",
    "chatterbox-tts",
)
INSTALL_BASE = "pip install -c constraints.txt -e ."
# Without --no-deps its own pins would take torch and numpy back by years.
INSTALL_CHATTERBOX = (
    "pip install -c constraints.txt -e '.[chatterbox]' && "
    "pip install --no-deps chatterbox-tts==0.1.7"
)
_LOW_DISK_BYTES = 1e9
_CONTAINERS = {"wav": "WAV", "flac": "FLAC", "mp3": "MP3", "opus": "OGG"}


@dataclass(frozen=True)
class Report:
    """What was found. `missing` pairs what is lacking with the command that installs it."""

    versions: dict[str, str | None]
    engine: str
    device: str
    formats: tuple[str, ...]
    outputs: str
    free_disk_bytes: int
    missing: tuple[tuple[str, str], ...]
    can_speak: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{name:14} {found or 'not installed'}" for name, found in self.versions.items()]
        lines += ["", f"engine auto    {self.engine}", f"device auto    {self.device}"]
        lines += [f"audio formats  {' '.join(self.formats)}"]
        lines += [f"outputs        {self.outputs} ({self.free_disk_bytes / 1e9:.1f} GB free)", ""]
        lines += [f"missing: {what}\n  {cure}" for what, cure in self.missing]
        lines += ["ready to speak" if self.can_speak else "cannot speak yet: see what is missing"]
        return "\n".join(lines)


def examine() -> Report:
    """Look at this machine; loads no model."""
    versions: dict[str, str | None] = {
        "chatter_nb": __version__,
        "python": platform.python_version(),
    }
    missing = [
        (f"{', '.join(entry.missing())} (engine {name})", entry.install)
        for name, entry in TTS_ENGINES.items()
        if entry.missing()
    ]
    formats = tuple(f for f in FORMATS if _CONTAINERS[f] in soundfile.available_formats())
    if len(formats) < len(FORMATS):
        missing.append(("a libsndfile that writes mp3 and opus", "pip install -U soundfile"))
    if find_spec("chatterbox") is None:
        what = "chatterbox-tts (for the Chatterbox engines, which this version does not have yet)"
        missing.append((what, INSTALL_CHATTERBOX))
    if find_spec("ipykernel") is None:
        missing.append(("ipykernel, which runs notebooks", INSTALL_BASE))
    outputs = resolve_path("outputs")
    free_bytes = free_disk_bytes(outputs)
    if free_bytes < _LOW_DISK_BYTES:
        missing.append((f"disk: {free_bytes / 1e9:.1f} GB free", "chatter-nb clean --unused"))
    try:
        engine, can_speak = str(pick_engine()), True
    except EngineError as error:
        engine, can_speak = str(error), False
    return Report(
        versions=versions | {name: _version(name) for name in PACKAGES},
        engine=engine,
        device=str(pick_device()),
        formats=formats,
        outputs=_from_here(outputs),
        free_disk_bytes=free_bytes,
        missing=tuple(missing),
        can_speak=can_speak,
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _from_here(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
