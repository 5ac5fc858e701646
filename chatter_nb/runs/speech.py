"""A finished run, for notebooks and callers: its folder, its record, its samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chatter_nb.audio.reading import Signal, read_audio
from chatter_nb.base.errors import InputError
from chatter_nb.runs.record import RECORD, RunFolder, RunRecord


@dataclass(frozen=True)
class Speech:
    """A finished run: its folder and its record."""

    folder: Path
    record: RunRecord

    @property
    def files(self) -> list[Path]:
        """The audio files: one for each format of each output."""
        return [self.folder / file.name for file in self.record.files]

    @property
    def audio_s(self) -> float:
        return self.record.audio_s

    @property
    def rtf(self) -> float | None:
        return self.record.rtf

    def read(self, name: str = "") -> tuple[Signal, int]:
        """The samples (mono float32) and rate (Hz) of a file of this run, by default the first."""
        return read_audio(self.folder / (name or self.record.files[0].name))

    def __str__(self) -> str:
        record = self.record
        if record.kind == "convert":
            verb, unit, total = "converted", "windows", len(record.windows)
            new = sum(not window.cached for window in record.windows)
        else:
            verb, unit, total = "spoke", "chunks", len(record.chunks)
            new = sum(chunk.attempts > 0 for chunk in record.chunks)
        pace = f", {_pace(record.rtf)}" if record.rtf and new else ""
        names = ", ".join([*(path.name for path in self.files), RECORD])
        return (
            f"{record.engine.name} {verb} {record.audio_s:.1f} s of audio in "
            f"{record.wall_s:.1f} s{pace}; {new} of {total} {unit} made anew\n"
            f"{self.folder}: {names}"
        )


def _pace(rtf: float) -> str:
    return f"{1 / rtf:.1f} × real time" if rtf <= 1 else f"{rtf:.1f} s of work a second of audio"


def load_speech(folder: str | Path) -> Speech:
    """A finished run, from its folder. Raises `InputError` if it holds no run.json."""
    record = RunFolder(Path(folder)).record()
    if record is None:
        raise InputError(f"{folder} holds no readable run.json")
    return Speech(Path(folder), record)
