"""Parameter files and a grid of values become one validated set of parameters for each run."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from chatter_nb.base.errors import InputError, ParamError, Problems, shorten, shown
from chatter_nb.base.project import find_path, resolve_path
from chatter_nb.batch.choices import marked_runs
from chatter_nb.params.base import read_file
from chatter_nb.params.runs import AnyParams, ConvertParams, SpeakParams, kind_of
from chatter_nb.runs.folder import RECORD
from chatter_nb.text.files import natural_key

MAX_CELLS = 100_000
_WILD = re.compile(r"[*?\[]")
_NAME_BYTES, _VALUE_CHARS = 110, 24  # a short hash may follow


def find_files(patterns: Sequence[str], problems: Problems) -> list[Path]:
    """The absolute paths that names and patterns stand for, each once.

    The files of a pattern come in natural order. A gallery's choices.json stands for the records of
    the runs that it keeps. A name or a pattern without a file is added to `problems`.
    """
    matches = [problems.of(partial(_matches, pattern)) or [] for pattern in patterns]
    return list(dict.fromkeys(itertools.chain.from_iterable(matches)))


def _matches(pattern: str) -> list[Path]:
    path = find_path(pattern)
    here = Path(pattern).expanduser()
    if path.name.startswith("choices") and path.suffix == ".json" and path.is_file():
        return [folder / RECORD for folder in marked_runs(path.resolve(), "keep")]
    if path.is_file():
        return [path.resolve()]
    if path.is_dir():
        raise InputError(f"{pattern} is a folder: write {pattern.rstrip('/')}/*.yaml")
    if not _WILD.search(pattern):
        raise InputError(f"there is no parameter file {pattern}")
    # From the working directory, as a shell would, or from the project's root.
    for root in (Path.cwd(), resolve_path("")):
        names = pattern if not here.is_absolute() else str(here.relative_to(here.anchor))
        start = root if not here.is_absolute() else Path(here.anchor)
        matches = [path.resolve() for path in start.glob(names) if path.is_file()]
        if matches:
            return sorted(matches, key=lambda path: natural_key(str(path)))
    raise InputError(f"no parameter file matches {pattern}")


def parse_grid(texts: Sequence[str]) -> dict[str, list[Any]]:
    """The values of each parameter, from texts such as `seed=1,2`.

    Values with commas are written as a JSON list: `text=["a, b", "c"]`. Raises `InputError` for a
    text of another form, and for a parameter that comes twice.
    """
    grid: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, listed = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise InputError(f"--grid {shown(text)} must be name=value,value")
        if name in grid:
            raise InputError(f"--grid {name} is given twice: list all its values in one")
        grid[name] = _values(text, listed.strip())
    return grid


def _values(text: str, listed: str) -> list[Any]:
    if listed.startswith("["):
        try:
            return list(json.loads(listed))
        except (ValueError, RecursionError) as error:
            reason = shorten(str(error), 200)
            raise InputError(f"--grid {shown(text)} is not a JSON list: {reason}") from error
    return [part.strip() for part in listed.split(",")]


def expand(
    kind: type[AnyParams] | None,
    files: Sequence[Path],
    extra: Mapping[str, Any],
    grid: Mapping[str, Sequence[Any]],
    problems: Problems,
) -> list[AnyParams]:
    """Each file with each combination of the grid's values, validated; `extra` is set in all.

    `kind` is the class of parameters that the notebook takes; with None each file's own names
    decide. With a grid a run is named after its file and its values, `demo-seed1-speed0.9`. Runs
    that are not valid are left out, and the reasons are added to `problems`.
    """
    problems.of(partial(_check_grid, grid, extra))
    cells = problems.of(partial(_combinations, len(files), grid)) or []
    pairs = itertools.product(files, cells)
    results = [problems.of(partial(_params, kind, file, extra, cell)) for file, cell in pairs]
    runs = [params for params in results if params]
    return _with_distinct_names(runs) if grid else runs


def _with_distinct_names(runs: list[AnyParams]) -> list[AnyParams]:
    """Runs of the same name get a short hash of all their parameters at its end."""
    numbers = Counter(params.run_name for params in runs)
    return [
        params.model_copy(update={"run_name": f"{params.run_name}-{params.digest()}"})
        if numbers[params.run_name] > 1
        else params
        for params in runs
    ]


def _check_grid(grid: Mapping[str, Sequence[Any]], extra: Mapping[str, Any]) -> None:
    for name, values in grid.items():
        if name in ("run_name", "outputs_dir", "interactive"):
            raise InputError(f"{name} cannot be in the grid: it changes nothing that is heard")
        if name in extra:
            raise InputError(f"{name} is set for all runs and in the grid: keep one")
        if not values:
            raise InputError(f"the grid gives {name} no value")
        numbers = Counter(map(json.dumps, values))
        twice = sorted(value for value, number in numbers.items() if number > 1)
        if twice:
            raise InputError(f"the grid gives {name} the value {', '.join(twice)} twice")


def _combinations(files: int, grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the grid's values; a single empty one without a grid."""
    if files * math.prod(map(len, grid.values())) > MAX_CELLS:
        raise InputError(f"the grid has over {MAX_CELLS} cells: choose fewer values")
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _params(
    kind: type[AnyParams] | None, file: Path, extra: Mapping[str, Any], cell: Mapping[str, Any]
) -> AnyParams:
    names = read_file(file).keys()
    params_class = kind or kind_of(names)
    if other := _other_kind(params_class, names):
        raise InputError(f"{file}: parameters of {other}, which this notebook does not do")
    try:
        params = params_class.from_file(file, {**extra, **cell})
    except ParamError as error:
        values = ", ".join(f"{name}={value}" for name, value in cell.items())
        raise ParamError(f"{error} (with {values})" if cell else str(error)) from None
    if not cell:
        return params
    parts = [params.run_name, *(f"{name}{_slug(value)}" for name, value in cell.items())]
    name = "-".join(parts).encode()[:_NAME_BYTES].decode(errors="ignore").rstrip(". ")
    return params.model_copy(update={"run_name": name})


def _other_kind(kind: type[AnyParams], names: Collection[str]) -> str:
    """ "speech" or "conversion" if the names fit that other kind and not this one, else ""."""
    kinds = {"speech": SpeakParams.model_fields, "conversion": ConvertParams.model_fields}
    for other, fields in kinds.items():
        foreign = fields.keys() - kind.model_fields.keys()
        particular = kind.model_fields.keys() - fields.keys()
        if foreign & set(names) and not particular & set(names):
            return other
    return ""


def _slug(value: Any) -> str:
    """A value as part of a folder's name, at most 24 characters; a path is named by its stem."""
    text = Path(value).stem if isinstance(value, str) and "/" in value else str(value)
    return re.sub(r"[^\w.+-]+", "-", text)[:_VALUE_CHARS].strip("-.") or "-"
