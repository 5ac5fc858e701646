"""How far the aligner's word starts lie from the truth.

True is the onset after a pause, or after digital silence that is spliced in before a word; inside
a phrase hibari's own time, which is itself within some 20 ms.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from hibari import SAMPLE_RATE

from chatter_nb.audio.reading import Signal
from chatter_nb.audio.words import WordTime
from chatter_nb.bench.faults import Reading, with_pause
from chatter_nb.bench.harness import Result, compared
from chatter_nb.verify.checker import Checker
from chatter_nb.verify.findings import Expectation

PLACES = ("after a pause", "after a splice", "inside")
SPLICED_S = 0.3
SILENT = 0.01  # of the peak, -40 dB


def word_starts(name: str, readings: Iterable[Reading], checker: Checker) -> Result:
    """Errors in ms by place, and their drift over the readings laid end to end.

    The seconds are those of the audio, and of the work, as the suite `verify` has them.
    """
    errors: list[tuple[str, float, float]] = []
    audio_s, start_s = 0.0, time.process_time()
    for spoken in readings:
        errors += [(place, audio_s, error_ms) for place, error_ms in _errors(spoken, checker)]
        audio_s += 2 * spoken.audio_s + SPLICED_S
    figures: dict[str, Any] = {
        place: _spread([error_ms for at, _, error_ms in errors if at == place]) for place in PLACES
    }
    times_s, errors_ms = np.transpose([error[1:] for error in errors])
    figures["drift_ms_an_hour"] = 3600 * float(np.polyfit(times_s, errors_ms, 1)[0])
    seconds = {"baseline": [audio_s], "ours": [time.process_time() - start_s]}
    return compared(name, seconds, None, **figures)


def _errors(spoken: Reading, checker: Checker) -> Iterator[tuple[str, float]]:
    """A place of `PLACES` and the start by the aligner less the true one, in ms."""
    words = _aligned(spoken, spoken.audio, checker)
    previous_end_s = -1.0
    for word, truth in zip(words, spoken.words, strict=False):
        error_ms = 1000 * (word.start_s - truth.start_s)
        if truth.start_s <= previous_end_s:
            yield PLACES[2], error_ms
        elif _is_onset(spoken.audio, truth.start_s):
            yield PLACES[0], error_ms
        previous_end_s = truth.end_s
    at = len(spoken.words) // 2
    for word in _aligned(spoken, with_pause(spoken, at, SPLICED_S), checker)[at : at + 1]:
        yield PLACES[1], 1000 * (word.start_s - spoken.bounds[at] / SAMPLE_RATE - SPLICED_S)


def _is_onset(audio: Signal, time_s: float) -> bool:
    """Whether sound begins at a time, within 20 ms, after 80 ms that are silent."""
    at = round(time_s * SAMPLE_RATE)
    step = SAMPLE_RATE // 100
    loud = np.abs(audio) > SILENT * np.abs(audio).max()
    return bool(
        loud[max(0, at - step) : at + 2 * step].any()
        and not loud[max(0, at - 10 * step) : max(0, at - 2 * step)].any()
    )


def _aligned(spoken: Reading, audio: Signal, checker: Checker) -> tuple[WordTime, ...]:
    """The words as the aligner places them; () where it does not hear each of them."""
    words = checker.check(audio, SAMPLE_RATE, Expectation(spoken.text, "en")).words or ()
    return words if len(words) == len(spoken.words) else ()


def _spread(errors_ms: list[float]) -> dict[str, float]:
    if not errors_ms:
        return {"n": 0}
    sizes = np.abs(errors_ms)
    return {
        "n": len(errors_ms),
        "median_ms": float(np.median(sizes)),
        "p95_ms": float(np.percentile(sizes, 95)),
        "bias_ms": float(np.median(errors_ms)),
    }
