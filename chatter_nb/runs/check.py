"""Checks parameter files without making a sample: finds every problem, and what is missing here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chatter_nb.base.errors import ChatterError, Problems
from chatter_nb.base.project import read_yaml, resolve_path
from chatter_nb.engines.checkpoints import locate
from chatter_nb.engines.checks import check_supported
from chatter_nb.engines.models import EngineChoice, pick_engine, settle
from chatter_nb.params.runs import AnyParams, SpeakParams, read_params
from chatter_nb.runs.checking import settle_checks
from chatter_nb.runs.convert_plan import check_conversion
from chatter_nb.runs.speak_plan import check_speech, plan_speech
from chatter_nb.text.files import read_sources


@dataclass(frozen=True)
class Findings:
    """`problems` would stop the run anywhere, `notes` only on this machine."""

    problems: list[str]
    notes: list[str]


def check_file(path: str | Path) -> Findings:
    """Check a parameter file, and the text or recordings that it names; loads no large model."""
    try:
        return check_params(read_params(path))
    except ChatterError as error:
        return Findings([str(error), *_problems_of_text(path)], [])


def check_params(params: AnyParams) -> Findings:
    """Check parameters against the engine, and the text or recordings that they name."""
    problems, notes = Problems(), Problems()
    engine = problems.of(lambda: pick_engine(params.engine, params.kind))
    if engine is None:
        return Findings(problems.messages, [])
    if isinstance(params, SpeakParams) and not engine.entry.needs_gpu:
        problems.of(lambda: plan_speech(params))
        return Findings(problems.messages, [])
    notes.of(lambda: settle(engine, params.device))
    files = engine.entry.files
    if params.checkpoint and files:
        problems.of(lambda: locate(files, params.checkpoint))
    notes.of(engine.entry.check_installed)
    problems.of(lambda: check_supported(params, engine.entry, params.engine))
    if isinstance(params, SpeakParams):
        check_speech(params, engine.entry, problems)
        notes.of(lambda: _settle_checks(params, engine))
    else:
        check_conversion(params, engine.entry, problems)
    return Findings(problems.messages, [f"on this machine: {note}" for note in notes.messages])


def _settle_checks(params: SpeakParams, engine: EngineChoice) -> None:
    """Load what the checks of a run need. Raises an `InputError` for what is not here."""
    settled = settle(engine, params.device, params.checkpoint)
    language = params.language or engine.entry.languages[0]
    settle_checks(params.model_copy(update={"verify_workers": 0}), settled, language)


def _problems_of_text(path: str | Path) -> list[str]:
    """The problems of the text itself, if the parameters are too wrong for a plan."""
    problems = Problems()
    text_file = problems.of(lambda: read_yaml(path).get("text_file"))
    if problems.messages or not text_file or not isinstance(text_file, str):
        return []
    problems.of(lambda: read_sources(resolve_path(text_file)))
    return problems.messages
