"""One conversion run: recordings to the same words in another voice, and the record that proves it.

`convert_voice` is the whole of it; `plan_conversion` then `render_conversion` are its halves.
"""

from __future__ import annotations

from collections.abc import Callable

from chatter_nb.audio.reading import Signal
from chatter_nb.base.interrupts import stop_after
from chatter_nb.params.runs import ConvertParams
from chatter_nb.runs.convert_plan import ConversionPlan, plan_conversion
from chatter_nb.runs.convert_run import Conversions
from chatter_nb.runs.lifecycle import Progress, carry_out
from chatter_nb.runs.speech import Speech

__all__ = ["ConversionPlan", "convert_voice", "plan_conversion", "render_conversion"]


def convert_voice(
    params: ConvertParams,
    progress: Callable[[Progress], object] | None = None,
    cancelled: Callable[[], bool] | None = None,
    heard: Callable[[Signal], object] | None = None,
) -> Speech:
    """Convert into `outputs_dir/run_name`; finished windows of an earlier run are used again.

    Raises `InputError` before any work for recordings that cannot be converted, `EngineError` with
    its position where a window fails, and `Cancelled` after the window in hand once `cancelled()`
    is true. What is finished is kept, and `run.json` says what happened. `heard` is given the
    samples of the files as they come.
    """
    return render_conversion(plan_conversion(params), progress, cancelled, heard)


def render_conversion(
    plan: ConversionPlan,
    progress: Callable[[Progress], object] | None = None,
    cancelled: Callable[[], bool] | None = None,
    heard: Callable[[Signal], object] | None = None,
) -> Speech:
    """Carry out a plan; see `convert_voice`."""
    with plan.folder.locked(), stop_after("window", cancelled) as stopped:
        run = Conversions(plan, progress or (lambda _: None), stopped, heard)
        record = carry_out(plan.folder, plan.outputs, run)
    return Speech(plan.folder.path, record)
