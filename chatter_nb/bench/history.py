"""The history of timings: one JSON line a measurement, and which measurements may be compared.

A measurement is a workload repeated on one machine at one commit; it holds every round with its
stages. Not here: what is measured (`measure`), the statistics (`verdict`), the plots (`plots`).
"""

from __future__ import annotations

import errno
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chatter_nb.base.disk import writing
from chatter_nb.base.errors import InputError
from chatter_nb.base.project import resolve_path
from chatter_nb.bench.params import LEAST_SAMPLES, SUITES, Suite

HISTORY = "timing/history.jsonl"  # under the outputs root
SHORT_COMMIT = 7
OUTSIDE = "outside the stages"
AUDIO_TOLERANCE = 0.01  # of the seconds of audio: a larger difference means different work


class Round(BaseModel):
    """One timed run of a workload; the warm-up is no round. Stages sum to at most the wall time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    wall_s: float = Field(gt=0)
    audio_s: float
    stages_s: dict[str, float]
    peak_rss_mb: float | None = None
    peak_gpu_mb: float | None = None

    def spent_s(self, stage: str) -> float:
        """Seconds in a stage, 0 for a stage that the round lacks; or outside all (`OUTSIDE`)."""
        if stage == OUTSIDE:
            return self.wall_s - sum(self.stages_s.values())
        return self.stages_s.get(stage, 0.0)

    @property
    def for_a_second(self) -> Round:
        """The round scaled to one second of audio; a round without audio is returned unchanged."""
        audio_s = self.audio_s or 1
        stages_s = {name: spent / audio_s for name, spent in self.stages_s.items()}
        return self.model_copy(update={"wall_s": self.wall_s / audio_s, "stages_s": stages_s})


class Measurement(BaseModel):
    """A workload's rounds, and the conditions that must agree before two are compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal[1] = 1
    recorded: str  # UTC, ISO 8601
    suite: str
    workload: str  # a hash of the work: suite, options, the content of the files it reads
    options: dict[str, Any]
    machine: str  # processor and cores
    device: str
    versions: dict[str, str | None]
    commit: str | None  # None outside a git checkout
    dirty: bool = False  # the working tree differed from the commit
    load_s: float | None = None  # separate: never part of a round
    rounds: tuple[Round, ...] = Field(min_length=LEAST_SAMPLES)

    @property
    def conditions(self) -> dict[str, Any]:
        """What decides the speed, by name: equal in two measurements that may be compared.

        Python's version is without its last number: 3.11.7 is as fast as 3.11.8.
        """
        return {
            "suite": self.suite,
            "options": self.options,
            "workload": self.workload,
            "machine": self.machine,
            "device": self.device,
            "torch": self.versions.get("torch"),
            "numpy": self.versions.get("numpy"),
            "python": (self.versions.get("python") or "").rpartition(".")[0],
        }

    @property
    def judged_s(self) -> list[float]:
        """Seconds of each round that the suite is judged by; see the function `judged_s`."""
        return judged_s(self.suite, self.rounds)

    @property
    def paces(self) -> list[float]:
        """Judged seconds of each round for a second of audio (RTF); without audio, seconds."""
        return judged_s(self.suite, [timed_round.for_a_second for timed_round in self.rounds])

    @property
    def spent_by_stage(self) -> dict[str, float]:
        """Seconds by stage and outside the stages: the rounds' medians, for a second of audio.

        For work without audio, such as loading a model, seconds a round.
        """
        rounds = [timed_round.for_a_second for timed_round in self.rounds]
        names = [*dict.fromkeys(name for scaled in rounds for name in scaled.stages_s), OUTSIDE]
        return {
            name: max(0.0, statistics.median(scaled.spent_s(name) for scaled in rounds))
            for name in names
        }

    @property
    def label(self) -> str:
        """The commit, short; with a "+" where the working tree differed from it."""
        if not self.commit:
            return "no commit"
        return self.commit[:SHORT_COMMIT] + ("+" if self.dirty else "")


def judged_s(suite: str, rounds: Sequence[Round]) -> list[float]:
    """For each round, the seconds that a suite is judged by; see `params.Suite`."""
    definition = SUITES.get(suite, Suite({}))  # a history may hold suites that no longer exist
    return [definition.judged_s(each.wall_s, each.stages_s) for each in rounds]


def history_path(outputs_dir: str | Path = "outputs") -> Path:
    """Where the history of an outputs root lies."""
    return resolve_path(outputs_dir) / HISTORY


def read_history(path: Path) -> tuple[list[Measurement], list[str]]:
    """All measurements, oldest first, and a sentence on each damaged line.

    A missing file is an empty history. A damaged line stays in the file unchanged. Raises
    `InputError` if the file cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise InputError(f"cannot read the history {path}: {error.strerror}") from error
    measurements, damaged = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            measurements.append(Measurement.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the line"
            reason = f"{where}: {first['msg'].lower()}"
            damaged.append(f"{path}, line {number} is no measurement and left out ({reason})")
    return sorted(measurements, key=lambda measurement: measurement.recorded), damaged


def append(path: Path, measurement: Measurement) -> None:
    """Add a measurement as one line, in one write: lines of two processes never mix.

    A line that an earlier process did not finish is ended first. Raises `OutputError`.
    """
    line = measurement.model_dump_json().encode() + b"\n"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as file:
            line = b"\n" + line if _is_cut_off(file) else line
            if file.write(line) != len(line):  # a full disk takes a part and raises nothing
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _is_cut_off(file: IO[bytes]) -> bool:
    """Whether a file has a last line without its end."""
    if not file.seek(0, os.SEEK_END):
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def comparable(before: Measurement, after: Measurement) -> bool:
    """Whether two measurements did the same work under the same conditions."""
    if before.conditions != after.conditions:
        return False
    return same_audio(before.rounds[0].audio_s, after.rounds[0].audio_s)


def same_audio(before_s: float, after_s: float) -> bool:
    """Whether two sides made equally many seconds of audio; if not, their work differed."""
    return abs(after_s - before_s) <= AUDIO_TOLERANCE * before_s


def earlier(history: Sequence[Measurement], measurement: Measurement) -> list[Measurement]:
    """The measurements of a history that are older than `measurement` and comparable with it."""
    return [
        before
        for before in history
        if before.recorded <= measurement.recorded
        and before != measurement
        and comparable(before, measurement)
    ]
