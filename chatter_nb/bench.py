"""Benchmarks: each workload as bare calls and as ours, side by side in one run, alternating.

Timings are whole calls after a warm-up, medians over the repeats; the machine and the versions are
recorded with them. Nothing here runs in a unit test.
"""

from __future__ import annotations

import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

import numpy as np

from chatter_nb.audio import read_audio
from chatter_nb.errors import InputError
from chatter_nb.params import SpeakParams
from chatter_nb.plan import SpeechPlan, plan_speech
from chatter_nb.project import resolve_path
from chatter_nb.speak import generate_tts, render_speech

FORMAT_REPEATS = 3  # opus takes longer to encode than the text to speak
DEMO_TEXT = "params/texts/oz_the_cyclone.txt"


@dataclass(frozen=True)
class Result:
    """One comparison. `ratio` = baseline ÷ ours; `identical`: same samples, where it applies."""

    name: str
    baseline_s: float
    ours_s: float
    identical: bool | None
    samples: dict[str, list[float]] = field(repr=False)

    @property
    def ratio(self) -> float:
        return self.baseline_s / self.ours_s


def run_suite(name: str, *, repeats: int, progress: Callable[[str], object]) -> dict[str, Any]:
    """Run a suite and return its record (see interfaces: benchmark JSON)."""
    if name not in SUITES:
        raise InputError(f"unknown suite '{name}'; there is: {', '.join(SUITES)}")
    if repeats < 3:
        raise InputError(f"repeats must be at least 3 for a median, not {repeats}")
    results = SUITES[name](repeats, progress)
    return {
        "suite": name,
        "device": f"cpu: {platform.processor() or platform.machine()}",
        "versions": {
            "python": platform.python_version(),
            **{
                p: metadata.version(p)
                for p in ("chatter_nb", "numpy", "scipy", "onnxruntime", "hibari-tts")
            },
        },
        "results": [{**asdict(result), "ratio": result.ratio} for result in results],
    }


def _embedded(repeats: int, progress: Callable[[str], object]) -> list[Result]:
    """The demo text: bare hibari calls on the same chunks, against a whole run to one wav file."""
    from hibari import Hibari

    with tempfile.TemporaryDirectory() as folder:
        plan, speaker = _demo_plan(folder), Hibari()
        bare_audio: list[np.ndarray] = []

        def bare() -> None:
            bare_audio[:] = _bare_hibari(speaker, plan)

        def ours() -> None:
            generate_tts(plan.params)

        def forget() -> None:
            for key, _, _ in list(plan.store.entries()):
                plan.store.discard(key)

        timings = _alternate({"baseline": bare, "ours": ours}, repeats, progress, before=forget)
        kept = [plan.store.get(planned.key) for planned in plan.chunks]
        same = all(
            found is not None and np.array_equal(found[0], audio)
            for found, audio in zip(kept, bare_audio, strict=True)
        )
        results = [_result("speak to one wav", timings, same)]
        return results + [
            _format_cost(plan, name, FORMAT_REPEATS, progress) for name in ("flac", "mp3", "opus")
        ]


def _format_cost(
    plan: SpeechPlan, format_name: str, repeats: int, progress: Callable[[str], object]
) -> Result:
    """Writing the finished chunks as wav, against writing them as wav and a second format."""
    both = plan_speech(plan.params.model_copy(update={"formats": ("wav", format_name)}))

    def wav_only() -> None:
        render_speech(plan)

    def with_format() -> None:
        render_speech(both)

    timings = _alternate({"baseline": wav_only, "ours": with_format}, repeats, progress)
    wav, _ = read_audio(plan.folder.path / "speech.wav")
    second, _ = read_audio(plan.folder.path / f"speech.{format_name}")
    identical = np.array_equal(wav, second) if format_name == "flac" else None
    return _result(f"finished chunks to wav, and to {format_name} as well", timings, identical)


def _demo_plan(folder: str) -> SpeechPlan:
    values = {"text_file": str(resolve_path(DEMO_TEXT)), "engine": "hibari", "run_name": "bench"}
    return plan_speech(SpeakParams.create(values | {"outputs_dir": folder}))


def _bare_hibari(speaker: Any, plan: SpeechPlan) -> list[np.ndarray]:
    return [speaker(planned.chunk.spoken, seed=planned.seed) for planned in plan.chunks]


def _alternate(
    calls: dict[str, Callable[[], None]],
    repeats: int,
    progress: Callable[[str], object],
    *,
    before: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds of each call, in turn (A B A B …), so that drift of the machine touches both.

    `before` each call, untimed.
    """
    timings: dict[str, list[float]] = {name: [] for name in calls}
    for round_number in range(repeats + 1):
        for name, call in calls.items():
            progress(f"{name}, round {round_number} of {repeats}")
            before()
            start_s = time.perf_counter()
            call()
            if round_number:  # the first is warm-up
                timings[name].append(time.perf_counter() - start_s)
    return timings


def _result(name: str, timings: dict[str, list[float]], identical: bool | None) -> Result:
    medians = {side: statistics.median(seconds) for side, seconds in timings.items()}
    return Result(name, medians["baseline"], medians["ours"], identical, timings)


def table(record: dict[str, Any]) -> str:
    """A benchmark's record for people."""
    lines = [f"suite {record['suite']} on {record['device']}"]
    lines.append(f"{'':44} {'baseline':>10} {'ours':>10} {'ours ÷ baseline':>16}  same samples")
    for result in record["results"]:
        same = {True: "yes", False: "NO", None: "-"}[result["identical"]]
        lines.append(
            f"{result['name']:44} {result['baseline_s']:9.3f}s {result['ours_s']:9.3f}s "
            f"{1 / result['ratio']:15.3f}×  {same}"
        )
    return "\n".join(lines)


SUITES: dict[str, Callable[[int, Callable[[str], object]], list[Result]]] = {"embedded": _embedded}
