"""A finished run, for notebooks and callers: its folder, its record, its samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chatter_nb.audio.reading import Signal, read_audio
from chatter_nb.base.errors import InputError, shorten
from chatter_nb.base.project import shown_path
from chatter_nb.engines.registry import entry
from chatter_nb.runs.folder import RECORD, RunFolder
from chatter_nb.runs.record import ChunkRecord, RunRecord, TakeRecord
from chatter_nb.runs.store import ChunkStore

_SHOWN = 5  # doubtful chunks on the last line of a run


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

    def take_audio(self, take: TakeRecord) -> tuple[Signal, int] | None:
        """The samples of a take without its cuts, and their rate; None if it is not kept.

        They are watermarked if the engine's files are: the store holds them as they were made.
        Raises `ChatterError` if the engine is not installed, which says whether they are.
        """
        from chatter_nb.engines.watermark import mark
        from chatter_nb.verify.cuts import without

        kept = ChunkStore(self.folder.parent).get(take.key)
        if kept is None:
            return None
        rate = self.record.sample_rate
        audio = without(kept[0], take.cuts_samples, rate)
        engine = entry(self.record.engine.name, self.record.kind).engine_class()
        return (mark(audio, rate) if engine.watermarked else audio), rate

    def __str__(self) -> str:
        record = self.record
        if record.kind == "convert":
            verb, unit, total = "converted", "windows", len(record.windows)
            new = sum(not window.cached for window in record.windows)
        else:
            verb, unit, total = "spoke", "chunks", len(record.chunks)
            new = sum(chunk.attempts > 0 for chunk in record.chunks)
        pace = f", {_pace(record.rtf)}" if record.rtf and new else ""
        names = ", ".join([*(file.name for file in record.all_files()), RECORD])
        lines = [
            f"{record.engine.name} {verb} {record.audio_s:.1f} s of audio in "
            f"{record.wall_s:.1f} s{pace}; {new} of {total} {unit} made anew",
            f"{shown_path(self.folder)}: {names}",
        ]
        return "\n".join([*lines, *loudness_lines(record), *checks_lines(record)])


def loudness_lines(record: RunRecord) -> list[str]:
    """How many mastered chapters have the levels that were asked for, in a line; or none."""
    reports = record.loudness
    good = sum(not report.failures for report in reports)
    return [f"loudness: {good} of {len(reports)} keep {r.target}'s levels" for r in reports[:1]]


def checks_lines(record: RunRecord) -> list[str]:
    """What the checks of a run gave, in a line; none if nothing was checked."""
    checks = record.checks
    if checks is None or checks.level == "off":
        return []
    line = f"{checks.checked} checked, {checks.made_again} made again, {checks.doubtful} doubtful"
    doubts = [f"chunk {chunk.index} {_why(chunk)}" for chunk in doubtful_chunks(record)]
    more = [f"and {len(doubts) - _SHOWN} more"] if len(doubts) > _SHOWN else []
    listed = "; ".join([*doubts[:_SHOWN], *more])
    unchecked = sum(chunk.verdict == "unchecked" for chunk in record.chunks)
    return [
        line + (f": {listed}" if listed else ""),
        *([f"{unchecked} not checked: {_why_not(record)}"] if unchecked else []),
    ]


def doubtful_chunks(record: RunRecord) -> list[ChunkRecord]:
    """The chunks in doubt; of a chunk that was split, its first part."""
    return [
        chunk
        for chunk in record.chunks
        if chunk.verdict == "doubtful" and chunk.split_from in (None, chunk.index)
    ]


def reasons_of(chunk: ChunkRecord) -> list[str]:
    """What was found in the take of a chunk that was kept, each reason once."""
    kept = [take for take in chunk.takes if take.key == chunk.key]
    return list(dict.fromkeys(finding.reason for take in kept for finding in take.findings))


def _why(chunk: ChunkRecord) -> str:
    """The chunk's first words, and what was found in the take that was kept."""
    text = shorten(" ".join(chunk.text.split()), 40)
    return f"“{text}” ({', '.join(reasons_of(chunk)[:2])})"


def _why_not(record: RunRecord) -> str:
    unchecked = (chunk for chunk in record.chunks if chunk.verdict == "unchecked")
    notes = (note for chunk in unchecked for take in chunk.takes for note in take.notes)
    return next(notes, "the witnesses do not know their words")


def _pace(rtf: float) -> str:
    return f"{1 / rtf:.1f} × real time" if rtf <= 1 else f"{rtf:.1f} s of work a second of audio"


def load_speech(folder: str | Path) -> Speech:
    """A finished run, from its folder. Raises `InputError` if it holds no run.json."""
    record = RunFolder(Path(folder)).record()
    if record is None:
        is_folder = Path(folder).is_dir()
        found = "it has no readable run.json" if is_folder else "there is no such folder"
        raise InputError(f"{folder} is no run: {found}; give the folder that a run wrote")
    return Speech(Path(folder), record)
