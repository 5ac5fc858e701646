"""Which of two runs is preferred, blind: pairs in random order, answers on disk, a sign test.

No widgets: `blindform` asks, this module decides what is asked and keeps what was answered.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chatter_nb.audio.reading import Signal
from chatter_nb.base.disk import write_error, write_json
from chatter_nb.base.errors import InputError, OutputError
from chatter_nb.base.project import resolve_path
from chatter_nb.notebook.compare.acoustics import SILENCE_DB
from chatter_nb.notebook.compare.compared import COMPARE, Compared, Comparison
from chatter_nb.notebook.compare.params import CompareParams
from chatter_nb.notebook.compare.pieces import Piece
from chatter_nb.runs.record import LOCKS, utc_now

WAIT_S = 10  # for another tab, which holds the file while it writes one answer


@dataclass(frozen=True)
class Side:
    """A piece, and the letter of its run."""

    label: str
    piece: Piece


@dataclass(frozen=True)
class Trial:
    """A pair to be heard: the same row of two runs, in the order in which they are heard."""

    row: int
    first: Side
    second: Side

    @property
    def key(self) -> tuple[str, ...]:
        """The same for the same pair in either order."""
        return tuple(sorted(f"{side.label} {side.piece.key}" for side in (self.first, self.second)))


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Answer(_Record):
    """What was heard and chosen; `choice` is a run's letter, None for no difference."""

    row: int
    first: str
    second: str
    first_key: str
    second_key: str
    choice: str | None
    time: str

    @property
    def key(self) -> tuple[str, ...]:
        sides = ((self.first, self.first_key), (self.second, self.second_key))
        return tuple(sorted(f"{label} {key}" for label, key in sides))


class _File(_Record):
    schema_: Literal[1] = Field(1, alias="schema")
    listener: str
    runs: dict[str, str]  # letter → folder
    answers: tuple[Answer, ...] = ()


def blind_trials(comparison: Comparison, *, seed: int, listener: str = "") -> list[Trial]:
    """Every pair of runs in every row, in random order and sides.

    The same for the same seed and listener; -1 draws one. What the order does to a judgement must
    not add up over listeners. A chunk that two runs have in common is left out: it is the same
    audio. So is one whose text was edited: what is said would be judged, not how it sounds.
    """
    draw = random.Random(f"{seed} {listener}" if seed >= 0 else None)
    trials: list[Trial] = []
    for number, row in enumerate(comparison.rows):
        sides = [
            Side(run.label, piece) for run, piece in zip(comparison.runs, row, strict=True) if piece
        ]
        trials += [
            Trial(number, *draw.sample(pair, 2))
            for pair in combinations(sides, 2)
            if pair[0].piece.key != pair[1].piece.key and pair[0].piece.text == pair[1].piece.text
        ]
    draw.shuffle(trials)
    return trials


def matched(trial: Trial) -> tuple[tuple[Signal, int], tuple[Signal, int]]:
    """Both sides with their rates in Hz, the louder one lowered to the other's loudness."""
    levels = [side.piece.acoustics.loudness for side in (trial.first, trial.second)]
    target = min(levels)
    if target <= SILENCE_DB:  # nothing to match: one of them is silent
        target = max(levels)
    sides = []
    for side, level in zip((trial.first, trial.second), levels, strict=True):
        signal, rate_hz = side.piece.read()
        gain = min(1.0, 10 ** ((target - level) / 20))
        sides.append(((signal * gain).astype(signal.dtype), rate_hz))
    return sides[0], sides[1]


class Preferences:
    """A listener's answers about some runs, on disk after each one and found again later.

    Several may be open at a time, in tabs of a browser: each adds to what is on disk.
    """

    def __init__(self, comparison: Comparison, params: CompareParams) -> None:
        """Raises `InputError` for a file of answers that cannot be read."""
        self._trials = blind_trials(comparison, seed=params.seed, listener=params.listener)
        self._runs = comparison.runs
        self.path = _path(comparison, params)
        folders = {run.label: str(run.speech.folder) for run in comparison.runs}
        self._file = _File(listener=params.listener, runs=folders)
        if self.path.exists():
            self._file = _read(self.path)

    @property
    def trials(self) -> Sequence[Trial]:
        return self._trials

    @property
    def answers(self) -> Sequence[Answer]:
        """Those that belong to these runs as they are now, oldest first."""
        asked = {trial.key for trial in self._trials}
        return [answer for answer in self._file.answers if answer.key in asked]

    @property
    def waiting(self) -> list[Trial]:
        """The pairs that have no answer yet, in order."""
        answered = {answer.key for answer in self._file.answers}
        return [trial for trial in self._trials if trial.key not in answered]

    def record(self, trial: Trial, chosen: Side | None) -> Answer:
        """Keep an answer; None is no difference. Raises `OutputError`, and keeps none, on a full
        or closed disk."""
        answer = Answer(
            row=trial.row,
            first=trial.first.label,
            second=trial.second.label,
            first_key=trial.first.piece.key,
            second_key=trial.second.piece.key,
            choice=chosen.label if chosen else None,
            time=utc_now(),
        )
        with _locked(self.path):
            last = _read(self.path) if self.path.exists() else self._file
            kept = [one for one in last.answers if one.key != trial.key]
            file = self._file.model_copy(update={"answers": (*kept, answer)})
            write_json(self.path, file.model_dump(mode="json", by_alias=True))
        self._file = file
        return answer

    def verdicts(self) -> list[str]:
        """A sentence for each pair of runs that was heard."""
        return list(_verdicts(self._runs, self.answers))


def verdict(one: str, other: str, for_one: int, for_other: int, undecided: int = 0) -> str:
    """Who is preferred, how often, and how likely that is by chance: the exact sign test."""
    from scipy.stats import binomtest

    decided = for_one + for_other
    no_difference = f"; no difference heard in {undecided}" if undecided else ""
    if not decided:
        return f"{one} or {other}: no preference in any of {undecided}"
    chance = float(binomtest(for_one, decided).pvalue)
    told = "p < 0.001" if chance < 0.001 else f"p = {chance:.2g}"
    doubt = "" if chance < 0.05 else ": it may be chance"
    if for_one == for_other:
        return f"{one} and {other} preferred {for_one} times each ({told}){no_difference}"
    name = one if for_one > for_other else other
    most = max(for_one, for_other)
    return f"{name} preferred in {most} of {decided} ({told}){doubt}{no_difference}"


def _verdicts(runs: Sequence[Compared], answers: Sequence[Answer]) -> Iterator[str]:
    for one, other in combinations(runs, 2):
        pair = {one.label, other.label}
        choices = [answer.choice for answer in answers if {answer.first, answer.second} == pair]
        if choices:
            first, second = (f"{run.label} ({run.name})" for run in (one, other))
            counts = [choices.count(choice) for choice in (one.label, other.label, None)]
            yield verdict(first, second, *counts)


def _path(comparison: Comparison, params: CompareParams) -> Path:
    """By the runs and who listens. What was answered is told by the pieces' keys, so that a run
    that was made anew is heard anew, and more chunks are only more to hear."""
    told = [str(run.speech.folder) for run in comparison.runs] + [params.listener]
    digest = hashlib.blake2b("\n".join(told).encode(), digest_size=4).hexdigest()
    listener = "-".join(re.findall(r"\w+", params.listener.lower()))[:40]
    name = "-".join(filter(None, ("preferences", digest, listener)))
    return resolve_path(params.outputs_dir) / COMPARE / f"{name}.json"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the file alone. Raises `OutputError` where that cannot be."""
    lock = FileLock(path.parent / LOCKS / f"{path.name}.lock", timeout=WAIT_S)
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise OutputError(
            f"another notebook is writing to {path}: close it, then answer again"
        ) from None
    except OSError as error:
        raise write_error(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _read(path: Path) -> _File:
    try:
        return _File.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise InputError(
            f"the answers in {path} cannot be read: move the file away to begin anew"
        ) from error
