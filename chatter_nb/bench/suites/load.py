"""Loading: upstream's `from_local` against our engine, each in a process of its own.

The seconds begin after the imports and end when the model could speak: ours has packed T3 and S3Gen
by then. The seconds of the imports are a figure. Another figure, on both sides, is the time to read
all weights that lie in modules: mapped weights are only read when they are first used.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
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
from chatter_nb.engines.registry import entry

FIGURES = ("import_s", "read_s", "own_memory_mb", "peak_rss_mb")


def run(options: Options, on_progress: Progress) -> list[Result]:
    place = place_for(options, on_progress)
    rounds: dict[str, list[dict[str, float]]] = {"baseline": [], "ours": []}

    def load(side: str) -> float:
        name = "upstream" if side == "baseline" else "ours"
        rounds[side].append(in_new_process(name, place.engine, place.folder, place.device))
        return rounds[side][-1]["load_s"]

    calls = {"baseline": lambda: load("baseline"), "ours": lambda: load("ours")}
    turns = alternate(calls, options.repeats, on_progress, clock=own_clock)
    figures = {
        name: {
            side: statistics.median(values[name] for values in rounds[side][1:])
            for side in rounds  # without the first round, which reads the files from the disk
        }
        for name in FIGURES
        if name in rounds["ours"][0]
    }
    return [compared(f"load {options.engine}", turns.seconds, None, **figures)]


def work(options: Options, on_progress: Progress) -> Work:
    """Our model loaded in a new process each round; the imports are timed with it."""
    return Work("load", place_for(options, on_progress).values, fresh=True)


def in_new_process(side: str, engine: str, folder: Path, device: str) -> dict[str, float]:
    """`load_s` and `FIGURES` of one side, measured inside a fresh Python."""
    code = f"from chatter_nb.bench.suites.load import measure; measure({side!r}, {engine!r}, "
    code += f"{str(folder)!r}, {device!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        raise EngineError(f"loading {side} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(side: str, engine: str, folder: str, device: str) -> None:
    """Load one side, in this process, and print its seconds and memory as a line of JSON."""
    prepare = _upstream if side == "upstream" else _ours
    import_s, load = timed(lambda: prepare(engine, Path(folder), device))
    load_s, model = timed(load)
    figures = {"import_s": import_s, "load_s": load_s} | _memory_mb("RssAnon", "own_memory_mb")
    figures["read_s"], _ = timed(lambda: _read(model))
    print(json.dumps(figures | _memory_mb("VmHWM", "peak_rss_mb")))


def _upstream(engine: str, folder: Path, device: str) -> Callable[[], Any]:
    upstream_class(engine)  # its imports
    return lambda: upstream_model(engine, folder, device)


def _ours(engine: str, folder: Path, device: str) -> Callable[[], Any]:
    engine_class = entry(engine).engine_class()
    return lambda: engine_class(device=device, checkpoint=str(folder))


def _read(model: Any) -> None:
    """Read every weight that lies in a module of a model, whatever the module's name is."""
    for part in vars(model).values():
        for weight in part.parameters() if hasattr(part, "parameters") else ():
            weight.detach().sum()


def _memory_mb(field: str, name: str) -> dict[str, float]:
    """A field of Linux' /proc/self/status in MB (10⁶ bytes), as {name: MB}; {} elsewhere."""
    status = process_status()
    return {name: megabytes(status[field])} if status else {}
