"""Loading: upstream's `from_local` against our engine, each in a process of its own.

The seconds begin after the imports and end when the model could speak: ours has packed S3Gen by
then, and packs T3 (not int8's) when a step first has several rows. The seconds of the imports are
a figure. Another figure, on each side, is the time to read all weights that lie in modules: mapped
weights are only read when they are first used. Another precision is loaded beside exact too (the
figure `exact_s`).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from chatter_nb.base.errors import EngineError
from chatter_nb.bench.harness import (
    Result,
    alternate,
    compared,
    megabytes,
    own_clock,
    process_status,
)
from chatter_nb.bench.params import Options, Progress
from chatter_nb.bench.rounds import timed
from chatter_nb.bench.suites.workload import place_for, upstream_class, upstream_model
from chatter_nb.bench.workers import Work
from chatter_nb.engines.models import pick_precision
from chatter_nb.engines.registry import entry

FIGURES = ("import_s", "read_s", "own_memory_mb", "peak_rss_mb")


def run(options: Options, on_progress: Progress) -> list[Result]:
    place = place_for(options, on_progress)
    precision = pick_precision(options.precision, place.device).name
    precisions = {"baseline": "upstream", "ours": precision}
    if precision != "exact":
        precisions["exact"] = "exact"
    rounds: dict[str, list[dict[str, float]]] = {side: [] for side in precisions}

    def load(side: str) -> float:
        rounds[side].append(
            in_new_process(precisions[side], place.engine, place.folder, place.device)
        )
        return rounds[side][-1]["load_s"]

    calls = {side: partial(load, side) for side in precisions}
    turns = alternate(calls, options.repeats, on_progress, clock=own_clock)
    figures: dict[str, Any] = {
        name: {
            side: statistics.median(values[name] for values in rounds[side][1:])
            for side in rounds  # without the first round, which reads the files from the disk
        }
        for name in FIGURES
        if name in rounds["ours"][0]
    }
    result = compared(f"load {options.engine}", turns.seconds, None, **figures)
    if precision != "exact":
        result.figures["exact_s"] = statistics.median(turns.seconds["exact"])
    return [result]


def work(options: Options, on_progress: Progress) -> Work:
    """Our model loaded in a new process each round; the imports are timed with it."""
    return Work("load", place_for(options, on_progress).values, fresh=True)


def in_new_process(precision: str, engine: str, folder: Path, device: str) -> dict[str, float]:
    """`load_s` and `FIGURES` of upstream or of our precision, measured inside a fresh Python."""
    code = f"from chatter_nb.bench.suites.load import measure; measure({precision!r}, {engine!r}, "
    code += f"{str(folder)!r}, {device!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        raise EngineError(f"loading {precision} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(precision: str, engine: str, folder: str, device: str) -> None:
    """Load "upstream" or our engine, in this process; print seconds and memory as JSON."""
    prepare = _upstream if precision == "upstream" else partial(_ours, precision)
    import_s, load = timed(lambda: prepare(engine, Path(folder), device))
    load_s, model = timed(load)
    figures = {"import_s": import_s, "load_s": load_s} | _memory_mb("RssAnon", "own_memory_mb")
    figures["read_s"], _ = timed(lambda: _read(model))
    print(json.dumps(figures | _memory_mb("VmHWM", "peak_rss_mb")))


def _upstream(engine: str, folder: Path, device: str) -> Callable[[], Any]:
    upstream_class(engine)  # its imports
    return lambda: upstream_model(engine, folder, device)


def _ours(precision: str, engine: str, folder: Path, device: str) -> Callable[[], Any]:
    engine_class = entry(engine).engine_class()
    return lambda: engine_class(device=device, checkpoint=str(folder), precision=precision)


def _read(model: Any) -> None:
    """Read every weight that lies in a module of a model, whatever the module's name is."""
    for part in vars(model).values():
        for weight in part.parameters() if hasattr(part, "parameters") else ():
            weight.detach().sum()


def _memory_mb(field: str, name: str) -> dict[str, float]:
    """A field of Linux' /proc/self/status in MB (10⁶ bytes), as {name: MB}; {} elsewhere."""
    status = process_status()
    return {name: megabytes(status[field])} if status else {}
