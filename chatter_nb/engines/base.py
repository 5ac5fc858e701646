"""What an engine is: the protocols, what they exchange, and the check of what an engine accepts.

Engines are synchronous: plain calls, no threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from chatter_nb.base.errors import ParamError

if TYPE_CHECKING:
    from chatter_nb.audio.reading import Signal
    from chatter_nb.audio.windows import Window
    from chatter_nb.engines.voices import Library
    from chatter_nb.params.runs import ConvertParams, SpeakParams

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
    "meanflow",
    "prompt_s",
    "speed",
)


@dataclass(frozen=True)
class Voice:
    """A voice ready to speak. `content_hash` names what it sounds like, whatever its name.

    `notes` tell a person what is doubtful about its recording.
    """

    name: str
    content_hash: str
    data: Any = field(default=None, repr=False, compare=False)
    notes: tuple[str, ...] = ()


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
class ChunkPart:
    """A part of a chunk that had to be split: its text, and its place in the chunk's audio."""

    text: str
    start_samples: int
    end_samples: int


@dataclass(frozen=True)
class ChunkInfo:
    """How a chunk was made: calls to the model, its parts if it had to be split.

    `notes` are for the person and the record, and stay with the chunk; `warnings` are of the run
    that made it. `stages_s`: seconds of it that belong to stages other than synthesis.
    """

    attempts: int = 1
    parts: tuple[ChunkPart, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    stages_s: Mapping[str, float] = field(default_factory=dict)


class SpeechEngine(Protocol):
    """Text to speech. `takes` are the names in `KNOBS` it accepts, and the other parameters of
    engines: checkpoint, precision, rows, engine_path.

    `typical_rtf` is seconds of work a second of audio, for estimates before a run. `watermarked`
    engines' audio gets a PerTh watermark on its way to the file. `min_voice_s` is the shortest
    recording that it clones a voice from; None if it clones none.
    """

    name: str
    version: str
    sample_rate: int
    languages: tuple[str, ...]
    takes: frozenset[str]
    device: str
    precision: str
    typical_rtf: float
    watermarked: bool
    min_voice_s: float | None

    @property
    def rows(self) -> int:
        """How many chunks it would make together now, where nothing else is asked for."""
        ...

    def prepare_voice(self, voice: str, library: Library) -> Voice:
        """The voice by name or from a recording; empty for the engine's own."""
        ...

    def check_text(self, text: str, language: str) -> list[str]:
        """Raise `InputError`, naming the characters, for letters it would leave out.

        Returns notes on symbols that it passes over, for the person and the record.
        """
        ...

    def synthesize(
        self, requests: Sequence[ChunkRequest], **options: Any
    ) -> Iterator[tuple[int, Signal, ChunkInfo]]:
        """Yield (index, mono float32 audio, info) as chunks finish, in any order.

        `options` are those of `rows` and `engine_path` that it `takes`.
        """
        ...


class WindowJoiner(Protocol):
    """Joins a conversion's windows, given in their order, and passes audio on as it goes."""

    @property
    def samples(self) -> int:
        """What has been passed on so far."""
        ...

    def add(self, window: Window, made: Signal) -> None:
        """Take what `Conversion.convert` made of a window."""
        ...

    def finish(self) -> tuple[int, ...]:
        """Pass on the rest. Returns the seams, in output samples: the middle of each overlap."""
        ...


class Conversion(Protocol):
    """One recording on its way into another voice. Its `steps` are of `windows.STEP_S`."""

    steps: int

    def shape(self, window: Window) -> int:
        """Windows of one shape can be made together."""
        ...

    def convert(self, windows: Sequence[Window]) -> list[Signal]:
        """Make windows of one shape; each of shape (n,), n the engine's own.

        The same arguments, the same values; in other company within 1e-4 of them (as measured on
        a CPU).
        """
        ...

    def joiner(self, write: Callable[[Signal], object]) -> WindowJoiner:
        """A joiner that passes audio at the engine's `sample_rate` to `write`."""
        ...


class ConvertEngine(Protocol):
    """Voice conversion: the words and timing of a source in the voice of a target.

    `source_rate` (Hz) is what it wants its sources in. `takes` are the knobs it accepts.
    """

    name: str
    version: str
    sample_rate: int
    source_rate: int
    takes: frozenset[str]
    device: str
    precision: str
    typical_rtf: float
    watermarked: bool
    min_voice_s: float | None
    needs_voice: bool  # it has none of its own
    rows: int  # windows made together where nothing else is asked for

    def prepare_voice(self, voice: str, library: Library) -> Voice:
        """The target from a name in the library or a recording; empty for the engine's own."""
        ...

    def steps(self, samples: int) -> int:
        """How many steps a source of so many samples (at `source_rate`) has."""
        ...

    def begin(
        self, source: Signal, voice: Voice, *, seed: int, knobs: Mapping[str, float | int]
    ) -> Conversion:
        """Look at a whole recording once (mono, at `source_rate`), before its windows are made."""
        ...


def knobs_of(params: SpeakParams | ConvertParams) -> dict[str, float | int]:
    """The engine knobs that were set, by name."""
    values = {name: getattr(params, name, None) for name in KNOBS}
    return {name: v for name, v in values.items() if v is not None and v is not False}


def check_supported(params: SpeakParams | ConvertParams, engine: Any, reason: str) -> None:
    """Refuse, all at once, what was set and an engine (or its class) does not take."""
    given = [*knobs_of(params)]
    given += ["rows"] * (getattr(params, "rows", 0) > 1)
    given += ["precision"] * (params.precision == "fast")
    given += ["engine_path"] * (getattr(params, "engine_path", "fast") != "fast")
    given += ["checkpoint"] * bool(params.checkpoint)
    refused = [name for name in given if name not in engine.takes]
    who = f"engine '{engine.name}' ({reason})"
    problems = []
    if refused:
        taken = ", ".join(sorted(engine.takes)) or "no knobs"
        them = "it" if len(refused) == 1 else "them"
        problems.append(
            f"{who} does not take {', '.join(refused)}; it takes: {taken}. "
            f"Leave {them} out or choose another engine"
        )
    language = getattr(params, "language", None)
    if language and language not in engine.languages:
        problems.append(
            f"{who} does not speak language '{language}'; it speaks: {', '.join(engine.languages)}"
        )
    if problems:
        raise ParamError("\n".join(problems))
