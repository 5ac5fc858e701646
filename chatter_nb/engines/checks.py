"""Checks a run's parameters against its engine before a model is loaded."""

from __future__ import annotations

from typing import Any

from chatter_nb.base.errors import ParamError, Problems
from chatter_nb.engines.checkpoints import check_meanflow, locate
from chatter_nb.engines.models import EngineChoice, settle
from chatter_nb.params.runs import AnyParams, knobs_of


def look_ahead(choice: EngineChoice, params: AnyParams, problems: Problems) -> Any:
    """Choose device and precision, and check the engine's files before a slow import.

    Returns a `Settled`, or None if the device is not on this machine: then `problems` says it.
    Raises `InputError` for files that are missing or do not fit.
    """
    upstream = getattr(params, "engine_path", "fast") == "upstream"
    # Upstream's own way computes in float32, whatever the fast way's weights in memory are.
    precision = "any" if upstream else params.precision
    settled = problems.of(lambda: settle(choice, params.device, params.checkpoint, precision))
    engine = choice.entry
    if engine.files and not engine.missing():
        folder = problems.of(lambda: locate(engine.files, params.checkpoint))
        if folder and getattr(params, "meanflow", None):
            problems.of(lambda: check_meanflow(folder))
        problems.raise_any()
    return settled


def check_supported(params: AnyParams, engine: Any, reason: str) -> None:
    """Raise a `ParamError` that names all parameters that an engine (or its class) refuses."""
    is_set = dict.fromkeys(knobs_of(params), True) | {
        "rows": getattr(params, "rows", 0) > 1,
        "precision": params.precision in ("fast", "int8"),
        "engine_path": getattr(params, "engine_path", "fast") != "fast",
        "checkpoint": bool(params.checkpoint),
    }
    refused = [name for name, value in is_set.items() if value and name not in engine.accepts]
    who = f"engine '{engine.name}' ({reason})"
    problems = []
    if refused:
        taken = ", ".join(sorted(engine.accepts)) or "no knobs"
        them = "it" if len(refused) == 1 else "them"
        problems.append(
            f"{who} does not take {', '.join(refused)}; it takes: {taken}. "
            f"Leave {them} out or choose another engine"
        )
    language = getattr(params, "language", None)
    if language and language not in engine.languages:
        problems.append(
            f"{who} does not speak language '{language}'; it speaks: {', '.join(engine.languages)}"
        )
    if problems:
        raise ParamError("\n".join(problems))
