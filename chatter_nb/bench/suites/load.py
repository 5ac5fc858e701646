"""Loading: upstream's `from_local` against our engine, each in a process of its own.

The seconds begin after the imports, which are figures, and end when the model could speak: ours has
packed T3 and S3Gen by then. Mapped weights are read when they are first used: reading those that
lie in modules is a figure on both sides, too.
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
from chatter_nb.bench.harness import Options, Progress, Result, compared
from chatter_nb.bench.rounds import timed
from chatter_nb.bench.suites.workload import checkpoint_for, upstream_class, upstream_model
from chatter_nb.bench.workers import Work
from chatter_nb.engines.models import pick_device
from chatter_nb.engines.registry import entry

FIGURES = ("import_s", "read_s", "own_memory_mb", "peak_rss_mb")


def run(options: Options, progress: Progress) -> list[Result]:
    folder = checkpoint_for(options, progress)
    device = pick_device(options.device, engine=options.engine).name
    sides: dict[str, Callable[[], dict[str, float]]] = {
        "baseline": lambda: in_new_process("upstream", options.engine, folder, device),
        "ours": lambda: in_new_process("ours", options.engine, folder, device),
    }
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for round_number in range(options.repeats + 1):
        for side, measure in sides.items():
            progress(f"{side}, round {round_number} of {options.repeats}")
            measured = measure()
            if round_number:  # the first reads the files from the disk
                found[side].append(measured)
    timings = {side: [one["load_s"] for one in rounds] for side, rounds in found.items()}
    figures = {
        name: {side: statistics.median(one[name] for one in found[side]) for side in sides}
        for name in FIGURES
        if name in found["ours"][0]
    }
    return [compared(f"load {options.engine}", timings, None, **figures)]


def work(options: Options, progress: Progress) -> Work:
    """Our model, from nothing to ready, in a new process each time: its imports count, too."""
    folder = checkpoint_for(options, progress)
    device = pick_device(options.device, engine=options.engine).name
    place = {"engine": options.engine, "device": device, "checkpoint": str(folder)}
    return Work("load", place, fresh=True)


def in_new_process(side: str, engine: str, folder: Path, device: str) -> dict[str, float]:
    """`load_s` and `FIGURES` of one side, measured inside a fresh Python."""
    code = f"from chatter_nb.bench.suites.load import measure; measure({side!r}, {engine!r}, "
    code += f"{str(folder)!r}, {device!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        raise EngineError(f"loading {side} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(side: str, engine: str, folder: str, device: str) -> None:
    """Load one side, in this process, and print what it took as a line of JSON."""
    loader: list[Callable[[], Any]] = []
    model: list[Any] = []
    prepare = _upstream if side == "upstream" else _ours
    found = {"import_s": timed(lambda: loader.append(prepare(engine, Path(folder), device)))}
    found["load_s"] = timed(lambda: model.append(loader[0]()))
    found |= _memory_mb("RssAnon", "own_memory_mb")
    found["read_s"] = timed(lambda: _read(model[0]))
    found |= _memory_mb("VmHWM", "peak_rss_mb")
    print(json.dumps(found))


def _upstream(engine: str, folder: Path, device: str) -> Callable[[], Any]:
    upstream_class(engine)  # its imports
    return lambda: upstream_model(engine, folder, device)


def _ours(engine: str, folder: Path, device: str) -> Callable[[], Any]:
    engine_class = entry(engine).engine_class()
    return lambda: engine_class(device=device, checkpoint=str(folder))


def _read(model: Any) -> None:
    """Every weight that lies in a module of a model, whatever it calls them."""
    for part in vars(model).values():
        for weight in part.parameters() if hasattr(part, "parameters") else ():
            weight.detach().sum()


def _memory_mb(field: str, name: str) -> dict[str, float]:
    """A field of Linux' /proc/self/status in MB (10⁶ bytes); nothing elsewhere."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return {}
    (line,) = [line for line in status.splitlines() if line.startswith(f"{field}:")]
    return {name: int(line.split()[1]) * 1024 / 1e6}
