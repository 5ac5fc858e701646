"""Benchmarks, the harness: two ways of one piece of work, timed in turn, and what is told of them.

Timings are whole calls after a warm-up, medians over the rounds; the machine and the versions are
recorded with them. The workloads are in `suites`. Ours alone, over time: `measure`, `regress`.
"""

from __future__ import annotations

import platform
import statistics
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from chatter_nb.base.timing import peak_rss_mb
from chatter_nb.bench.rounds import timed
from chatter_nb.engines.models import peak_gpu_mb, pick_device

Progress = Callable[[str], object]
PACKAGES = (
    *("chatter_nb", "numpy", "scipy", "onnxruntime", "hibari-tts"),
    *("torch", "transformers", "chatterbox-tts", "resemble-perth"),
)
_COLUMNS = 100
_NAME_COLUMNS = 44


@dataclass(frozen=True)
class Options:
    """What a suite may be told; each takes some of them, see `bench.suites.SUITES`."""

    chunks: int = 8
    tokens: int = 48  # speech tokens a chunk, 25 a second
    rows: int = 0  # chunks decoded together; 0: all of them, in a whole run what fits
    repeats: int = 1  # timed rounds after the warm-up
    seeds: int = 1
    voices: int = 1
    checkpoint: str = ""
    engine: str = "chatterbox"
    device: str = "auto"
    precision: str = "exact"
    prompt_s: float = 10.0  # of the voice, for S3Gen


@dataclass(frozen=True)
class Result:
    """One comparison. `ratio` = baseline ÷ ours; `identical`: same tokens or samples, or None.

    `samples` are the seconds of each round; `figures` what else was found, units in their names.
    """

    name: str
    baseline_s: float
    ours_s: float
    identical: bool | None
    samples: dict[str, list[float]] = field(repr=False)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        return self.baseline_s / self.ours_s

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio}


def alternate(
    calls: Mapping[str, Callable[[], object]],
    repeats: int,
    progress: Progress,
    *,
    before: Callable[[], object] = lambda: None,
    warm_up: bool = True,
) -> dict[str, list[float]]:
    """Seconds of each call, in turn (A B A B …), so that drift of the machine touches both.

    `before` each call, untimed. `warm_up=False` for calls that take minutes: the caller has warmed
    up with something shorter.
    """
    timings: dict[str, list[float]] = {name: [] for name in calls}
    for round_number in range(0 if warm_up else 1, repeats + 1):
        for name, call in calls.items():
            progress(f"{name}, round {round_number} of {repeats}")
            before()
            seconds = timed(call)
            if round_number:  # the first is warm-up
                timings[name].append(seconds)
    return timings


def compared(
    name: str,
    timings: Mapping[str, Sequence[float]],
    identical: bool | None,
    **figures: Any,
) -> Result:
    """A result of the sides `baseline` and `ours`, by their medians."""
    medians = {side: statistics.median(seconds) for side, seconds in timings.items()}
    samples = {side: list(seconds) for side, seconds in timings.items()}
    return Result(name, medians["baseline"], medians["ours"], identical, samples, figures)


def record(suite: str, results: Sequence[Result], device: str = "cpu") -> dict[str, Any]:
    """A suite's results with the machine and versions they hold for."""
    torch = sys.modules.get("torch")
    return {
        "suite": suite,
        "device": _told_device(device),
        "cpu": cpu_name(),
        "torch_threads": torch.get_num_threads() if torch else None,
        "peak_rss_mb": peak_rss_mb(),
        "peak_gpu_mb": peak_gpu_mb(),
        "versions": versions(),
        "results": [result.as_dict() for result in results],
    }


def _told_device(device: str) -> str:
    choice = pick_device(device)
    return f"cpu: {cpu_name()}" if choice.name == "cpu" else str(choice)


def cpu_name() -> str:
    """The processor by the name it is sold under, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def versions() -> dict[str, str | None]:
    """Python's, and those of the packages that decide how fast and what is made."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def table(record: Mapping[str, Any]) -> str:
    """A benchmark's record for people, in 100 columns."""
    lines = [f"suite {record['suite']} on {record['device']}"[:_COLUMNS]]
    head = f"{'baseline':>10} {'ours':>10} {'ours ÷ baseline':>16}  same"
    lines.append(f"{'':{_NAME_COLUMNS}} {head}")
    for result in record["results"]:
        same = {True: "yes", False: "NO", None: "-"}[result["identical"]]
        name = result["name"]
        if len(name) > _NAME_COLUMNS:
            lines.append(name)
            name = ""
        lines.append(
            f"{name:{_NAME_COLUMNS}} {result['baseline_s']:9.3f}s {result['ours_s']:9.3f}s "
            f"{1 / result['ratio']:15.3f}×  {same}"
        )
        lines += _figure_lines(result["figures"])
    return "\n".join(lines)


def _figure_lines(figures: Mapping[str, Any]) -> list[str]:
    """`name value` pairs, as many a line as fit."""
    lines: list[str] = []
    for name, value in figures.items():
        told = f"{name} {_told(value)}"
        if lines and len(lines[-1]) + len(told) + 3 <= _COLUMNS:
            lines[-1] += f" · {told}"
        else:
            lines += textwrap.wrap(f"    {told}", _COLUMNS, subsequent_indent="      ")
    return lines


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} {_told(one)}" for name, one in value.items()) + ")"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
