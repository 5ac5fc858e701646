"""The embedded conversion: bare WORLD calls on the same windows, against a whole run to a file."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np

from chatter_nb.audio.reading import Signal, read_audio
from chatter_nb.base.errors import InputError
from chatter_nb.base.project import resolve_path
from chatter_nb.bench.harness import Options, Progress, Result, alternate, compared
from chatter_nb.bench.workers import Work
from chatter_nb.params.runs import ConvertParams
from chatter_nb.runs.convert import ConversionPlan, convert_voice, plan_conversion

SOURCE, TARGET = "params/recordings/reading.flac", "params/recordings/target.flac"
WINDOW_S = 8.0  # several windows, so that joining is part of it: 30 is the default


def run(options: Options, progress: Progress) -> list[Result]:
    """The sample recording: bare calls on the same windows, against a whole run to one wav."""
    if options.repeats < 3:
        raise InputError(f"--repeats must be at least 3 for a median, not {options.repeats}")
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_conversion(ConvertParams.create(_values() | {"outputs_dir": folder}))
        bare_audio: list[Signal] = []

        def bare() -> None:
            bare_audio[:] = _bare_world(plan)

        def ours() -> None:
            convert_voice(plan.params)

        def forget() -> None:
            for planned in plan.windows:
                plan.store.discard(planned.key)

        timings = alternate(
            {"baseline": bare, "ours": ours}, options.repeats, progress, before=forget
        )
        return [compared("convert to one wav", timings, _same(plan, bare_audio))]


def work(options: Options, progress: Progress) -> Work:
    """The same recording, whole runs to one wav."""
    return Work("convert", _values())


def _values() -> dict[str, Any]:
    source, target = (str(resolve_path(path)) for path in (SOURCE, TARGET))
    values = {"source": source, "target": target, "engine": "world", "window_s": WINDOW_S}
    return values | {"run_name": "bench"}


def _bare_world(plan: ConversionPlan) -> list[Signal]:
    (output,) = plan.outputs
    source, _ = read_audio(output.path, sample_rate=plan.engine.source_rate)
    conversion = plan.engine.begin(source, plan.voice, seed=plan.seed, knobs={})
    return conversion.convert([planned.window for planned in output.windows])


def _same(plan: ConversionPlan, bare_audio: list[Signal]) -> bool:
    kept = [plan.store.get(planned.key) for planned in plan.windows]
    return all(
        found is not None and np.array_equal(found[0], audio)
        for found, audio in zip(kept, bare_audio, strict=True)
    )
