"""The command line: `chatter-nb …`. Thin: every command calls one function and prints what it says.

Exit codes: 0 done, 1 failed run, 2 bad input, 130 interrupted (run the same again to resume).
"""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from chatter_nb import __version__
from chatter_nb.errors import ChatterError, InputError
from chatter_nb.params import ConvertParams, SpeakParams, kind_of
from chatter_nb.project import resolve_path
from chatter_nb.strict import read_file

if TYPE_CHECKING:
    from chatter_nb.speech import Speech

Params = TypeVar("Params", SpeakParams, ConvertParams)

INTERRUPTED = 130

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Text to speech and voice conversion as parameterised notebooks, and without them.",
)

FileOption = Annotated[Path | None, typer.Option("-f", "--file", help="A YAML parameter file.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("-p", "--param", help="name=value, over the file's. May be given several times."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines, nothing else.")]


@app.command()
def speak(file: FileOption = None, param: SetOption = None, as_json: JsonOption = False) -> None:
    """Speak a text: one run, no notebook."""
    from chatter_nb.plan import plan_speech
    from chatter_nb.show import progress_bar
    from chatter_nb.speak import render_speech

    params = _params(SpeakParams, file, param)
    _announce(params.engine, as_json)
    plan = plan_speech(params)
    if not as_json:
        typer.echo(str(plan))
    bar = progress_bar(len(plan.chunks)) if sys.stderr.isatty() or not as_json else None
    with _stop_on_interrupt("chunk") as stopped:
        _tell(render_speech(plan, bar, stopped), plan.warnings, as_json)


@app.command()
def convert(file: FileOption = None, param: SetOption = None, as_json: JsonOption = False) -> None:
    """Convert a recording, or a folder of them, into another voice."""
    from chatter_nb.convert import plan_conversion, render_conversion
    from chatter_nb.show import progress_bar

    params = _params(ConvertParams, file, param)
    _announce(params.engine, as_json)
    plan = plan_conversion(params)
    if not as_json:
        typer.echo(str(plan))
    watched = sys.stderr.isatty() or not as_json
    bar = progress_bar(len(plan.windows), unit="window") if watched else None
    with _stop_on_interrupt("window") as stopped:
        _tell(render_conversion(plan, bar, stopped), plan.warnings, as_json)


def _announce(engine: str, as_json: bool) -> None:
    """Before half a minute of silence."""
    if engine.startswith("chatterbox") and not as_json:
        typer.echo(f"loading {engine}: some 20 s, most of them for its libraries", err=True)


def _tell(speech: Speech, told: Sequence[str], as_json: bool) -> None:
    for warning in speech.record.warnings:
        if as_json or warning not in told:  # the plan's are told before the run
            typer.echo(f"note: {warning}", err=True)
    typer.echo(speech.record.model_dump_json(by_alias=True) if as_json else str(speech))


@app.command()
def voices(
    folder: Annotated[str, typer.Option("--dir", help="A folder of recordings.")] = "",
    outputs_dir: Annotated[str, typer.Option(help="Whose voices/ to list.")] = "outputs",
    as_json: JsonOption = False,
) -> None:
    """List the voices that `voice` and `target` can name, with what is doubtful about each."""
    from chatter_nb.voices import FOLDER, survey

    place = resolve_path(folder) if folder else resolve_path(outputs_dir) / FOLDER
    found = survey(place) if folder or place.is_dir() else []
    if as_json:
        return typer.echo(json.dumps([voice.as_dict() for voice in found], ensure_ascii=False))
    for voice in found:
        typer.echo(str(voice))
    if not found:
        typer.echo(f"no voices in {place}: put recordings of 6 to 15 s there, named as you like")


@app.command()
def fetch(
    model: Annotated[str, typer.Argument(help="Which model: chatterbox, chatterbox-turbo, …")],
) -> None:
    """Download a model's files ahead of time (1 to 3 GB), or say that they are here."""
    from chatter_nb.checkpoints import fetch

    typer.echo(f"{model}: {fetch(model)}")


@app.command()
def batch(
    notebook: Annotated[Path, typer.Argument(help="The notebook to run.")],
    files: Annotated[list[Path], typer.Argument(metavar="PARAMS...", help="YAML files.")],
    param: SetOption = None,
    out: Annotated[str, typer.Option(help="Folder of the runs, over outputs_dir.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Run a notebook headless, once for each parameter file, each into its run's folder."""
    from chatter_nb.batch import BatchRun, plan_batch, run_batch

    def tell(run: BatchRun) -> None:
        if not as_json:
            result = f"done, {run.params.run_dir()}" if run.speech else f"FAILED: {run.error}"
            typer.echo(f"{run.params.resolved_run_name()}: {result}\n")

    planned = plan_batch(notebook, files, overrides=_pairs(param), out=out)
    runs = run_batch(notebook, planned, done=tell, echo=not as_json)
    failed = [run for run in runs if run.error]
    if as_json:
        typer.echo(json.dumps([_batch_row(run) for run in runs], ensure_ascii=False))
    else:
        typer.echo(f"{len(runs) - len(failed)} done, {len(failed)} failed")
    if failed:
        raise typer.Exit(1)


def _batch_row(run: Any) -> dict[str, Any]:
    name = run.params.resolved_run_name()
    files = [str(path) for path in run.speech.files] if run.speech else []
    folder = str(run.params.run_dir())
    return {"run_name": name, "folder": folder, "files": files, "error": run.error or None}


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML files.")],
    as_json: JsonOption = False,
) -> None:
    """Check parameter files, and the texts they name, without speaking. Says every problem."""
    from chatter_nb.check import check_file

    findings = {str(file): check_file(file) for file in files}
    if as_json:
        problems = {name: found.problems for name, found in findings.items()}
        typer.echo(json.dumps(problems, ensure_ascii=False))
    else:
        for name, found in findings.items():
            verdict = "" if found.problems else "ok"
            typer.echo("\n  ".join([f"{name}: {verdict}", *found.problems, *found.notes]))
    if any(found.problems for found in findings.values()):
        raise typer.Exit(2)


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Say what is installed, which engine and device a run would use, and what to install."""
    from chatter_nb.doctor import examine

    report = examine()
    typer.echo(json.dumps(report.as_dict(), ensure_ascii=False) if as_json else str(report))
    if not report.can_speak:
        raise typer.Exit(1)


@app.command()
def clean(
    older_than: Annotated[
        str, typer.Option(help="Only chunks last used so long ago: 30d, 12h.")
    ] = "",
    unused: Annotated[
        bool, typer.Option("--unused", help="Only chunks that no run needs.")
    ] = False,
    outputs_dir: Annotated[str, typer.Option(help="The folder of the runs.")] = "outputs",
    as_json: JsonOption = False,
) -> None:
    """Prune the store of finished chunks. Without options it only says what is there."""
    from chatter_nb.chunkstore import ABANDONED_S, ChunkStore
    from chatter_nb.runs import find_records, remove_leftovers

    folder = resolve_path(outputs_dir)
    store = ChunkStore(folder)
    age_s = _seconds(older_than) if older_than else None
    if age_s is None and not unused:
        sizes = [size for _, size, _ in store.entries()]
        told = {"chunks": len(sizes), "bytes": sum(sizes), "removed": 0}
        said = (
            f"{len(sizes)} chunks, {sum(sizes) / 1e6:.1f} MB in {store.root}; "
            "to remove some: --unused, --older-than 30d"
        )
    else:
        records = [record for _, record in find_records(folder) if unused or record.status != "ok"]
        needed = {key for record in records for key in record.chunk_keys()}
        count, size = store.prune(older_than_s=age_s, keep=needed)
        size += remove_leftovers(folder, older_than_s=ABANDONED_S)
        told = {"removed": count, "bytes": size}
        said = f"removed {count} chunks, {size / 1e6:.1f} MB, from {store.root}"
    typer.echo(json.dumps(told) if as_json else said)


@app.command()
def bench(
    suite: Annotated[
        str, typer.Argument(help="Which workload: embedded, load, overhead, t3, s3gen, pipeline.")
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


@app.callback(invoke_without_command=True)
def _version(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point: errors become a sentence and an exit code; only bugs show a traceback."""
    try:
        app()
    except ChatterError as error:
        typer.echo("\n".join([f"error: {error}", *getattr(error, "__notes__", [])]), err=True)
        sys.exit(error.exit_code)
    except SystemExit as leaving:
        if leaving.code == INTERRUPTED:  # typer takes the KeyboardInterrupt and says nothing
            typer.echo("interrupted: what is finished is kept; run the same to resume", err=True)
        raise


def _params(kind: type[Params], file: Path | None, pairs: list[str] | None) -> Params:
    overrides = _pairs(pairs)
    if file:
        if kind_of(read_file(file)) is not kind:
            other = "convert" if kind is SpeakParams else "speak"
            raise InputError(f"{file} is a parameter file for: chatter-nb {other}")
        return kind.from_file(file, overrides)
    return kind.create(kind.coerce(overrides), where="-p")


def _pairs(texts: list[str] | None) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"-p {text!r} must be name=value")
        if name.strip() in pairs:
            raise InputError(f"-p {name.strip()} is given twice")
        pairs[name.strip()] = value
    return pairs


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip())
    if not found:
        raise InputError(
            f"--older-than {text!r} must be a number and one of s m h d w, such as 30d"
        )
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[found[2]]


@contextmanager
def _stop_on_interrupt(unit: str) -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C asks for a stop after the chunk in hand, the second stops at once."""
    asked = False

    def ask(signal_number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        typer.echo(f"\nstopping after this {unit}; Ctrl-C again stops at once", err=True)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
