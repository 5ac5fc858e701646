"""What an engine is: the protocol, the registry, and the check of what an engine accepts.

Engines are synchronous: plain calls, no threads. Importing this module imports none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from chatter_nb.errors import ParamError, UnavailableError

if TYPE_CHECKING:
    from chatter_nb.audio import Signal
    from chatter_nb.params import SpeakParams

# Parameters that only some engines take; None is the engine's own default.
KNOBS = (
    "exaggeration",
    "cfg_weight",
    "temperature",
    "min_p",
    "top_p",
    "top_k",
    "repetition_penalty",
    "max_new_tokens",
    "n_cfm_timesteps",
    "prompt_s",
    "speed",
)


@dataclass(frozen=True)
class Voice:
    """A voice ready to speak. `content_hash` names what it sounds like, whatever its name."""

    name: str
    content_hash: str
    data: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class ChunkRequest:
    """One chunk to speak. `knobs` holds only those that were set."""

    index: int
    text: str
    seed: int
    voice: Voice
    language: str
    knobs: Mapping[str, float | int] = field(default_factory=dict)


@dataclass(frozen=True)
class ChunkInfo:
    """How a chunk was made: calls to the model, and which chunk it was split from, if any."""

    attempts: int = 1
    split_from: int | None = None


class SpeechEngine(Protocol):
    """Text to speech. `takes` are the names in `KNOBS` it accepts.

    `typical_rtf` is seconds of work a second of audio, for estimates before a run.
    """

    name: str
    version: str
    sample_rate: int
    languages: tuple[str, ...]
    takes: frozenset[str]
    device: str
    precision: str
    rows: int
    typical_rtf: float

    def prepare_voice(self, voice: str) -> Voice:
        """The voice by name or from a recording; empty for the engine's own."""
        ...

    def check_text(self, text: str) -> list[str]:
        """Raise `InputError`, naming the characters, for letters it would leave out.

        Returns notes on symbols that it passes over, for the person and the record.
        """
        ...

    def synthesize(
        self, requests: Sequence[ChunkRequest]
    ) -> Iterator[tuple[int, Signal, ChunkInfo]]:
        """Yield (index, mono float32 audio, info) as chunks finish, in any order."""
        ...


@dataclass(frozen=True)
class EngineEntry:
    """A registered engine: where its class is, and what must be importable for it."""

    module: str
    class_name: str
    requires: tuple[str, ...]
    install: str
    needs_gpu: bool = False
    cpu_only: bool = False

    def missing(self) -> list[str]:
        return [name for name in self.requires if find_spec(name) is None]

    def engine_class(self) -> Any:
        """The class, not loaded as a model. Raises `UnavailableError` with the install command."""
        missing = self.missing()
        if missing:
            raise UnavailableError(
                f"{', '.join(missing)} is not installed; install it with: {self.install}"
            )
        return getattr(import_module(self.module), self.class_name)


# In order of preference: `auto` takes the first whose needs are met.
TTS_ENGINES: dict[str, EngineEntry] = {
    "hibari": EngineEntry(
        "chatter_nb.engines.hibari",
        "HibariEngine",
        ("hibari",),
        "pip install hibari-tts",
        cpu_only=True,
    ),
}


# What a user may expect to speak, in order of preference; named in the reason if it is not here.
EXPECTED = ("chatterbox",)


def absent_engines() -> list[str]:
    """Expected engines that this version does not have."""
    return [name for name in EXPECTED if name not in TTS_ENGINES]


def tts_entry(name: str) -> EngineEntry:
    """The registry's entry, or an `UnavailableError` that lists what there is."""
    if name not in TTS_ENGINES:
        raise UnavailableError(
            f"engine '{name}' is not part of this version; it has: {', '.join(TTS_ENGINES)}"
        )
    return TTS_ENGINES[name]


def knobs_of(params: SpeakParams) -> dict[str, float | int]:
    """The engine knobs that were set, by name."""
    values = {name: getattr(params, name) for name in KNOBS}
    return {name: value for name, value in values.items() if value is not None}


def check_supported(params: SpeakParams, engine: Any, reason: str) -> None:
    """Refuse, all at once, what was set and an engine (or its class) does not take."""
    given = [*knobs_of(params)]
    given += ["rows"] * (params.rows > 1) + ["precision"] * (params.precision == "fast")
    given += ["checkpoint"] * bool(params.checkpoint)
    refused = [name for name in given if name not in engine.takes]
    who = f"engine '{engine.name}' ({reason})"
    problems = []
    if refused:
        taken = ", ".join(sorted(engine.takes)) or "none"
        problems.append(
            f"{who} does not take {', '.join(refused)}; it takes: {taken}. "
            "Leave them out or choose another engine"
        )
    if params.language and params.language not in engine.languages:
        problems.append(
            f"{who} does not speak language '{params.language}'; "
            f"it speaks: {', '.join(engine.languages)}"
        )
    if problems:
        raise ParamError("\n".join(problems))
