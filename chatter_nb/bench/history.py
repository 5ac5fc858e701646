"""Timings that are kept: one JSON line a measurement, and which of them may be compared.

A measurement is a workload repeated on one machine at one commit, every round with its stages.
Not here: what is measured (`measure`), the statistics (`timing`), the plots (`plots`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chatter_nb.base.disk import write_error
from chatter_nb.base.errors import InputError
from chatter_nb.base.project import resolve_path
from chatter_nb.bench.ranks import LEAST_SAMPLES

HISTORY = "timing/history.jsonl"  # under the outputs root
# What a suite is about, where that is not the whole run: these stages, or all but these.
_ONLY = {"t3": ("tokens",), "s3gen": ("synthesis",)}
_ALL_BUT = {"overhead": ("load", "tokens", "synthesis", "watermark")}
SHORT_COMMIT = 7
_DECIDE = ("torch", "numpy", "python")  # versions that a speed hangs on
AUDIO_AGREES = 0.01  # of the seconds of audio: more, and the two sides do not do the same


class Round(BaseModel):
    """One timed run of a workload, the warm-up left out. Stages never sum to more than the wall."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    wall_s: float = Field(gt=0)
    audio_s: float
    stages_s: dict[str, float]
    peak_rss_mb: float | None = None
    peak_gpu_mb: float | None = None


class Measurement(BaseModel):
    """A workload's rounds, and everything that must agree before two are compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal[1] = 1
    recorded: str  # UTC, ISO 8601
    suite: str
    workload: str  # a hash of what is done: suite, options, the content of what is read
    options: dict[str, Any]
    machine: str  # processor and cores
    device: str
    versions: dict[str, str | None]
    commit: str | None  # None outside a git checkout
    dirty: bool = False  # the working tree differed from the commit
    load_s: float | None = None  # apart: never part of a round
    rounds: tuple[Round, ...] = Field(min_length=LEAST_SAMPLES)

    @property
    def judged_s(self) -> list[float]:
        """Seconds of each round that the suite is judged by; see `judged_s`."""
        return judged_s(self.suite, self.rounds)

    @property
    def label(self) -> str:
        """The commit, short; with a "+" where the working tree differed from it."""
        if not self.commit:
            return "no commit"
        return self.commit[:SHORT_COMMIT] + ("+" if self.dirty else "")


def judged_s(suite: str, rounds: Sequence[Round]) -> list[float]:
    """Seconds that a suite is judged by, a round each: its own stages, or the whole run.

    t3 is the tokens' stage, s3gen the synthesis, overhead all that is outside the model.
    """
    if suite in _ONLY:
        return [sum(one.stages_s.get(stage, 0.0) for stage in _ONLY[suite]) for one in rounds]
    left_out = _ALL_BUT.get(suite, ())
    return [one.wall_s - sum(one.stages_s.get(name, 0.0) for name in left_out) for one in rounds]


def history_path(outputs_dir: str | Path = "outputs") -> Path:
    """Where the history of an outputs root lies."""
    return resolve_path(outputs_dir) / HISTORY


def read_history(path: Path) -> tuple[list[Measurement], list[str]]:
    """All measurements, oldest first, and a sentence on each line that is none.

    Without a file there are none. A damaged line stays in the file as it is.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise InputError(f"cannot read the history {path}: {error.strerror}") from error
    found, damaged = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(Measurement.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the line"
            told = f"{where}: {first['msg'].lower()}"
            damaged.append(f"{path}, line {number} is no measurement and left out ({told})")
    return sorted(found, key=lambda one: one.recorded), damaged


def append(path: Path, measurement: Measurement) -> None:
    """Add a measurement as one line, in one write: two processes never mix theirs.

    A line that was cut off before stays a line of its own. Raises `OutputError`.
    """
    line = measurement.model_dump_json().encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as file:
            line = b"\n" + line if _cut_off(file) else line
            if file.write(line) != len(line):  # a disk that fills up takes a part, and says nothing
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise write_error(path, error) from error


def _cut_off(file: IO[bytes]) -> bool:
    if not file.seek(0, os.SEEK_END):
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def difference(one: Measurement, other: Measurement) -> str:
    """Why two measurements cannot be compared, in a sentence; empty if they can."""
    sides = [
        {
            "suite": side.suite,
            "options": side.options,
            "workload": side.workload,
            "machine": side.machine,
            "device": side.device,
            **{name: _version(side, name) for name in _DECIDE},
        }
        for side in (one, other)
    ]
    for name, value in sides[0].items():
        if value != sides[1][name]:
            return f"not the same {name}: {_told(value)} and {_told(sides[1][name])}"
    if not same_audio(one.rounds[0].audio_s, other.rounds[0].audio_s):
        return (
            f"not the same audio: {one.rounds[0].audio_s:.1f} and {other.rounds[0].audio_s:.1f} s"
        )
    return ""


def same_audio(one_s: float, other_s: float) -> bool:
    """Whether two sides made the same seconds of audio; else they did not do the same."""
    return abs(other_s - one_s) <= AUDIO_AGREES * one_s


def _version(side: Measurement, name: str) -> str | None:
    """Of Python without its last number: 3.11.7 is as fast as 3.11.8."""
    version = side.versions.get(name)
    return version.rpartition(".")[0] if version and name == "python" else version


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items()) or "none"
    return str(value)


def comparable(one: Measurement, other: Measurement) -> bool:
    """Whether work, machine, device and the versions that decide its speed are the same."""
    return not difference(one, other)


def earlier(history: Sequence[Measurement], measurement: Measurement) -> list[Measurement]:
    """Those of a history that came before a measurement and can be compared with it."""
    before = [one for one in history if one.recorded <= measurement.recorded]
    return [one for one in before if one != measurement and comparable(one, measurement)]
