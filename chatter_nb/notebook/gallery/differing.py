"""What differs between runs, and what they have in common: each is told where it says most."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.runs.record import RunRecord

MAX_COLUMNS = 3  # beside the gallery's own eleven, on a laptop's screen
SHORT = 14  # characters that a column has room for
NOTHING = "–"
WORTH = 0.1  # a column in which fewer runs stand out is mostly empty: those few tell it themselves
SUBJECTS = ("text", "text_file", "source")  # what a run speaks or converts

# Where a result goes says nothing of it; the others have columns of their own, as they came out.
_NOT_COMPARED = {"run_name", "outputs_dir", "interactive", "engine", "seed", "voice", "target"}
_AMONG_LINKS = {"formats", "wav_bits"}  # a file each, which the row links
_KINDS = {"speak": "Speech", "convert": "Conversions"}


@dataclass(frozen=True)
class Shared:
    """Parameters that are the same in all runs of a kind: those that were set, and the others."""

    label: str
    chosen: dict[str, str]
    defaults: dict[str, str]


@dataclass(frozen=True)
class Contrast:
    """The names of parameters that differ, by where they are shown, and the values of the rest."""

    columns: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    numbers: frozenset[str] = frozenset()  # those of them that sort as numbers
    shared: tuple[Shared, ...] = ()


def contrast(records: Sequence[RunRecord]) -> Contrast:
    """Compare all runs; a parameter that only one kind of run has is compared within that kind."""
    names = list(dict.fromkeys(name for record in records for name in record.params))
    differing = [name for name in names if name not in _NOT_COMPARED and _differs(name, records)]
    rest = [name for name in differing if name not in SUBJECTS]
    short = [name for name in rest if name not in _AMONG_LINKS and _is_short(name, records)]
    odd = {name: _odd_ones(name, records) for name in short}
    telling = sorted(short, key=lambda name: odd[name], reverse=True)[:MAX_COLUMNS]
    columns = [name for name in short if name in telling and odd[name] >= WORTH * len(records)]
    return Contrast(
        columns=tuple(columns),
        listed=tuple(name for name in rest if name not in columns),
        subjects=tuple(name for name in differing if name in SUBJECTS),
        numbers=frozenset(name for name in rest if _is_number(name, records)),
        shared=tuple(_shared(records, set(differing) | _NOT_COMPARED)),
    )


def is_default(record: RunRecord, name: str) -> bool:
    return name in record.params and record.params[name] == _defaults(record.kind).get(name, ...)


def told(value: Any) -> str:
    """A parameter's value for people."""
    if value is None or value == "" or value == [] or value == {}:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(told, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shared(records: Sequence[RunRecord], left_out: set[str]) -> Iterable[Shared]:
    kinds = {record.kind: record for record in records}
    for kind, record in sorted(kinds.items(), reverse=True):  # speech first
        same = {name: value for name, value in record.params.items() if name not in left_out}
        chosen = {name: told(v) for name, v in same.items() if not is_default(record, name)}
        defaults = {name: told(v) for name, v in same.items() if is_default(record, name)}
        yield Shared(_KINDS[kind] if len(kinds) > 1 else "All runs", chosen, defaults)


def _differs(name: str, records: Sequence[RunRecord]) -> bool:
    return len({_canonical(r.params[name]) for r in records if name in r.params}) > 1


def _odd_ones(name: str, records: Sequence[RunRecord]) -> int:
    """How many runs have another value than most: a column that says little is the first to go."""
    found = Counter(_canonical(record.params[name]) for record in records if name in record.params)
    return found.total() - max(found.values())


def _is_short(name: str, records: Sequence[RunRecord]) -> bool:
    return all(len(told(record.params.get(name))) <= SHORT for record in records)


def _is_number(name: str, records: Sequence[RunRecord]) -> bool:
    values = [record.params.get(name) for record in records]
    return all(value is None or isinstance(value, int | float) for value in values)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


@cache
def _defaults(kind: str) -> Mapping[str, Any]:
    """As they stand in a record: JSON knows no tuples."""
    params = ConvertParams if kind == "convert" else SpeakParams
    found = {name: field.default for name, field in params.model_fields.items()}
    return json.loads(json.dumps(found))
