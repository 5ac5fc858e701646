"""Options that several commands share, and parameters from a file and from `-p`."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from chatter_nb.base.errors import InputError, shorten, shown
from chatter_nb.params.base import read_file
from chatter_nb.params.runs import MAPPINGS, ConvertParams, SpeakParams, kind_of

if TYPE_CHECKING:
    from chatter_nb.runs.lifecycle import Progress

Params = TypeVar("Params", SpeakParams, ConvertParams)
_DELAY_S, _LOG_S = 2, 30  # shorter work has no bar

FileOption = Annotated[
    Path | None, typer.Option("-f", "--file", help="A parameter file, or a run.json.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("-p", "--param", help="name=value, over the file's. May be given several times."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines, nothing else.")]


def option(name: str, kind: Any, default: Any, help: str) -> inspect.Parameter:
    """An option of a command for a field of a parameter object."""
    names = [f"--{name.replace('_', '-')}"] if kind is bool else []
    annotation = Annotated[kind, typer.Option(*names, help=help)]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def with_options(
    options: Iterable[inspect.Parameter],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace a command's `**options` by these; its arguments stay before them."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        *own, _ = inspect.signature(command, eval_str=True).parameters.values()
        own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
        ordered = sorted([*options, *own], key=lambda each: each.default is not each.empty)
        command.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
        return command

    return decorate


def params_of(
    kind: type[Params], file: Path | None, pairs: list[str] | None, given: Mapping[str, str]
) -> Params:
    """The parameters of a run, from a file, over it `-p` options and those that are `given`.

    `given` holds what stands on the command line without `-p`; an empty value is none, but for a
    source, which replaces the file's. Raises `InputError`, also for what is given in both ways.
    """
    overrides = pairs_of(pairs)
    given = {name: value for name, value in given.items() if value or name in kind.source_fields}
    if twice := sorted(overrides.keys() & given.keys()):
        raise InputError(
            f"-p {twice[0]}={shown(overrides[twice[0]])} is given without -p as well: keep one"
        )
    overrides |= given
    if file:
        if kind_of(read_file(file)) is not kind:
            other = "convert" if kind is SpeakParams else "speak"
            raise InputError(f"{file} is a parameter file for: chatter-nb {other}")
        return kind.from_file(file, overrides)
    if not overrides:
        verb, name = ("speak", "text") if kind is SpeakParams else ("convert", "source")
        raise InputError(
            f'give a {name} (chatter-nb {verb} "…"), a parameter file (-f FILE) or parameters, '
            f"such as: chatter-nb {verb} -p {name}=…"
        )
    return kind.create(kind.coerce(overrides), where="the command line")


def bar_of(total: int, *, as_json: bool, unit: str = "chunk") -> Callable[[Any], None] | None:
    """A progress bar of a run; None where nobody watches: JSON is wanted, and not on a terminal.

    A log, which keeps every line, gets one in half a minute.
    """
    is_watched = sys.stderr.isatty()
    if as_json and not is_watched:
        return None
    from tqdm import tqdm

    interval_s = 0.2 if is_watched else _LOG_S
    bar = tqdm(total=total, unit=unit, delay=_DELAY_S, mininterval=interval_s, leave=False)

    def update(progress: Progress) -> None:
        bar.set_postfix_str(f"{progress.audio_s:.0f} s of audio", refresh=False)
        bar.update(progress.done - bar.n)
        if progress.done == progress.total:
            bar.close()

    return update


def pairs_of(texts: list[str] | None, by: str = "-p", form: str = "name=value") -> dict[str, str]:
    """The values of `-p name=value` options, by name; those of a mapping as lines of one text.

    Raises `InputError`.
    """
    pairs: dict[str, str] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals:
            raise InputError(f"{by} {shown(text)} must be {form}")
        if name in pairs and name not in MAPPINGS:
            raise InputError(f"{by} {shorten(name, 80)} is given twice")
        pairs[name] = f"{pairs[name]}\n{value}" if name in pairs else value
    return pairs


def seconds_of(option: str, text: str) -> float:
    """The seconds in a length of time such as 30d or 12h. Raises `InputError`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip())
    if not match:
        raise InputError(
            f"{option} {shown(text)} must be a number and one of s m h d w, such as 30d"
        )
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[match[2]]
