"""Running a suite by its name: as a comparison, or ours alone. Its module is imported on use.

Each module has `run(options, on_progress) -> list[Result]`, whose baseline are upstream's own calls
or the embedded engine's; most have `work(options, on_progress) -> Work`, ours alone, which
`measure` and `regress` repeat. Names, options and defaults are in `params.SUITES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

from chatter_nb.base.errors import InputError
from chatter_nb.bench.harness import record
from chatter_nb.bench.params import EMBEDDED, SUITES, Options, Progress, options_for
from chatter_nb.bench.workers import Work


def run_suite(
    name: str, chosen: Mapping[str, Any], on_progress: Progress = lambda message: None
) -> dict[str, Any]:
    """Run a suite and return its record, as `bench --json` writes it.

    `chosen` are options by name; None is the suite's default. Raises `InputError` for an unknown
    suite or option, before any work.
    """
    options = options_for(name, chosen)
    results = _suite(name).run(options, on_progress)
    has_model = SUITES[name].has_model and options.engine != EMBEDDED
    suite_record = record(name, results, options.device if has_model else "cpu")
    values = {option: getattr(options, option) for option in SUITES[name].defaults}
    return suite_record | {"options": values}


def work_of(name: str, options: Options, on_progress: Progress = lambda message: None) -> Work:
    """The work of a round when a suite's ours is measured alone.

    Raises `InputError` where a suite only compares, or compares seeds or voices.
    """
    if options.seeds > 1 or options.voices > 1:
        raise InputError("one seed and one voice are measured: leave out --seeds and --voices")
    source = SUITES[name].measured_as or name
    if options.engine == EMBEDDED:
        source = "embedded"
    elif name == "overhead":
        options = replace(options, chunks=1)
    module = _suite(source)
    if not hasattr(module, "work"):
        raise InputError(f"suite '{name}' compares two ways: it has nothing to --record or --check")
    return module.work(options, on_progress)


def _suite(name: str) -> Any:
    return import_module(f"{__name__}.{name}")
