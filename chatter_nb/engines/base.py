"""What an engine is: the protocols, and the objects they exchange.

Engines are synchronous: plain calls, no threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from chatter_nb.audio.reading import Signal
    from chatter_nb.audio.windows import Window
    from chatter_nb.audio.words import WordTime
    from chatter_nb.engines.voices import Library


@dataclass(frozen=True)
class Voice:
    """A voice ready to speak. Voices of the same `content_hash` sound the same.

    `notes` tell a person what is doubtful about its recording.
    """

    name: str
    content_hash: str
    data: Any = field(default=None, repr=False, compare=False)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChunkRequest:
    """One chunk to speak. `knobs` holds only the knobs that were set."""

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
    """How a chunk was made: the number of calls to the model, and its parts if it was split.

    `in_parts`: what `on_part` was given says the whole chunk (see `SpeechEngine.synthesize`).
    `notes` are for the person and the record, and stay with the chunk; `warnings` belong to the
    run that made it. `stages_s` maps a stage other than synthesis to the seconds it took. `words`
    are the words of the text in their order, with their times in the audio; None if the engine does
    not know them.
    """

    attempts: int = 1
    parts: tuple[ChunkPart, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    stages_s: Mapping[str, float] = field(default_factory=dict)
    words: tuple[WordTime, ...] | None = None
    in_parts: bool = False


OnPart = Callable[["Signal"], object]  # gets samples at the engine's rate, mono float32


class Engine(Protocol):
    """What speech engines and converters have in common.

    `accepts` names the engine's knobs, and those of checkpoint, precision, rows and engine_path
    that it takes. `typical_rtf` is the seconds of work for a second of audio, for estimates before
    a run; None on a device where nobody has measured it. If `watermarked`, a PerTh watermark is
    added to the audio on its way to the file. `min_voice_s` is the shortest recording that the
    engine clones a voice from; None if it clones none. `rows` is how many chunks or windows it
    makes together unless the parameters say it.
    """

    name: str
    version: str
    sample_rate: int
    accepts: frozenset[str]
    device: str
    precision: str
    typical_rtf: float | None
    watermarked: bool
    min_voice_s: float | None

    @property
    def rows(self) -> int: ...

    def prepare_voice(self, voice: str, library: Library) -> Voice:
        """The voice by name or from a recording; an empty `voice` is the engine's own."""


class SpeechEngine(Engine, Protocol):
    """Text to speech, in any of `languages`.

    If it `speaks_in_parts`, `synthesize` takes `on_part`.
    """

    languages: tuple[str, ...]
    speaks_in_parts: bool

    def check_text(self, text: str, language: str) -> list[str]:
        """Raise `Unspeakable` for what the engine would leave out or fail at.

        Returns notes on symbols that the engine passes over, for the person and the record.
        """

    def synthesize(
        self, requests: Sequence[ChunkRequest], **options: Any
    ) -> Iterator[tuple[int, Signal, ChunkInfo]]:
        """Yield (index, mono float32 audio, info) as chunks finish, in any order.

        `options` may hold `rows` and `engine_path`, if the engine accepts them. With `on_part`
        somebody waits for the first request: the engine makes it before the others, and calls
        `on_part` with pieces of another rendering of it, in order, while it is being made. The
        same request has the same pieces. What is yielded is as without `on_part`.
        """


class WindowJoiner:
    """Joins the windows of a conversion, which come in order, and passes finished audio on."""

    def __init__(self, write: Callable[[Signal], object]) -> None:
        self._write = write
        self._seams: list[int] = []
        self.samples = 0  # passed on so far

    def add(self, window: Window, audio: Signal) -> None:
        """Take the array that `Conversion.convert` returned for a window."""
        raise NotImplementedError

    def finish(self) -> tuple[int, ...]:
        """Pass on the rest. Returns the middle of each overlap, in output samples."""
        return tuple(self._seams)

    def _pass_on(self, block: Signal) -> None:
        self._write(block)
        self.samples += len(block)


class Conversion(Protocol):
    """One recording to be converted to another voice; it has `steps` of `windows.STEP_S`."""

    steps: int

    def shape(self, window: Window) -> int:
        """Windows of one shape can be made together."""

    def convert(self, windows: Sequence[Window]) -> list[Signal]:
        """Convert windows of the same `shape`. Returns arrays (n,), whose meaning is the engine's.

        The same windows give the same values. Beside other windows, values differ by at most 1e-4
        (measured on a CPU).
        """

    def joiner(self, write: Callable[[Signal], object]) -> WindowJoiner:
        """A joiner that passes audio at the engine's `sample_rate` to `write`."""


class ConvertEngine(Engine, Protocol):
    """Voice conversion: the words and timing of a source in the voice of a target.

    `source_rate` is the sample rate of its sources in Hz. If `needs_voice`, it has no voice of its
    own.
    """

    source_rate: int
    needs_voice: bool

    def steps(self, samples: int) -> int:
        """How many steps a source of `samples` (at `source_rate`) has."""

    def begin(
        self, source: Signal, voice: Voice, *, seed: int, knobs: Mapping[str, float | int]
    ) -> Conversion:
        """Analyse a whole recording (mono, at `source_rate`) before its windows are converted."""
