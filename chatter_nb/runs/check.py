"""Parameter files checked without making a sample: every problem, and what this machine lacks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chatter_nb.base.errors import ChatterError
from chatter_nb.base.project import read_yaml, resolve_path
from chatter_nb.engines.base import check_supported
from chatter_nb.engines.checkpoints import locate
from chatter_nb.engines.models import pick_device, pick_engine
from chatter_nb.engines.registry import entry
from chatter_nb.params.runs import AnyParams, ConvertParams, SpeakParams, read_params
from chatter_nb.runs.convert_plan import check_conversion
from chatter_nb.runs.settle import Problems
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
    convert = isinstance(params, ConvertParams)
    name = problems.of(lambda: pick_engine(params.engine, convert=convert).name)
    if name is None:
        return Findings(problems.found, [])
    if isinstance(params, SpeakParams) and not entry(name).needs_gpu:
        problems.of(lambda: plan_speech(params))
        return Findings(problems.found, [])
    notes.of(lambda: pick_device(params.device, engine=name, convert=convert))
    files = entry(name, convert=convert).files
    if params.checkpoint and files:
        problems.of(lambda: locate(files, params.checkpoint))
    engine_class = notes.of(lambda: entry(name, convert=convert).engine_class())
    if engine_class:
        problems.of(lambda: check_supported(params, engine_class, params.engine))
    if isinstance(params, SpeakParams):
        problems.found += check_speech(params, engine_class)
    else:
        problems.found += check_conversion(params, engine_class)
    return Findings(problems.found, [f"on this machine: {note}" for note in notes.found])


def _problems_of_text(path: str | Path) -> list[str]:
    """The text's own problems, when the parameters are so wrong that no plan got to it."""
    problems = Problems()
    text_file = problems.of(lambda: read_yaml(path).get("text_file"))
    if not problems.found and text_file and isinstance(text_file, str):
        problems.of(lambda: read_sources(resolve_path(text_file)))
        return problems.found
    return []
