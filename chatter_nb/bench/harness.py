"""The harness of the benchmarks: calls timed in turn, the results, and their record and table.

A timing is a whole call; a call's figure is the median over the rounds after a warm-up. The record
holds the machine and the versions as well. The workloads are in `suites`. Ours alone, over time:
`measure`, `regress`.
"""

from __future__ import annotations

import platform
import statistics
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from chatter_nb.base.timing import peak_rss_mb
from chatter_nb.base.version import installed_version
from chatter_nb.bench.params import Progress
from chatter_nb.bench.rounds import timed
from chatter_nb.engines.gpu import peak_gpu_mb
from chatter_nb.engines.models import pick_device

PACKAGES = (
    *("chatter_nb", "numpy", "scipy", "onnxruntime", "hibari-tts"),
    *("torch", "transformers", "chatterbox-tts", "resemble-perth"),
)
_COLUMNS = 100
_NAME_COLUMNS = 44


@dataclass(frozen=True)
class Result:
    """One comparison. `ratio` = baseline ÷ ours; `identical`: same tokens or samples, or None.

    `samples` are the seconds of each round by side; `figures` are further values by name, with
    units in their names.
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


@dataclass(frozen=True)
class Turns:
    """By side: the seconds of every timed round, and what the last call returned."""

    seconds: dict[str, list[float]]
    returned: dict[str, Any]

    def pair(self, baseline: str, ours: str) -> dict[str, list[float]]:
        """The seconds of two of the sides, as `compared` takes them."""
        return {"baseline": self.seconds[baseline], "ours": self.seconds[ours]}


def alternate(
    calls: Mapping[str, Callable[[], object]],
    repeats: int,
    on_progress: Progress,
    *,
    before: Callable[[str], object] = lambda side: None,
    warm_up: bool = True,
    clock: Callable[[Callable[[], Any]], tuple[float, Any]] = timed,
) -> Turns:
    """Time each call, in turn (A B A B …): drift of the machine touches all of them alike.

    `before` is called with the side's name before each call, untimed. `warm_up=False` is for calls
    that take minutes, after the caller has warmed up with a shorter call. `clock` times a call.
    """
    turns = Turns({name: [] for name in calls}, {})
    for round_number in range(0 if warm_up else 1, repeats + 1):
        for name, call in calls.items():
            on_progress(f"{name}, round {round_number} of {repeats}")
            before(name)
            seconds, turns.returned[name] = clock(call)
            if round_number:  # round 0 is the warm-up
                turns.seconds[name].append(seconds)
    return turns


def own_clock(call: Callable[[], float]) -> tuple[float, float]:
    """A clock for `alternate`, for calls that time a part of their work and return its seconds."""
    seconds = call()
    return seconds, seconds


def compared(
    name: str, seconds: Mapping[str, Sequence[float]], identical: bool | None, **figures: Any
) -> Result:
    """The result for the seconds of the sides `baseline` and `ours`, by their medians."""
    samples = {side: list(rounds) for side, rounds in seconds.items()}
    baseline_s, ours_s = (statistics.median(samples[side]) for side in ("baseline", "ours"))
    return Result(name, baseline_s, ours_s, identical, samples, figures)


def record(suite: str, results: Sequence[Result], device: str = "cpu") -> dict[str, Any]:
    """A suite's results with the machine and versions they were measured on."""
    torch = sys.modules.get("torch")
    choice = pick_device(device)
    return {
        "suite": suite,
        "device": _cpu() if choice.name == "cpu" else str(choice),
        "cpu": cpu_name(),
        "torch_threads": torch.get_num_threads() if torch else None,
        "peak_rss_mb": peak_rss_mb(),
        "peak_gpu_mb": peak_gpu_mb(choice.name),
        "versions": versions(),
        "results": [asdict(result) | {"ratio": result.ratio} for result in results],
    }


def process_status(pid: int | str = "self") -> dict[str, str]:
    """Linux' /proc/PID/status by field; an empty dict on other systems."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return dict(line.partition(":")[::2] for line in lines)


def megabytes(kilobytes: str) -> float:
    """A size as /proc writes it, such as "12 kB", in MB (10⁶ bytes)."""
    return int(kilobytes.split()[0]) * 1024 / 1e6


def _cpu() -> str:
    """The processor, and for a suite of torch its instructions, as far as torch uses them."""
    torch = sys.modules.get("torch")
    instructions = torch.backends.cpu.get_cpu_capability() if torch else ""
    return ", ".join(filter(None, [f"cpu: {cpu_name()}", instructions]))


def cpu_name() -> str:
    """The processor's trade name where the system gives it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def versions() -> dict[str, str | None]:
    """Versions of Python and of `PACKAGES`, which decide speed and samples; None: not installed."""
    packages = {package: installed_version(package) for package in PACKAGES}
    return {"python": platform.python_version()} | packages


def table(record: Mapping[str, Any]) -> str:
    """A benchmark's record as a text table of 100 columns."""
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
    """Lines of `name value` pairs, with as many pairs a line as fit."""
    lines: list[str] = []
    for name, value in figures.items():
        pair = f"{name} {as_text(value)}"
        if lines and len(lines[-1]) + len(pair) + 3 <= _COLUMNS:
            lines[-1] += f" · {pair}"
        else:
            lines += textwrap.wrap(f"    {pair}", _COLUMNS, subsequent_indent="      ")
    return lines


def as_text(value: Any) -> str:
    """A figure's value, numbers to four digits; a dict in parentheses."""
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} {as_text(part)}" for name, part in value.items()) + ")"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
