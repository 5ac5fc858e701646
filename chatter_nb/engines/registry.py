"""Which engines there are, and what each needs. Importing this module imports none of them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from chatter_nb.errors import UnavailableError


@dataclass(frozen=True)
class EngineEntry:
    """A registered engine: where its class is, and what must be importable for it."""

    module: str
    class_name: str
    requires: tuple[str, ...]
    install: str
    files: str = ""  # the model in `checkpoints.MODELS` whose files it needs
    needs_gpu: bool = False
    cpu_only: bool = False
    packages: tuple[str, ...] = ()  # the distributions whose versions decide its samples

    def missing(self) -> list[str]:
        return [name for name in self.requires if find_spec(name) is None]

    def lacks(self) -> str:
        """What is not installed, as a sentence; empty if nothing."""
        missing = self.missing()
        are = "is" if len(missing) == 1 else "are"
        return f"{', '.join(missing)} {are} not installed" if missing else ""

    def engine_class(self) -> Any:
        """The class, not loaded as a model. Raises `UnavailableError` with the install command."""
        missing = self.missing()
        if missing:
            raise UnavailableError(f"{self.lacks()}; install with: {self.install}")
        with warnings.catch_warnings():  # what other packages say of each other at import
            warnings.simplefilter("ignore")
            return getattr(import_module(self.module), self.class_name)


# `pip` alone would follow chatterbox-tts' own pins, which take torch and numpy back by years.
INSTALL_CHATTERBOX = (
    "pip install -c constraints.txt -e '.[chatterbox]' && "
    "pip install --no-deps chatterbox-tts==0.1.7"
)


def _chatterbox(class_name: str, files: str, module: str = "chatterbox") -> EngineEntry:
    return EngineEntry(
        f"chatter_nb.engines.{module}",
        class_name,
        ("torch", "torchaudio", "chatterbox"),
        INSTALL_CHATTERBOX,
        files,
        needs_gpu=True,
        packages=("chatterbox-tts",),
    )


# In order of preference: `auto` takes the first whose needs are met.
TTS_ENGINES: dict[str, EngineEntry] = {
    "chatterbox": _chatterbox("ChatterboxEngine", "chatterbox"),
    "hibari": EngineEntry(
        "chatter_nb.engines.hibari",
        "HibariEngine",
        ("hibari",),
        "pip install hibari-tts",
        cpu_only=True,
        packages=("hibari-tts",),
    ),
    "chatterbox-multilingual": _chatterbox("MultilingualEngine", "chatterbox-multilingual"),
    "chatterbox-turbo": _chatterbox("TurboEngine", "chatterbox-turbo"),
}

VC_ENGINES: dict[str, EngineEntry] = {
    "chatterbox": _chatterbox("ChatterboxConverter", "chatterbox-vc", "chatterbox_vc"),
    "world": EngineEntry(
        "chatter_nb.engines.world",
        "WorldConverter",
        ("pyworld",),
        "pip install pyworld-prebuilt",
        cpu_only=True,
        packages=("pyworld-prebuilt", "pyworld"),
    ),
}


def entries(*, convert: bool = False) -> dict[str, EngineEntry]:
    """The engines that speak, or those that convert."""
    return VC_ENGINES if convert else TTS_ENGINES


def entry(name: str, *, convert: bool = False) -> EngineEntry:
    """The registry's entry, or an `UnavailableError` that lists what there is."""
    known = entries(convert=convert)
    if name not in known:
        doing = "converts" if convert else "speaks"
        raise UnavailableError(f"no engine '{name}' {doing}; there are: {', '.join(known)}")
    return known[name]
