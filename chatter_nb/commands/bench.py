"""`bench`: a workload as bare calls and as ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from chatter_nb.errors import InputError


def bench(
    suite: Annotated[
        str,
        typer.Argument(
            help="Which workload: embedded, convert, batch, form, load, overhead, t3, s3gen, pipeline."
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
        bool, typer.Option("--check", help="Is ours slower than --baseline? Exit code 1 if so.")
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
    if record:
        made = _record(suite, given, repeats, outputs_dir)
    elif check:
        made = _check(suite, given, repeats, baseline or "")
    else:
        made = _compare(suite, given | {"repeats": repeats})
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    if check and made["verdict"]["regression"]:
        raise typer.Exit(1)


def _check_choice(record: bool, check: bool, baseline: str | None) -> None:
    if record and check:
        raise InputError("--record and --check are two things: give one of them")
    if check and not baseline:
        raise InputError("--check needs --baseline: a commit such as HEAD~1, to compare with")
    if baseline and not check:
        raise InputError("--baseline is for --check: give both")


def _progress(told: str) -> None:
    typer.echo(told, err=True)


def _compare(suite: str, given: dict[str, Any]) -> dict[str, Any]:
    from chatter_nb.bench import table
    from chatter_nb.suites import run_suite

    made = run_suite(suite, given, _progress)
    typer.echo(table(made))
    return made


def _record(
    suite: str, given: dict[str, Any], repeats: int | None, outputs_dir: str
) -> dict[str, Any]:
    from chatter_nb.measuring.history import append, history_path, read_history
    from chatter_nb.measuring.measure import measure, told
    from chatter_nb.planning import count
    from chatter_nb.ranks import LEAST_SAMPLES

    path = history_path(outputs_dir)
    measurement = measure(
        suite, given, repeats if repeats is not None else LEAST_SAMPLES, _progress
    )
    history, damaged = read_history(path)
    append(path, measurement)
    for sentence in damaged:
        typer.echo(f"note: {sentence}", err=True)
    typer.echo(f"{suite}: {told(measurement, history)}")
    typer.echo(f"{path}: {count(len(history) + 1, 'measurement')}")
    return measurement.model_dump()


def _check(suite: str, given: dict[str, Any], repeats: int | None, ref: str) -> dict[str, Any]:
    from chatter_nb.measuring.regress import check

    found = check(suite, given, ref, repeats, _progress)
    typer.echo(str(found))
    return found.as_dict()
