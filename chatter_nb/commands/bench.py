"""`bench`: a workload as bare calls and as ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def bench(
    suite: Annotated[
        str,
        typer.Argument(
            help="Which workload: embedded, batch, load, overhead, t3, s3gen, pipeline."
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
        str | None, typer.Option(help="chatterbox, chatterbox-multilingual or chatterbox-turbo.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = None,
    precision: Annotated[str | None, typer.Option(help="exact, fast or auto, for ours.")] = None,
    prompt_s: Annotated[
        float | None, typer.Option(help="Seconds of the voice's prompt, for S3Gen.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the record here.")] = None,
) -> None:
    """Time a workload as bare calls and as ours, in turn, and print both.

    Each suite takes some of the options, and has defaults of its own for them.
    """
    from chatter_nb.bench import table
    from chatter_nb.suites import run_suite

    given: dict[str, Any] = {
        "chunks": chunks,
        "tokens": tokens,
        "rows": rows,
        "repeats": repeats,
        "seeds": seeds,
    }
    given |= {"voices": voices, "precision": precision, "prompt_s": prompt_s}
    given |= {"checkpoint": checkpoint, "engine": engine, "device": device}
    record = run_suite(suite, given, lambda told: typer.echo(told, err=True))
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    typer.echo(table(record))
