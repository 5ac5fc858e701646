"""Reads the one table of English rules, `english.txt`, whose head tells its form."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import NamedTuple

from chatter_nb.text.in_full import ABBREVIATION, expansion
from chatter_nb.text.spoken import measures, words
from chatter_nb.text.spoken.capitals import in_capitals
from chatter_nb.text.spoken.words import cardinal, from_roman, number, one_by_one, ordinal, year

Say = Callable[[re.Match[str]], str]
_ROW = re.compile(r"(?m)^(?:([A-Z_]+) = (.+)|near (.+)|([a-z]+): (.+?) => (.+?)(?: << (.+))?)$")
_PIECE = re.compile(r"\{(?:(\w+):)?([A-Z_]+)\}")
_OPTIONAL = re.compile(r"\[([^\[\]]*\{(\w+)\|\w+\}[^\[\]]*)\]")
_FIELD = re.compile(r"\{(\w*)\|(\w+)\}")
_FUNCTIONS: dict[str, Say] = {
    say.__name__: say for say in (expansion, in_capitals, measures.measure, measures.money)
}


class Rule(NamedTuple):
    """`say` returns what is said for `group` of a match, before which `after` matches, if any."""

    name: str
    pattern: re.Pattern[str]
    group: str | int
    after: re.Pattern[str] | None
    say: Say


@cache
def rules() -> list[tuple[re.Pattern[str], list[Rule]]]:
    """All rules of English in their order, by the patterns that they match near to."""
    pieces = {
        name.upper(): _any_of(entry.split(":")[0] or ":" for entry in entries)
        for name, entries in words.LISTS.items()
    }
    pieces |= {"ABBREVIATION": ABBREVIATION.pattern, "UNITS": _any_of(measures.UNITS)}
    groups: list[tuple[re.Pattern[str], list[Rule]]] = []
    for row in _ROW.finditer(words.TABLE):
        piece, its_pattern, near, name, written, said, after = row.groups()
        if piece:
            pieces[piece] = _filled(its_pattern, pieces)
        elif near:
            groups.append((re.compile(near), []))
        else:
            pattern = re.compile(_filled(written, pieces))
            before = re.compile(rf"(?:{_filled(after, pieces)})\Z") if after else None
            say = _FUNCTIONS[said[1:]] if said[0] == "!" else partial(_fill, said)
            group = "it" if "it" in pattern.groupindex else 0
            groups[-1][1].append(Rule(name, pattern, group, before, say))
    return groups


def _any_of(texts: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, texts), key=len, reverse=True))


def _filled(pattern: str, pieces: dict[str, str]) -> str:
    digits = re.sub(r"\[[^]]*\]|\\d", lambda m: m[0] if m[0] != r"\d" else "[0-9]", pattern)
    return _PIECE.sub(
        lambda p: f"(?P<{p[1]}>{pieces[p[2]]})" if p[1] else f"(?:{pieces[p[2]]})", digits
    )


def _fill(template: str, match: re.Match[str]) -> str:
    kept = _OPTIONAL.sub(lambda part: part[1] if match[part[2]] else "", template)
    return _FIELD.sub(lambda field: _HOW[field[2]](match[field[1] or 0]), kept)


_SUPER = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−", "0123456789--", "^+")
_IN_ADDRESSES = words.pairs("in_addresses") | {":": "colon"}
_MONTHS = {
    key: month
    for at, month in enumerate(words.LISTS["months"], 1)
    for key in (f"{at}", f"{at:02}", month[:3])
}


def _count(digits: str) -> str:
    return cardinal(re.sub(r"\D|^0+(?=.)", "", digits))


def _clock(written: str, whole: str = "") -> str:
    hour, minutes, seconds = [*re.split("[:.]", written), "", ""][:3]
    said = _count(hour) + (f" {year(minutes)}" if minutes.strip("0") else "")
    if seconds:
        return f"{said} and {_count(seconds)} second{'' if seconds == '01' else 's'}"
    return said + whole if minutes == "00" else said


def _power(written: str) -> str:
    exponent = written.translate(_SUPER)
    return ("minus " if exponent[0] == "-" else "") + cardinal(exponent.lstrip("-"))


def _raised(written: str) -> str:
    known = {"2": "squared", "3": "cubed"}
    return known.get(written.translate(_SUPER)) or f"to the power of {_power(written)}"


def _short(digits: str) -> str:
    return cardinal(digits) if len(digits) < 3 else one_by_one(digits)


def _address(written: str) -> str:
    parts = re.findall(r"[^\W\d_]+|\d+|.", re.sub(r"^\w+://", "", written))
    return " ".join(_short(p) if p.isdecimal() else _IN_ADDRESSES.get(p, p) for p in parts)


# How a group of a match is said: `{group|how}`.
_HOW: dict[str, Callable[[str], str]] = {
    "number": number, "n": _count, "short": _short, "ordinal": ordinal, "year": year,
    "power": _power, "raised": _raised, "address": _address,
    "units": measures.units,
    "amount": measures.amount, "clock": _clock, "oclock": lambda time: _clock(time, " o'clock"),
    "half": lambda letter: f"{letter.lower()}.m.",
    "month": lambda written: _MONTHS[written[:3].capitalize()],
    "points": lambda written: " point ".join(map(cardinal, written.split("."))),
    "dots": lambda written: " dot ".join(map(cardinal, written.split("."))),
    "decade": lambda written: re.sub("y$", "ie", year(re.sub(r"\D", "", written))) + "s",
    "code": lambda written: ", ".join(one_by_one(n) or n for n in re.findall(r"\d+|[Xx]", written)),
    "roman": lambda numeral: cardinal(from_roman(numeral)),
    "Roman": lambda numeral: cardinal(from_roman(numeral)).capitalize(),
    "romanth": lambda numeral: ordinal(from_roman(numeral)),
    "title": lambda written: words.pairs("titles")[written.capitalize()],
    "after": words.pairs("after_names").__getitem__, "wind": words.pairs("winds").__getitem__,
}  # fmt: skip
