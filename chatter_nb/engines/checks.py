"""Checks a run's parameters against its engine before a model is loaded."""

from __future__ import annotations

from typing import Any

from chatter_nb.base.errors import ParamError
from chatter_nb.engines.checkpoints import check_meanflow, locate
from chatter_nb.engines.models import EngineChoice, Settled, settle
from chatter_nb.engines.registry import TTS_ENGINES, EngineEntry
from chatter_nb.params.runs import AnyParams, knobs_of
from chatter_nb.text.languages import other_language


def settle_params(choice: EngineChoice, params: AnyParams) -> Settled:
    """Choose device and precision. Raises `UnavailableError` for a device that is not here."""
    upstream = getattr(params, "engine_path", "fast") == "upstream"
    # Upstream's own way computes in float32, whatever the fast way's weights in memory are.
    precision = "any" if upstream else params.precision
    return settle(choice, params.device, params.checkpoint, precision)


def check_files(engine: EngineEntry, params: AnyParams) -> None:
    """Check an engine's files before its slow import; without a `checkpoint` they are fetched.

    Raises `InputError` for files that are missing or do not fit.
    """
    if engine.files and not engine.missing():
        folder = locate(engine.files, params.checkpoint)
        if getattr(params, "meanflow", None):
            check_meanflow(folder)


def check_supported(params: AnyParams, engine: Any, reason: str) -> None:
    """Raise a `ParamError` that names all parameters that an engine (or its entry) refuses."""
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


def notes_on_language(text: str, engine: str, language: str) -> list[str]:
    """A note with its cure if a text seems to be in another language than it is read in."""
    code = other_language(text, language)
    if code is None:
        return []
    speaks = [name for name, entry in TTS_ENGINES.items() if code in entry.languages]
    cure = f"set language: {code}" + ("" if engine in speaks else f" and engine: {speaks[0]}")
    return [f"the text seems to be in '{code}', and {engine} reads it in '{language}': {cure}"]
