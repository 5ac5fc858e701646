"""Compares the parameters of runs: which differ, which are equal, where the page shows them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from chatter_nb.pages.doubts import is_checked
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.runs.record import RunRecord

# Besides the gallery's fixed columns, on a laptop's screen; chunks in doubt take one.
MAX_COLUMNS = 3
SHORT = 14  # characters that fit into a column
NOTHING = "–"
WORTH = 0.1  # least share of runs with an unusual value for which a parameter gets a column
SUBJECTS = ("text", "text_file", "source")  # what a run speaks or converts

# The first three do not influence the audio; the others have fixed columns.
_NOT_COMPARED = {"run_name", "outputs_dir", "interactive", "engine", "seed", "voice", "target"}
_AMONG_LINKS = {"formats", "wav_bits"}  # the links to a run's files show them
_KINDS = {"speak": "Speech", "convert": "Conversions"}


@dataclass(frozen=True)
class Shared:
    """Parameters with the same value in all runs of a kind: set ones (`chosen`), and defaults."""

    label: str
    chosen: dict[str, str]
    defaults: dict[str, str]


@dataclass(frozen=True)
class Contrast:
    """Names of the parameters that differ, by the place that shows them; and the equal ones."""

    columns: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    numbers: frozenset[str] = frozenset()  # parameters that are sorted as numbers
    shared: tuple[Shared, ...] = ()


def contrast(records: Sequence[RunRecord]) -> Contrast:
    """Compare the parameters of all runs that have them."""
    names = list(dict.fromkeys(name for record in records for name in record.params))
    differing = [name for name in names if name not in _NOT_COMPARED and _differs(name, records)]
    rest = [name for name in differing if name not in SUBJECTS]
    short = [name for name in rest if name not in _AMONG_LINKS and _is_short(name, records)]
    unusual = {name: _unusual_runs(name, records) for name in short}
    room = MAX_COLUMNS - any(map(is_checked, records))
    telling = sorted(short, key=lambda name: unusual[name], reverse=True)[:room]
    columns = [name for name in telling if unusual[name] >= WORTH * len(records)]
    return Contrast(
        columns=tuple(name for name in short if name in columns),
        listed=tuple(name for name in rest if name not in columns),
        subjects=tuple(name for name in differing if name in SUBJECTS),
        numbers=frozenset(name for name in rest if _is_number(name, records)),
        shared=tuple(_shared(records, set(differing) | _NOT_COMPARED)),
    )


def is_default(record: RunRecord, name: str) -> bool:
    """Return if a run has the parameter, at its default."""
    return name in record.params and record.params[name] == _defaults(record.kind).get(name, ...)


def sort_key(value: Any) -> str:
    """Return the text by which the page sorts a parameter's values."""
    shown = in_words(value)
    return "" if shown == NOTHING else str(int(value)) if isinstance(value, bool) else shown


def subject(record: RunRecord, contrast: Contrast) -> tuple[str, str]:
    """Return the parameter (and its value) that names a run's text or source, if it differs."""
    for name in SUBJECTS:
        if name in contrast.subjects and record.params.get(name):
            return name, str(record.params[name])
    return "", ""


def in_words(value: Any) -> str:
    """Return a parameter's value as people read it."""
    if value is None or value == "" or value == [] or value == {}:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(in_words, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shared(records: Sequence[RunRecord], left_out: set[str]) -> Iterable[Shared]:
    kinds = {record.kind: record for record in records}
    for kind, record in sorted(kinds.items(), reverse=True):  # speech first
        same = {name: value for name, value in record.params.items() if name not in left_out}
        chosen = {name: in_words(v) for name, v in same.items() if not is_default(record, name)}
        defaults = {name: in_words(v) for name, v in same.items() if is_default(record, name)}
        yield Shared(_KINDS[kind] if len(kinds) > 1 else "All runs", chosen, defaults)


def _differs(name: str, records: Sequence[RunRecord]) -> bool:
    return len({_canonical(r.params[name]) for r in records if name in r.params}) > 1


def _unusual_runs(name: str, records: Sequence[RunRecord]) -> int:
    """Return how many runs have another value than the most frequent value."""
    values = Counter(_canonical(record.params[name]) for record in records if name in record.params)
    return values.total() - max(values.values())


def _is_short(name: str, records: Sequence[RunRecord]) -> bool:
    return all(len(in_words(record.params.get(name))) <= SHORT for record in records)


def _is_number(name: str, records: Sequence[RunRecord]) -> bool:
    values = [record.params.get(name) for record in records]
    return all(value is None or isinstance(value, int | float) for value in values)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


@cache
def _defaults(kind: str) -> Mapping[str, Any]:
    """Return the defaults as a record holds them: JSON has no tuples."""
    params = ConvertParams if kind == "convert" else SpeakParams
    defaults = {name: field.default for name, field in params.model_fields.items()}
    return json.loads(json.dumps(defaults))
