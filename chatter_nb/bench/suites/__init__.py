"""Benchmark suites by name, and running one. A suite's module is imported when it is run.

Each has `run(options, progress) -> list[Result]`, the baseline being upstream's own calls or the
embedded engine's; and `work(options, progress) -> Work`, ours alone, which `measure` and `regress`
repeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib import import_module
from typing import Any

from chatter_nb.base.errors import InputError
from chatter_nb.bench.harness import Options, Progress, record
from chatter_nb.bench.workers import Work

ENGINES = ("chatterbox", "chatterbox-multilingual", "chatterbox-turbo")
PRECISIONS = ("auto", "exact", "fast")
_MODEL = {"checkpoint": "", "engine": "chatterbox", "device": "auto"}
# No checkpoint, and on the processor.
WITHOUT_A_MODEL = ("embedded", "convert", "batch", "form", "serve")
# Ours is measured as a whole run, of which these suites judge a part (`history.judged_s`).
_MEASURED_AS = {"t3": "pipeline", "s3gen": "pipeline", "overhead": "pipeline"}


@dataclass(frozen=True)
class Suite:
    """What a suite compares, the options it takes with their defaults, and the engines."""

    told: str
    takes: dict[str, Any]
    engines: tuple[str, ...] = ENGINES


SUITES = {
    "embedded": Suite(
        "the embedded voice: bare calls, and a run to a file", {"chunks": 0, "repeats": 5}
    ),
    "convert": Suite("the embedded conversion: bare calls, and a run to a file", {"repeats": 5}),
    "batch": Suite("a notebook's overhead: a fresh kernel, a warm one", {"repeats": 30}),
    "form": Suite("the form in a browser: ready, first audio, a chunk made again", {"repeats": 5}),
    "load": Suite("loading a model, each in a process of its own", {"repeats": 3} | _MODEL),
    "serve": Suite(
        "the HTTP service: whole answers, health under load, the first sound", {"repeats": 5}
    ),
    "overhead": Suite(
        "a bare model, upstream's or the embedded one: what is spent around it",
        {"tokens": 48, "repeats": 3} | _MODEL,
        ("hibari", *ENGINES),
    ),
    "t3": Suite(
        "text to speech tokens, many chunks",
        {"chunks": 8, "tokens": 48, "rows": 0, "repeats": 1, "seeds": 1, "voices": 1}
        | {"precision": "exact"}
        | _MODEL,
    ),
    "s3gen": Suite(
        "speech tokens to samples, many chunks",
        {"chunks": 4, "tokens": 64, "repeats": 1, "prompt_s": 10.0} | _MODEL,
    ),
    "pipeline": Suite(
        "text to a watermarked file",
        {"chunks": 4, "tokens": 64, "rows": 0, "repeats": 1, "prompt_s": 3.0}
        | {"precision": "exact"}
        | _MODEL,
    ),
}


def run_suite(
    name: str, given: Mapping[str, Any], progress: Progress = lambda told: None
) -> dict[str, Any]:
    """Run a suite and return its record, as `bench --json` writes it.

    `given` are options by name, None for those left at the suite's default. Raises `InputError`
    for a suite or an option that is not there, before any work.
    """
    options = options_for(name, given)
    results = _suite(name).run(options, progress)
    on_cpu = name in WITHOUT_A_MODEL or options.engine == "hibari"
    made = record(name, results, "cpu" if on_cpu else options.device)
    return made | {"options": {option: getattr(options, option) for option in SUITES[name].takes}}


def work_of(name: str, options: Options, progress: Progress = lambda told: None) -> Work:
    """What is done in a round when ours is measured alone.

    Raises `InputError` where a suite is a comparison only, or is one for these options.
    """
    if options.seeds > 1 or options.voices > 1:
        raise InputError("one seed and one voice are measured: leave out --seeds and --voices")
    home = _MEASURED_AS.get(name, name)
    if options.engine == "hibari":
        home = "embedded"
    elif name == "overhead":
        options = replace(options, chunks=1)
    module = _suite(home)
    if not hasattr(module, "work"):
        raise InputError(f"suite '{name}' compares two ways: it has nothing to --record or --check")
    return module.work(options, progress)


def _suite(name: str) -> Any:
    return import_module(f"{__name__}.{name}")


def options_for(name: str, given: Mapping[str, Any]) -> Options:
    """A suite's options: what is given, over its defaults."""
    if name not in SUITES:
        raise InputError(f"unknown suite '{name}'; there is: {', '.join(SUITES)}")
    takes = SUITES[name].takes
    asked = {option: value for option, value in given.items() if value is not None}
    foreign = [_flag(option) for option in asked if option not in takes]
    if foreign:
        known = " ".join(_flag(option) for option in takes)
        raise InputError(f"suite '{name}' does not take {' '.join(foreign)}; it takes {known}")
    options = Options(**(takes | asked))
    _check(name, options)
    return options


def _check(name: str, options: Options) -> None:
    for field in fields(options):
        value = getattr(options, field.name)
        least = (
            0 if SUITES[name].takes.get(field.name, field.default) == 0 else 1
        )  # 0 is automatic, or all
        if isinstance(value, int) and value < least:
            raise InputError(f"{_flag(field.name)} must be at least {least}, not {value}")
    if not options.prompt_s > 0:
        raise InputError(f"--prompt-s must be more than 0, not {options.prompt_s}")
    for option, known in (("engine", SUITES[name].engines), ("precision", PRECISIONS)):
        value = getattr(options, option)
        if value not in known:
            raise InputError(f"{_flag(option)} {value!r} is none of {', '.join(known)}")


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"
