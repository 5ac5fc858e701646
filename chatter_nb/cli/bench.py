"""`bench`: a workload as bare calls and as ours."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from chatter_nb.base.disk import write_error
from chatter_nb.base.errors import EngineError, InputError

REGRESSION, FAILED_ROUND = 1, 3  # exit codes of --check


def bench(
    suite: Annotated[
        str,
        typer.Argument(
            help="Which workload: embedded, convert, batch, form, load, serve, overhead, t3, s3gen "
            "or pipeline."
        ),
    ],
    chunks: Annotated[int | None, typer.Option(help="How many chunks.")] = None,
    tokens: Annotated[int | None, typer.Option(help="Speech tokens a chunk, 25 a second.")] = None,
    rows: Annotated[
        int | None, typer.Option(help="Chunks decoded together; 0: our choice.")
    ] = None,
    repeats: Annotated[int | None, typer.Option(help="Timed rounds after the warm-up.")] = None,
    seeds: Annotated[int | None, typer.Option(help="How many seeds, each timed once more.")] = None,
    voices: Annotated[int | None, typer.Option(help="How many voices, likewise: 1 or 2.")] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="A folder of model files; else a random one is made, once.")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="chatterbox, chatterbox-multilingual or chatterbox-turbo; for overhead, hibari."
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = None,
    precision: Annotated[str | None, typer.Option(help="exact, fast or auto, for ours.")] = None,
    prompt_s: Annotated[
        float | None, typer.Option(help="Seconds of the voice's prompt, for S3Gen.")
    ] = None,
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
) -> None:
    """Time a workload as bare calls and as ours, in turn, and print both.

    Each suite takes some of the options, and has defaults of its own for them. With --record or
    --check ours is timed alone, whole runs, at least 5 rounds: against earlier measurements in the
    history, or against another commit, in turn. Slower by a tenth and more, beyond chance, is a
    regression.
    """
    given: dict[str, Any] = {
        "chunks": chunks,
        "tokens": tokens,
        "rows": rows,
        "seeds": seeds,
    }
    given |= {"voices": voices, "precision": precision, "prompt_s": prompt_s}
    given |= {"checkpoint": checkpoint, "engine": engine, "device": device}
    _check_choice(record, check, baseline)
    if json_file:
        _can_write(json_file)
    with _ended_in_order():
        if record:
            made = _record(suite, given, repeats, outputs_dir)
        elif check:
            made = _check(suite, given, repeats, baseline or "")
        else:
            made = _compare(suite, given | {"repeats": repeats})
    if json_file:
        json_file.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    if check and not made["same_work"]:
        raise typer.Exit(InputError.exit_code)
    if check and made["verdict"]["regression"]:
        raise typer.Exit(REGRESSION)


def _check_choice(record: bool, check: bool, baseline: str | None) -> None:
    if record and check:
        raise InputError("--record and --check are two things: give one of them")
    if check and not baseline:
        raise InputError("--check needs --baseline: a commit such as HEAD~1, to compare with")
    if baseline and not check:
        raise InputError("--baseline is for --check: give both")


def _can_write(path: Path) -> None:
    """Before minutes of work: is there a place for what comes of it?"""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()
    except OSError as error:
        raise write_error(path, error) from error


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM, as CI sends it, ends the block as Ctrl-C does: what it laid out is removed, and the
    servers and rounds that it began end with it.
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
    """What is being done: for a person on one line, with the time so far; in a log a line each."""
    if not sys.stderr.isatty():
        yield lambda told: typer.echo(told, err=True)
        return
    from tqdm import tqdm

    with tqdm(bar_format="{elapsed} {desc}", leave=False, dynamic_ncols=True) as bar:
        yield bar.set_description_str


def _compare(suite: str, given: dict[str, Any]) -> dict[str, Any]:
    from chatter_nb.bench.harness import table
    from chatter_nb.bench.suites import run_suite

    with _reporting() as progress:
        made = run_suite(suite, given, progress)
    typer.echo(table(made))
    return made


def _record(
    suite: str, given: dict[str, Any], repeats: int | None, outputs_dir: str
) -> dict[str, Any]:
    from chatter_nb.base.wording import count
    from chatter_nb.bench.history import append, history_path, read_history
    from chatter_nb.bench.measure import measure, told
    from chatter_nb.bench.ranks import LEAST_SAMPLES

    path = history_path(outputs_dir)
    asked = repeats if repeats is not None else LEAST_SAMPLES
    with _reporting() as progress:
        measurement = measure(suite, given, asked, progress)
    history, damaged = read_history(path)
    append(path, measurement)
    for sentence in damaged:
        typer.echo(f"note: {sentence}", err=True)
    typer.echo(f"{suite}: {told(measurement, history)}")
    typer.echo(f"{path}: {count(len(history) + 1, 'measurement')}")
    return measurement.model_dump()


def _check(suite: str, given: dict[str, Any], repeats: int | None, ref: str) -> dict[str, Any]:
    from chatter_nb.bench.regress import check

    try:
        with _reporting() as progress:
            found = check(suite, given, ref, repeats, progress)
    except EngineError as error:  # must not be taken for a slow-down
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(FAILED_ROUND) from error
    typer.echo(str(found))
    return found.as_dict()
