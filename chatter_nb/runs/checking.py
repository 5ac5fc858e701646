"""Whether a run's chunks are checked, and how: settled before the work, carried out beside it.

The checks themselves are `verify`'s. Here they get what that room must not know: the embedded voice
as a second reading and as a dictionary, and processes of their own.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from chatter_nb.audio.reading import Signal
from chatter_nb.base.errors import EngineError
from chatter_nb.base.project import resolve_path
from chatter_nb.engines.checkpoints import is_random
from chatter_nb.engines.models import Choice, Settled
from chatter_nb.engines.registry import not_installed
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.record import CheckRecord

if TYPE_CHECKING:
    from chatter_nb.engines.hibari_times import TimedHibari
    from chatter_nb.verify.checker import Checker
    from chatter_nb.verify.findings import Expectation, Verdict

REPORTS = ".verdicts"  # in the folder of the runs: what the witnesses said
_NEEDED = ("pocketsphinx", "faster_whisper", "rapidfuzz", "whisper_normalizer")
_CORES_TO_SPARE = 4  # with fewer, a second process takes from the model what it gives
_IDLE_S = 300
_hearing = threading.Lock()  # a service's threads share the checker, which hears a chunk at a time
_AHEAD = 2  # takes a worker that wait for their verdict


@dataclass(frozen=True)
class Checks:
    """How a run's chunks are checked. Plain data: a worker makes its checker from it."""

    level: Literal["off", "fast", "full"]
    reason: str
    language: str = "en"
    asr_model: str = ""
    cuts: bool = True
    folder: Path | None = None
    workers: int = 0
    witnesses: tuple[tuple[str, str], ...] = ()  # names and versions
    notes: tuple[str, ...] = ()

    @property
    def is_on(self) -> bool:
        return self.level != "off"

    def __str__(self) -> str:
        return f"{self.level} ({self.reason})"

    def record(self) -> CheckRecord:
        """What a resume needs to check in the same way."""
        return CheckRecord(
            level=self.level,
            reason=self.reason,
            asr_model=self.asr_model,
            witnesses=dict(self.witnesses),
        )


def settle_checks(
    params: SpeakParams, settled: Settled, language: str, pinned: CheckRecord | None = None
) -> Checks:
    """How the chunks of a run are checked; the witnesses it needs are loaded.

    `pinned` are the checks of the unfinished run that this one resumes. Raises `UnavailableError`
    or `ParamError` with the cure if they cannot be made here.
    """
    level, asr_model = pick_level(params, settled), params.asr_model
    if pinned and params.verify == "auto":
        level = Choice(pinned.level, "the run to resume had it")
        asr_model = pinned.asr_model
    if level.name == "off":
        return Checks("off", level.reason)
    folder = resolve_path(params.outputs_dir) / REPORTS
    workers = params.verify_workers
    if workers < 0:
        has_room = settled.device.name != "cpu" or (os.cpu_count() or 1) >= _CORES_TO_SPARE
        workers = int(has_room)
    checks = Checks(
        level.name,  # type: ignore[arg-type]
        level.reason,
        language=language,
        asr_model=asr_model,
        cuts=params.trim_tails,
        folder=folder,
        workers=workers,
    )
    witnesses, notes = Checking(checks).prepare()
    if pinned and pinned.level == checks.level and pinned.witnesses != witnesses:
        notes = (*notes, "the witnesses have changed since this run began: new verdicts differ")
    return replace(checks, witnesses=tuple(sorted(witnesses.items())), notes=notes)


def pick_level(params: SpeakParams, settled: Settled) -> Choice:
    """The level of the checks, and why: for "auto" fast where an engine may say other words."""
    if params.verify != "auto":
        return Choice(params.verify, "asked for")
    engine = settled.engine
    if not engine.entry.files:
        return Choice("off", f"{engine.name} says what is written; verify: fast checks it")
    if missing := lacking():
        from chatter_nb.verify.spelling import INSTALL

        return Choice("off", f"{missing}; {INSTALL}")
    if settled.checkpoint and is_random(resolve_path(settled.checkpoint)):
        return Choice("off", "the checkpoint's weights are random")
    return Choice("fast", f"{engine.name} may say other words than the text's")


def lacking() -> str:
    """A clause that names the packages that checks need and that are missing; empty if none is."""
    return not_installed([name for name in _NEEDED if find_spec(name) is None])


class Checking:
    """Checks takes in this process, or with `workers` in others beside the model."""

    def __init__(self, checks: Checks) -> None:
        self._checks = checks
        self.ahead = _AHEAD * checks.workers  # takes that may wait for their verdict

    def prepare(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """Load what the checks need; returns the witnesses' versions, and notes."""
        if not self._checks.workers:
            return _prepare(self._checks)
        return _result(_workers(self._checks.workers).submit(_prepare, self._checks))

    def submit(
        self,
        audio: Signal,
        sample_rate: int,
        expected: Expectation,
        other_take: Signal | None = None,
    ) -> Future[Verdict]:
        """A verdict on a take: there at once without workers, else when a worker has it."""
        work = (self._checks, audio, sample_rate, expected, other_take)
        if self._checks.workers:
            return _workers(self._checks.workers).submit(_check, *work)
        future: Future[Verdict] = Future()
        future.set_result(_check(*work))
        return future

    def result(self, future: Future[Verdict]) -> Verdict:
        """The verdict. Raises `EngineError` if its process died."""
        return _result(future)


def _result(future: Future[Any]) -> Any:
    from concurrent.futures.process import BrokenProcessPool

    try:
        return future.result()
    except BrokenProcessPool as error:
        raise EngineError(
            "a process that checks the chunks was ended from outside, perhaps for want of memory; "
            "finished chunks are kept: run again to resume, with verify_workers: 0 to check in "
            "this process"
        ) from error


def _workers(count: int) -> Any:
    """The processes of `count` workers: they keep their models, and end when idle for long."""
    from loky import get_reusable_executor  # starts workers without running the caller's script

    return get_reusable_executor(max_workers=count, timeout=_IDLE_S, initializer=_begin_worker)


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal
    if hasattr(os, "nice"):
        os.nice(5)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent has ended, killed perhaps; an idle worker would stay."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _prepare(checks: Checks) -> tuple[dict[str, str], tuple[str, ...]]:
    with _hearing:
        checker = _checker(checks)
        notes = checker.prepare(checks.language)
        return checker.witnesses, notes


def _check(
    checks: Checks,
    audio: Signal,
    sample_rate: int,
    expected: Expectation,
    other_take: Signal | None,
) -> Verdict:
    with _hearing:
        return _checker(checks).check(audio, sample_rate, expected, other_take=other_take)


def _checker(checks: Checks) -> Checker:
    """The checker of this process; models stay loaded."""
    return make_checker(checks.level, checks.asr_model, checks.folder, checks.cuts)


@lru_cache(maxsize=2)
def make_checker(level: Any, asr_model: str, folder: Path | None, cuts: bool) -> Checker:
    """The checker of this process, with the embedded voice as dictionary and second reading.

    `asr_model` is a name, or a folder, which starts at the project like all paths.
    """
    from chatter_nb.verify.checker import Checker

    place = resolve_path(asr_model) if asr_model else None
    return Checker(
        level,
        asr_model=str(place) if place and place.is_dir() else asr_model,
        phonemes=_phonemes,
        reference=_reference,
        folder=folder,
        cuts=cuts,
    )


def _phonemes(word: str) -> str | None:
    return "".join(_speaker().phonemize(word)) or None


def _reference(text: str) -> tuple[Signal, int]:
    from chatter_nb.engines.hibari_text import plain

    speaker = _speaker()
    return speaker.speak(plain(text), seed=0)[0], speaker.sample_rate


@cache
def _speaker() -> TimedHibari:
    from chatter_nb.engines.hibari_times import TimedHibari

    return TimedHibari()
