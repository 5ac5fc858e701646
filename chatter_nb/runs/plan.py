"""The base of both kinds of plan (speech, conversion), and the estimate of a run's cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from chatter_nb.base.disk import free_disk_bytes
from chatter_nb.base.formats import OUTPUT_FORMATS
from chatter_nb.base.project import shown_path
from chatter_nb.base.wording import count, minutes
from chatter_nb.engines.base import Voice
from chatter_nb.engines.models import Settled
from chatter_nb.params.runs import AnyParams
from chatter_nb.runs.folder import RunFolder
from chatter_nb.runs.store import ChunkStore

_SLOW_RTF = 2.0  # slower than this on a CPU, a person should hear what a GPU or `auto` would do


@dataclass(frozen=True)
class Estimate:
    """The cost of a run, roughly: from the length of its input and the engine's usual pace.

    `wall_s` is None where nobody has measured the engine's pace on this kind of device.
    """

    audio_s: float
    wall_s: float | None
    disk_bytes: int

    def __str__(self) -> str:
        work = (
            "work of unknown length" if self.wall_s is None else f"{minutes(self.wall_s)} of work"
        )
        return f"{minutes(self.audio_s)} of audio, {work}, {self.disk_bytes / 1e6:,.0f} MB on disk"

    def notes(self, folder: RunFolder) -> list[str]:
        """A warning if the disk of `folder` has too little free room; else nothing."""
        free_bytes = free_disk_bytes(folder.path)
        if self.disk_bytes <= free_bytes:
            return []
        return [f"only {free_bytes / 1e6:,.0f} MB are free there: the disk may fill up"]


@dataclass(frozen=True)
class Plan(ABC):
    """All that rendering a run needs. `str(plan)` is what a person reads before the run."""

    unit: ClassVar[str]  # of work: "chunk" or "window"
    source_noun: ClassVar[str]  # the label of the input: "text" or "source"
    output_noun: ClassVar[str]  # what an output is made from: "text" or "recording"

    params: AnyParams
    folder: RunFolder
    store: ChunkStore
    settled: Settled
    engine: Any
    voice: Voice
    seed: int
    outputs: tuple[Any, ...]
    warnings: tuple[str, ...]
    stages_s: dict[str, float]
    planning_s: float

    @property
    @abstractmethod
    def pieces(self) -> Sequence[Any]:
        """The chunks or windows of all outputs; each has a `key`."""

    @abstractmethod
    def audio_s(self) -> float:
        """The length of the result in seconds."""

    @abstractmethod
    def new_s(self) -> float:
        """Seconds of audio that are not in the store yet."""

    @property
    @abstractmethod
    def kept_bytes_per_s(self) -> int:
        """Bytes in the store for a second of new audio."""

    def estimate(self) -> Estimate:
        """The estimate; chunks that are in the store already take no work."""
        audio_s, new_s, rate = self.audio_s(), self.new_s(), self.engine.sample_rate
        formats = [OUTPUT_FORMATS[name] for name in self.params.formats]
        wav_bytes_per_s = rate * self.params.wav_bits // 8
        file_bytes_per_s = sum(row.bytes_per_s or wav_bytes_per_s for row in formats)
        disk = audio_s * file_bytes_per_s + new_s * self.kept_bytes_per_s
        encoding_s = audio_s * sum(row.encoding_rtf for row in formats)
        rtf = self.engine.typical_rtf if new_s else 0.0
        work_s = None if rtf is None else max(new_s * rtf, encoding_s)
        return Estimate(audio_s, work_s, round(disk))

    def __str__(self) -> str:
        pieces = count(len(self.pieces), self.unit)
        several = f"{len(self.outputs)} {self.output_noun}s, " if len(self.outputs) > 1 else ""
        estimate = self.estimate()
        lines = [
            *self._choices(),
            f"{self.source_noun}: {several}{pieces}; {estimate}",
            f"result: {shown_path(self.folder.path)}",
        ]
        notes = [*self._slow_notes(), *self.warnings, *estimate.notes(self.folder)]
        return "\n".join([*lines, *(f"note: {note}" for note in notes)])

    def _choices(self) -> list[str]:
        """A line for each choice that was made, with its reason."""
        lines = [
            f"engine: {self.settled.engine}, voice {self.voice.name}, seed {self.seed}",
            f"device: {self.settled.device}",
        ]
        if "precision" in self.engine.accepts:
            lines.append(f"precision: {self.settled.precision}")
        return lines

    def _slow_notes(self) -> list[str]:
        """A note on the time that a slow engine takes on a CPU, or on an unknown pace."""
        engine, new_s = self.engine, self.new_s()
        if new_s > 0 and engine.typical_rtf is None:
            return [f"nobody has measured yet how fast {engine.name} is on {engine.device}"]
        if engine.device != "cpu" or engine.typical_rtf < _SLOW_RTF or new_s <= 0:
            return []
        return [
            f"{engine.name} on a CPU takes about {engine.typical_rtf:.0f} s of work for a second "
            f"of audio, {minutes(new_s * engine.typical_rtf)} for what is new here; a GPU is many "
            "times faster, and engine: auto takes what is fast on this machine"
        ]
