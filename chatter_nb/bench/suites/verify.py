"""Planted faults: how many a check catches, how many clean chunks it flags, and what it costs.

A result's baseline is the length of the audio, and ours the check's work on one core: their
quotient is the cost as a share of real time. The reference reads a text once, at the first kind
that doubts it. Outcomes are kept, so that a stopped bench resumes.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hibari import SAMPLE_RATE
from scipy.stats import binomtest

from chatter_nb.audio.reading import Signal
from chatter_nb.base.disk import read_json, write_json
from chatter_nb.base.errors import InputError
from chatter_nb.base.hashing import digest
from chatter_nb.base.project import resolve_path
from chatter_nb.bench import faults
from chatter_nb.bench.faults import Reading, speaker
from chatter_nb.bench.harness import Result, compared
from chatter_nb.bench.params import SENTENCES, Options, Progress
from chatter_nb.bench.rounds import timed
from chatter_nb.bench.suites.workload import BENCH_FOLDER, Place
from chatter_nb.bench.word_starts import word_starts
from chatter_nb.engines.models import get_or_load_tts_model, pick_device
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak import generate_tts
from chatter_nb.verify.checker import Checker
from chatter_nb.verify.findings import Expectation, Verdict

CHUNKS = {"fast": 400, "full": 200}
SPEEDS = (0.9, 1.2)
CLEAN, NAMES, STARTS = "clean", "invented names", "word starts"
KINDS = (CLEAN, NAMES, *faults.KINDS, STARTS)
NAMES_CHUNKS = 200
CHATTERBOX_CHUNKS = 4
_CACHED_READINGS = 512  # 0.4 MB each
_KEY_BYTES = 8


@dataclass(frozen=True)
class Outcome:
    """What a check said of a chunk. `witnesses` spoke against it; a cut counts as one."""

    text: str
    is_caught: bool
    witnesses: list[str]
    audio_s: float
    work_s: float


def run(options: Options, on_progress: Progress) -> list[Result]:
    """A result a kind of `KINDS`, and the cost beside Chatterbox where a checkpoint is named."""
    kinds = options.chosen(KINDS)
    chunks = options.chunks or CHUNKS[options.level]
    checker = _checker(options.level)
    results = []
    for kind in kinds:
        if kind == STARTS:
            on_progress(f"{kind}: {chunks} chunks, each with and without a pause")
            readings = filter(None, map(reading, range(chunks)))
            results.append(word_starts(kind, readings, _checker("fast")))
        else:
            outcomes = measured(kind, chunks, checker, options.level, on_progress)
            results.append(_result(kind, outcomes))
    if options.checkpoint:
        results.append(_beside_chatterbox(options, results[0]))
    else:
        on_progress("cost beside Chatterbox: not measured, for want of a --checkpoint")
    return results


def _checker(level: Any) -> Checker:
    """A checker with all the help that a run gives it: hibari's phonemes and its readings."""
    checker = Checker(
        level,
        phonemes=lambda word: "".join(speaker().phonemize(word)) or None,
        reference=lambda text: (speaker().speak(text, seed=0)[0], SAMPLE_RATE),
    )
    checker.prepare("en")
    return checker


def measured(
    kind: str, chunks: int, checker: Checker, level: str, on_progress: Progress
) -> list[Outcome]:
    """The outcomes of so many chunks of a kind; those of an earlier bench are taken from disk.

    A chunk without a place for the fault counts as none.
    """
    if kind == NAMES:
        chunks = min(chunks, NAMES_CHUNKS)
    path = _kept_path(kind, level, checker)
    kept = read_json(path)
    outcomes = [entry and Outcome(**entry) for entry in kept or []]
    for number in range(len(SPEEDS) * len(_sentences())):
        done = sum(outcome is not None for outcome in outcomes[:number])
        if done == chunks:
            return [outcome for outcome in outcomes[:number] if outcome]
        if number == len(outcomes):
            on_progress(f"{kind}: chunk {done + 1} of {chunks}")
            outcomes.append(_outcome(kind, number, checker))
            write_json(path, [outcome and asdict(outcome) for outcome in outcomes])
    raise InputError(f"--chunks must be at most {done} for {kind!r}, not {chunks}")


def _kept_path(kind: str, level: str, checker: Checker) -> Path:
    """A file for all that outcomes depend on, but for the code of `checker`."""
    voice = version("hibari-tts")
    determines = [faults.VERSION, voice, SPEEDS, _sentences(), checker.witnesses]
    folder = resolve_path(BENCH_FOLDER) / "verify" / digest(determines, size=_KEY_BYTES)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{level}, {kind}.json"


@cache
def _sentences() -> list[str]:
    lines = SENTENCES.read_text(encoding="utf-8").splitlines()
    random.Random(0).shuffle(lines)
    return lines


@lru_cache(_CACHED_READINGS)
def reading(number: int, *, names: bool = False) -> Reading | None:
    """A sentence as hibari reads it, the speeds in turn; the second time round the other speed."""
    sentences = _sentences()
    times, at = divmod(number, len(sentences))
    text = sentences[at]
    if names:
        text = faults.with_invented_name(text, random.Random(number))
    speed = SPEEDS[(number + times) % len(SPEEDS)]
    return faults.read(text, speed=speed, seed=number) if text else None


def _outcome(kind: str, number: int, checker: Checker) -> Outcome | None:
    spoken, other = reading(number, names=kind == NAMES), reading(number + 1)
    if spoken is None or other is None:
        return None
    audio: Signal | None = spoken.audio
    if kind in faults.KINDS:
        audio = faults.plant(kind, spoken, other, seed=number)
    if audio is None:
        return None
    start_s = time.process_time()
    verdict = checker.check(audio, SAMPLE_RATE, Expectation(spoken.text, "en"))
    work_s = time.process_time() - start_s
    witnesses = sorted({finding.witness for finding in verdict.findings})
    witnesses += ["cut"] if verdict.cuts else []
    audio_s = len(audio) / SAMPLE_RATE
    return Outcome(spoken.text, is_caught(verdict), witnesses, audio_s, work_s)


def is_caught(verdict: Verdict) -> bool:
    """Doubtful, or healed by a cut."""
    return verdict.verdict == "doubtful" or bool(verdict.cuts)


def _result(kind: str, outcomes: list[Outcome]) -> Result:
    caught = sum(outcome.is_caught for outcome in outcomes)
    low, high = binomtest(caught, len(outcomes)).proportion_ci(method="wilson")
    figures = {
        "flagged" if kind in (CLEAN, NAMES) else "caught": caught,
        "of": len(outcomes),
        "percent": 100 * caught / len(outcomes),
        "from": 100 * low,
        "to": 100 * high,
        "by": dict(Counter(name for outcome in outcomes for name in outcome.witnesses)),
    }
    seconds = {
        "baseline": [sum(outcome.audio_s for outcome in outcomes)],
        "ours": [sum(outcome.work_s for outcome in outcomes)],
    }
    return compared(kind, seconds, None, **figures)


def _beside_chatterbox(options: Options, check: Result) -> Result:
    """The seconds of a check beside those of Chatterbox, both for a second of speech."""
    device = pick_device(options.device, engine=options.engine).name
    place = Place(options.engine, device, Path(options.checkpoint))
    get_or_load_tts_model(place.engine, place.device, str(place.folder))
    text = "\n\n".join(_sentences()[:CHATTERBOX_CHUNKS])
    with tempfile.TemporaryDirectory() as outputs:
        values = place.values | {"text": text, "outputs_dir": outputs, "verify": "off"}
        spent_s, speech = timed(lambda: generate_tts(SpeakParams.create(values)))
    seconds = {
        "baseline": [spent_s / speech.record.audio_s],
        "ours": [check.ours_s / check.baseline_s],
    }
    return compared(f"a second of Chatterbox' speech, and {check.name}", seconds, None)
