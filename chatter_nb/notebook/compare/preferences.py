"""The blind test without its widgets: pairs in random order, answers on disk, a sign test.

`blindform` asks the questions; this module chooses the pairs and stores the answers.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import combinations
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec

from filelock import FileLock, Timeout
from pydantic import BaseModel, Field, ValidationError

from chatter_nb.audio.reading import Signal
from chatter_nb.base.disk import write_error, write_json
from chatter_nb.base.errors import InputError, OutputError
from chatter_nb.base.project import resolve_path
from chatter_nb.base.wording import count
from chatter_nb.notebook.compare.acoustics import SILENCE_DB
from chatter_nb.notebook.compare.compared import COMPARE, CompareParams, Comparison, Piece
from chatter_nb.pages.players import note
from chatter_nb.runs.folder import LOCKS
from chatter_nb.runs.record import utc_now

WAIT_S = 10  # for another browser tab, which locks the file while it writes an answer

P = ParamSpec("P")


@dataclass(frozen=True)
class Side:
    """A piece, and the letter of its run."""

    label: str
    piece: Piece

    @property
    def key(self) -> str:
        return f"{self.label} {self.piece.key}"


@dataclass(frozen=True)
class Trial:
    """A question: two pieces of the same row, in the order in which they are played."""

    row: int
    first: Side
    second: Side

    @property
    def key(self) -> tuple[str, ...]:
        """Names the pair; its order does not matter."""
        return tuple(sorted((self.first.key, self.second.key)))


class Answer(BaseModel, frozen=True, extra="forbid"):
    """An answered pair as it is stored; `choice` is a run's letter, None for no difference."""

    row: int
    first: str
    second: str
    first_key: str
    second_key: str
    choice: str | None
    time: str

    @property
    def key(self) -> tuple[str, ...]:
        """The `key` of the trial that was answered."""
        sides = (f"{self.first} {self.first_key}", f"{self.second} {self.second_key}")
        return tuple(sorted(sides))


class _File(BaseModel, frozen=True, extra="forbid"):
    schema_: Literal[1] = Field(1, alias="schema")
    listener: str
    runs: dict[str, str]  # letter → folder
    answers: tuple[Answer, ...] = ()


def blind_trials(comparison: Comparison, *, seed: int, listener: str = "") -> list[Trial]:
    """Return all pairs of runs in all rows, in random order and with random sides.

    The order follows from `seed` and `listener`; seed -1 draws a random order. Each listener has an
    own order, because the order influences a judgement. A pair with the same key is left out: it is
    the same audio. A pair with different texts is left out: a listener would judge the words.
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
    """Return the samples and the rate in Hz of both sides; the louder side is lowered."""
    levels = [side.piece.acoustics.loudness for side in (trial.first, trial.second)]
    target = min(levels)
    if target <= SILENCE_DB:  # a side is silent: there is no loudness to match
        target = max(levels)
    return _lowered(trial.first.piece, target), _lowered(trial.second.piece, target)


def _lowered(piece: Piece, target: float) -> tuple[Signal, int]:
    signal, rate_hz = piece.read()
    gain = min(1.0, 10 ** ((target - piece.acoustics.loudness) / 20))
    return (signal * gain).astype(signal.dtype), rate_hz


class Preferences:
    """A listener's answers about some runs. Each answer is written to disk at once.

    Several browser tabs may have the same file open: each tab adds its answers to the file.
    """

    def __init__(self, comparison: Comparison, params: CompareParams) -> None:
        """Read earlier answers. Raises `InputError` for a file that cannot be read."""
        self.trials = blind_trials(comparison, seed=params.seed, listener=params.listener)
        self._runs = comparison.runs
        self.path = _path(comparison, params)
        folders = {run.label: str(run.speech.folder) for run in comparison.runs}
        self._file = _File(listener=params.listener, runs=folders)
        if self.path.exists():
            self._file = _read(self.path)

    @property
    def answers(self) -> Sequence[Answer]:
        """The answers about these runs as they are now, oldest first."""
        keys = {trial.key for trial in self.trials}
        return [answer for answer in self._file.answers if answer.key in keys]

    @property
    def waiting(self) -> list[Trial]:
        """The pairs that have no answer yet, in order."""
        answered = {answer.key for answer in self._file.answers}
        return [trial for trial in self.trials if trial.key not in answered]

    def record(self, trial: Trial, chosen: Side | None) -> Answer:
        """Write an answer; None means no difference.

        Raises `OutputError` where the disk is full or closed; the answer is then not counted.
        """
        answer = Answer(
            row=trial.row,
            first=trial.first.label,
            second=trial.second.label,
            first_key=trial.first.piece.key,
            second_key=trial.second.piece.key,
            choice=chosen.label if chosen else None,
            time=utc_now(),
        )
        lock_path = self.path.parent / LOCKS / f"{self.path.name}.lock"
        try:
            lock_path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock_path, timeout=WAIT_S):
                last = _read(self.path) if self.path.exists() else self._file
                others = [earlier for earlier in last.answers if earlier.key != trial.key]
                file = self._file.model_copy(update={"answers": (*others, answer)})
                write_json(self.path, file.model_dump(mode="json", by_alias=True))
        except Timeout:
            raise OutputError(
                f"another notebook is writing to {self.path}: close it, then answer again"
            ) from None
        except OSError as error:
            raise write_error(self.path, error) from error
        self._file = file
        return answer

    def verdicts(self) -> list[str]:
        """Return a sentence for each pair of runs that was heard."""
        return [
            verdict(f"{a.label} ({a.name})", f"{b.label} ({b.name})", *counts)
            for a, b in combinations(self._runs, 2)
            if any(counts := self._counts(a.label, b.label))
        ]

    def _counts(self, *labels: str) -> list[int]:
        """Return how often each of two runs was preferred, and how often neither."""
        choices = [a.choice for a in self.answers if {a.first, a.second} == set(labels)]
        return [choices.count(choice) for choice in (*labels, None)]


def veil(comparison: Comparison) -> str:
    """Return a sentence to show in place of a result; empty if the result may be shown.

    A result is hidden only from a person who listens blind and has pairs left to answer: the other
    cells of the notebook would show letters, lengths and names.
    """
    params = comparison.params
    if not (params.blind and params.interactive):
        return ""
    try:
        waiting = len(Preferences(comparison, params).waiting)
    except InputError:  # `blind_test` shows what is wrong with the file
        return "After the blind test: run this cell again."
    pairs = count(waiting, "pair")
    return f"After the blind test: run this cell again ({pairs} to hear)." if waiting else ""


def veiled(draw: Callable[Concatenate[Comparison, P], Any]) -> Callable[..., Any]:
    """Decorate `draw` to return a sentence while a blind test of the comparison waits."""

    @wraps(draw)
    def veiled_draw(comparison: Comparison, *args: P.args, **kwargs: P.kwargs) -> Any:
        sentence = veil(comparison)
        return note(sentence) if sentence else draw(comparison, *args, **kwargs)

    return veiled_draw


def verdict(first: str, second: str, for_first: int, for_second: int, undecided: int = 0) -> str:
    """Return a sentence: which run is preferred, how often, and p of the exact sign test."""
    from scipy.stats import binomtest

    decided = for_first + for_second
    no_difference = f"; no difference heard in {undecided}" if undecided else ""
    if not decided:
        return f"{first} or {second}: no preference in any of {undecided}"
    chance = float(binomtest(for_first, decided).pvalue)
    p_value = "p < 0.001" if chance < 0.001 else f"p = {chance:.2g}"
    doubt = "" if chance < 0.05 else ": it may be chance"
    if for_first == for_second:
        return f"{first} and {second} preferred {for_first} times each ({p_value}){no_difference}"
    name = first if for_first > for_second else second
    most = max(for_first, for_second)
    return f"{name} preferred in {most} of {decided} ({p_value}){doubt}{no_difference}"


def _path(comparison: Comparison, params: CompareParams) -> Path:
    """Return the file of answers, named by the runs' folders and the listener.

    The answers in it name the keys of pieces: a run with new audio has new pairs to hear.
    """
    parts = [*(str(run.speech.folder) for run in comparison.runs), params.listener]
    digest = hashlib.blake2b("\n".join(parts).encode(), digest_size=4).hexdigest()
    listener = "-".join(re.findall(r"\w+", params.listener.lower()))[:40]
    name = "-".join(filter(None, ("preferences", digest, listener)))
    return resolve_path(params.outputs_dir) / COMPARE / f"{name}.json"


def _read(path: Path) -> _File:
    try:
        return _File.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise InputError(
            f"the answers in {path} cannot be read: move the file away to begin anew"
        ) from error
