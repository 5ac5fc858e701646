"""The embedded conversion: bare WORLD calls on a run's windows, against a whole run to a file."""

from __future__ import annotations

import tempfile
from typing import Any

from chatter_nb.audio.reading import Signal, read_audio
from chatter_nb.base.project import resolve_path
from chatter_nb.bench.harness import Result
from chatter_nb.bench.params import Options, Progress
from chatter_nb.bench.suites.embedded import against_bare
from chatter_nb.bench.workers import Work
from chatter_nb.params.runs import ConvertParams
from chatter_nb.runs.convert import convert_voice, plan_conversion

SOURCE, TARGET = "params/recordings/reading.flac", "params/recordings/target.flac"
WINDOW_S = 8.0  # shorter than the default of 30: several windows, which must be joined


def run(options: Options, on_progress: Progress) -> list[Result]:
    """The sample recording: bare calls on a run's windows, against the whole run to one wav."""
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_conversion(ConvertParams.create(_values() | {"outputs_dir": folder}))

        def bare() -> list[Signal]:
            (output,) = plan.outputs
            source, _ = read_audio(output.path, sample_rate=plan.engine.source_rate)
            conversion = plan.engine.begin(source, plan.voice, seed=plan.seed, knobs={})
            return conversion.convert([planned.window for planned in output.windows])

        def ours() -> None:
            convert_voice(plan.params)

        return [against_bare("convert to one wav", bare, ours, plan, options, on_progress)]


def work(options: Options, on_progress: Progress) -> Work:
    """The same recording, whole runs to one wav."""
    return Work("convert", _values())


def _values() -> dict[str, Any]:
    return {
        "source": str(resolve_path(SOURCE)),
        "target": str(resolve_path(TARGET)),
        "engine": "world",
        "window_s": WINDOW_S,
        "run_name": "bench",
    }
