"""`bench`: times a workload as calls of upstream's code and as calls of ours."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from chatter_nb.base.disk import writing
from chatter_nb.base.errors import EngineError, InputError
from chatter_nb.bench.params import LEAST_SAMPLES, SUITES, Options
from chatter_nb.cli.options import option, with_options

REGRESSION, FAILED_ROUND = 1, 3  # exit codes of --check
*_FIRST, _LAST = SUITES


_TYPES = get_type_hints(Options)


# None: the suite's own default.
@with_options(
    option(field.name, _TYPES[field.name] | None, None, field.metadata["help"])
    for field in fields(Options)
)
def bench(
    suite: Annotated[str, typer.Argument(help=f"Which workload: {', '.join(_FIRST)} or {_LAST}.")],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the record here.")] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Measure ours alone, and keep it in the history.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Is ours slower than --baseline? Exit code 1 if so, 3 if a round failed.",
        ),
    ] = False,
    baseline: Annotated[
        str | None, typer.Option(help="A commit to check against: a hash, a tag, HEAD~1.")
    ] = None,
    outputs_dir: Annotated[
        str, typer.Option(help="Where timing/history.jsonl lies, for --record.")
    ] = "outputs",
    **options: Any,
) -> None:
    """Time a workload as bare calls and as ours, in turn, and print both.

    Each suite takes some of the options, and has defaults of its own for them. With --record or
    --check ours is timed alone, whole runs, at least 5 rounds: against earlier measurements in the
    history, or against another commit, in turn. Slower by a tenth and more, beyond chance, is a
    regression.
    """
    _check_choice(record, check, baseline)
    if json_file:
        _can_write(json_file)
    with _ended_in_order():
        if record:
            result = _record(suite, options, outputs_dir)
        elif check:
            result = _check(suite, options, baseline or "")
        else:
            result = _compare(suite, options)
    if json_file:
        json_file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if check and not result["same_work"]:
        raise typer.Exit(InputError.exit_code)
    if check and result["verdict"]["regression"]:
        raise typer.Exit(REGRESSION)


def _check_choice(record: bool, check: bool, baseline: str | None) -> None:
    if record and check:
        raise InputError("--record and --check are two things: give one of them")
    if check and not baseline:
        raise InputError("--check needs --baseline: a commit such as HEAD~1, to compare with")
    if baseline and not check:
        raise InputError("--baseline is for --check: give both")


def _can_write(path: Path) -> None:
    """Raise `OutputError` if a file cannot be written; called before minutes of work."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM, which CI sends, raises `SystemExit` inside the block.

    So temporary files are removed, and servers and rounds that the block began end.
    """

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _reporting() -> Iterator[Callable[[str], object]]:
    """A function that shows a step: on one line with the time, or in a log a line for each."""
    if not sys.stderr.isatty():
        yield lambda step: typer.echo(step, err=True)
        return
    from tqdm import tqdm

    with tqdm(bar_format="{elapsed} {desc}", leave=False, dynamic_ncols=True) as bar:
        yield bar.set_description_str


def _compare(suite: str, options: dict[str, Any]) -> dict[str, Any]:
    from chatter_nb.bench.harness import table
    from chatter_nb.bench.suites import run_suite

    with _reporting() as progress:
        record = run_suite(suite, options, progress)
    typer.echo(table(record))
    return record


def _record(suite: str, options: dict[str, Any], outputs_dir: str) -> dict[str, Any]:
    from chatter_nb.base.wording import count
    from chatter_nb.bench.history import append, history_path, read_history
    from chatter_nb.bench.measure import against_history, measure

    path = history_path(outputs_dir)
    repeats = options.pop("repeats")
    with _reporting() as progress:
        measurement = measure(
            suite, options, LEAST_SAMPLES if repeats is None else repeats, progress
        )
    history, damaged = read_history(path)
    append(path, measurement)
    for sentence in damaged:
        typer.echo(f"note: {sentence}", err=True)
    typer.echo(f"{suite}: {against_history(measurement, history)}")
    typer.echo(f"{path}: {count(len(history) + 1, 'measurement')}")
    return measurement.model_dump()


def _check(suite: str, options: dict[str, Any], ref: str) -> dict[str, Any]:
    from chatter_nb.bench.regress import check

    repeats = options.pop("repeats")
    try:
        with _reporting() as progress:
            outcome = check(suite, options, ref, repeats, progress)
    except EngineError as error:  # must not be taken for a slow-down
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(FAILED_ROUND) from error
    typer.echo(str(outcome))
    return outcome.as_dict()
