"""Which engines there are, and what each needs. Importing this module imports none of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from chatter_nb.base.errors import UnavailableError

if TYPE_CHECKING:
    from chatter_nb.params.base import RunKind


def not_installed(missing: Sequence[str]) -> str:
    """A clause that says which modules are not installed; empty if `missing` is empty."""
    are = "is" if len(missing) == 1 else "are"
    return f"{', '.join(missing)} {are} not installed" if missing else ""


@dataclass(frozen=True)
class EngineEntry:
    """A registered engine: its name, its class, the modules it `requires`, what it accepts.

    `knobs` maps a parameter that only some engines accept to the engine's default value (None: the
    model has a default of its own). `options` are the other parameters of engines. `languages` are
    codes, its own first; `min_voice_s` is the shortest recording that it takes as a voice, None if
    it takes none. All of these stand here because forms and checks need them before the engine is
    imported, which takes seconds.
    """

    name: str
    module: str
    class_name: str
    requires: tuple[str, ...]
    install: str
    kind: RunKind = "speak"
    files: str = ""  # the model in `checkpoints.MODELS` whose files it needs
    needs_gpu: bool = False
    cpu_only: bool = False
    packages: tuple[str, ...] = ()  # the distributions whose versions decide its samples
    knobs: Mapping[str, float | None] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    languages: tuple[str, ...] = ("en",)
    min_voice_s: float | None = None
    needs_voice: bool = False
    word_times: bool = False  # whether it says when each word sounds
    takes_phonemes: bool = False  # whether a word may stand with its sounds: `hibari_phonemes`

    @property
    def key(self) -> str:
        """Its name among loaded models, unique because `chatterbox` both speaks and converts."""
        return f"convert/{self.name}" if self.kind == "convert" else self.name

    @property
    def accepts(self) -> frozenset[str]:
        """The names of all engine parameters that it accepts."""
        return frozenset((*self.knobs, *self.options))

    def missing(self) -> list[str]:
        return [name for name in self.requires if find_spec(name) is None]

    def lacks(self) -> str:
        """A clause that says which modules are not installed; empty if all are."""
        return not_installed(self.missing())

    def check_installed(self) -> None:
        """Raise `UnavailableError` with the install command if a module is missing."""
        if lacks := self.lacks():
            raise UnavailableError(f"{lacks}; install with: {self.install}")

    def engine_class(self) -> Any:
        """The engine's class, imported. Raises `UnavailableError` as `check_installed` does."""
        self.check_installed()
        with warnings.catch_warnings():  # of other packages about each other
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
_MANY_LANGUAGES = "en ar da de el es fi fr he hi it ja ko ms nl no pl pt ru sv sw tr zh"


_CHATTERBOX = EngineEntry(
    "chatterbox",
    "chatter_nb.engines.chatterbox.speak",
    "ChatterboxEngine",
    ("torch", "torchaudio", "chatterbox"),
    INSTALL_CHATTERBOX,
    files="chatterbox",
    needs_gpu=True,
    packages=("chatterbox-tts",),
    knobs=_ENGLISH,
    options=("checkpoint", "rows", "precision", "engine_path"),
    min_voice_s=3.0,
)


def _by_name(*known: EngineEntry) -> dict[str, EngineEntry]:
    return {entry.name: entry for entry in known}


# In order of preference: `auto` takes the first whose needs are met.
TTS_ENGINES = _by_name(
    _CHATTERBOX,
    EngineEntry(
        "hibari",
        "chatter_nb.engines.hibari",
        "HibariEngine",
        ("hibari",),
        "pip install hibari-tts",
        cpu_only=True,
        packages=("hibari-tts",),
        knobs={"speed": 1.0},
        word_times=True,
        takes_phonemes=True,
    ),
    replace(
        _CHATTERBOX,
        name="chatterbox-multilingual",
        class_name="MultilingualEngine",
        files="chatterbox-multilingual",
        knobs=_ENGLISH | {"repetition_penalty": 2.0},
        languages=tuple(_MANY_LANGUAGES.split()),
    ),
    replace(
        _CHATTERBOX,
        name="chatterbox-turbo",
        class_name="TurboEngine",
        files="chatterbox-turbo",
        knobs=_TURBO,
        min_voice_s=5.0 + 1 / 24_000,
    ),
)

VC_ENGINES = _by_name(
    replace(
        _CHATTERBOX,
        module="chatter_nb.engines.chatterbox.convert",
        class_name="ChatterboxConverter",
        kind="convert",
        files="chatterbox-vc",
        knobs=_DECODING,
        options=("checkpoint", "rows"),
    ),
    EngineEntry(
        "world",
        "chatter_nb.engines.world",
        "WorldConverter",
        ("pyworld",),
        "pip install pyworld-prebuilt",
        kind="convert",
        cpu_only=True,
        packages=("pyworld-prebuilt", "pyworld"),
        min_voice_s=1.0,
        needs_voice=True,
    ),
)

_ENTRIES = (*TTS_ENGINES.values(), *VC_ENGINES.values())
# The parameters that an engine may refuse.
ENGINE_PARAMETERS = frozenset(name for entry in _ENTRIES for name in entry.accepts)


def entries(kind: RunKind = "speak") -> dict[str, EngineEntry]:
    """The engines that speak, or those that convert."""
    return VC_ENGINES if kind == "convert" else TTS_ENGINES


def entry(name: str, kind: RunKind = "speak") -> EngineEntry:
    """The registry's entry, or an `UnavailableError` that lists what there is."""
    known = entries(kind)
    if name not in known:
        doing = "converts" if kind == "convert" else "speaks"
        raise UnavailableError(f"no engine '{name}' {doing}; there are: {', '.join(known)}")
    return known[name]
