"""Which engines there are, and what each needs. Importing this module imports none of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from chatter_nb.base.errors import UnavailableError


def not_installed(missing: Sequence[str]) -> str:
    """These modules as a sentence; empty for none."""
    are = "is" if len(missing) == 1 else "are"
    return f"{', '.join(missing)} {are} not installed" if missing else ""


@dataclass(frozen=True)
class EngineEntry:
    """A registered engine: where its class is, what must be importable for it, what it takes.

    `knobs` are the parameters of `base.KNOBS` that it accepts, each with the value that it has
    unless told (None: the model's own); `options` the other parameters of engines. They stand here,
    so that a form knows them before the engine is imported.
    """

    module: str
    class_name: str
    requires: tuple[str, ...]
    install: str
    files: str = ""  # the model in `checkpoints.MODELS` whose files it needs
    needs_gpu: bool = False
    cpu_only: bool = False
    packages: tuple[str, ...] = ()  # the distributions whose versions decide its samples
    knobs: Mapping[str, float | None] = field(default_factory=dict)
    options: tuple[str, ...] = ()

    @property
    def takes(self) -> frozenset[str]:
        """Every parameter of engines that it accepts."""
        return frozenset((*self.knobs, *self.options))

    def missing(self) -> list[str]:
        return [name for name in self.requires if find_spec(name) is None]

    def lacks(self) -> str:
        """What is not installed, as a sentence; empty if nothing."""
        return not_installed(self.missing())

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


# Upstream's own values (chatterbox-tts 0.1.7, the `generate` of each class).
_DECODING = {"n_cfm_timesteps": 10, "prompt_s": 10}
_ENGLISH: dict[str, float | None] = {
    "exaggeration": 0.5,
    "cfg_weight": 0.5,
    "temperature": 0.8,
    "min_p": 0.05,
    "top_p": 1.0,
    "repetition_penalty": 1.2,
    "max_new_tokens": 1000,
    **_DECODING,
    "meanflow": None,
}
_TURBO: dict[str, float | None] = {
    "temperature": 0.8,
    "top_k": 1000,
    "top_p": 0.95,
    "repetition_penalty": 1.2,
    "max_new_tokens": 1000,
    **_DECODING,
    "n_cfm_timesteps": 2,
}
_SPEECH_OPTIONS = ("checkpoint", "rows", "precision", "engine_path")


def _chatterbox(
    class_name: str,
    files: str,
    knobs: Mapping[str, float | None],
    *,
    module: str = "speak",
    options: tuple[str, ...] = _SPEECH_OPTIONS,
) -> EngineEntry:
    return EngineEntry(
        f"chatter_nb.engines.chatterbox.{module}",
        class_name,
        ("torch", "torchaudio", "chatterbox"),
        INSTALL_CHATTERBOX,
        files,
        needs_gpu=True,
        packages=("chatterbox-tts",),
        knobs=knobs,
        options=options,
    )


# In order of preference: `auto` takes the first whose needs are met.
TTS_ENGINES: dict[str, EngineEntry] = {
    "chatterbox": _chatterbox("ChatterboxEngine", "chatterbox", _ENGLISH),
    "hibari": EngineEntry(
        "chatter_nb.engines.hibari",
        "HibariEngine",
        ("hibari",),
        "pip install hibari-tts",
        cpu_only=True,
        packages=("hibari-tts",),
        knobs={"speed": 1.0},
    ),
    "chatterbox-multilingual": _chatterbox(
        "MultilingualEngine", "chatterbox-multilingual", _ENGLISH | {"repetition_penalty": 2.0}
    ),
    "chatterbox-turbo": _chatterbox("TurboEngine", "chatterbox-turbo", _TURBO),
}

VC_ENGINES: dict[str, EngineEntry] = {
    "chatterbox": _chatterbox(
        "ChatterboxConverter",
        "chatterbox-vc",
        _DECODING,
        module="convert",
        options=("checkpoint", "rows"),
    ),
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
