"""Reads the one table of English rules, `english.txt`, whose head tells its form."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import NamedTuple

from chatter_nb.text.in_full import ABBREVIATION, expansion
from chatter_nb.text.spoken import measures
from chatter_nb.text.spoken.capitals import CAPITALS, in_capitals
from chatter_nb.text.spoken.words import (
    LISTS,
    TABLE,
    cardinal,
    from_roman,
    number,
    one_by_one,
    ordinal,
    pairs,
    plural,
    year,
)

Say = Callable[[re.Match[str]], str]
_ROW = re.compile(r"(?m)^(?:([A-Z_]+) = (.+)|([a-z]+): (.+) => (.*))$")
_PIECE = re.compile(r"\{(?:(\w+):)?([A-Z_]+)\}")
_OPTIONAL = re.compile(r"\[([^\[\]]*\{(\w+)\|\w+\}[^\[\]]*)\]")
_FIELD = re.compile(r"\{(\w*)\|(\w+)\}")
_FUNCTIONS: dict[str, Say] = {
    function.__name__: function
    for function in (expansion, measures.measure, measures.money, in_capitals)
}


class Rule(NamedTuple):
    """`say` returns what is said for a match of the pattern."""

    name: str
    pattern: re.Pattern[str]
    say: Say


@cache
def rules() -> tuple[Rule, ...]:
    """All rules of English, in their order."""
    pieces = {
        name.upper(): _any_of(entry.split(":")[0] or ":" for entry in entries)
        for name, entries in LISTS.items()
    }
    pieces |= {"ABBREVIATION": ABBREVIATION.pattern, "CAPITALS": CAPITALS}
    pieces["UNITS"] = _any_of(measures.UNITS)
    found = []
    for row in _ROW.finditer(TABLE):
        piece, its_pattern, name, pattern, said = row.groups()
        if piece:
            pieces[piece] = _filled(its_pattern, pieces)
        else:
            say = _FUNCTIONS[said[1:]] if said[0] == "!" else _sayer(said)
            found.append(Rule(name, re.compile(_filled(pattern, pieces)), say))
    return tuple(found)


def _any_of(words: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


def _filled(pattern: str, pieces: dict[str, str]) -> str:
    digits = re.sub(r"\[[^]]*\]|\\d", lambda m: m[0] if m[0] != r"\d" else "[0-9]", pattern)
    return _PIECE.sub(
        lambda p: f"(?P<{p[1]}>{pieces[p[2]]})" if p[1] else f"(?:{pieces[p[2]]})", digits
    )


def _sayer(template: str) -> Callable[[re.Match[str]], str]:
    def say(match: re.Match[str]) -> str:
        kept = _OPTIONAL.sub(lambda part: part[1] if match[part[2]] else "", template)
        return _FIELD.sub(lambda field: _HOW[field[2]](match[field[1] or 0]), kept)

    return say


_SUPER = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−", "0123456789--", "^+")
_IN_ADDRESSES = pairs("in_addresses") | {":": "colon"}
_FULL = pairs("titles") | pairs("after_names")


def _count(digits: str) -> str:
    return cardinal(str(int(digits)))


def _month(written: str) -> str:
    if written.isdecimal():
        return LISTS["months"][int(written) - 1]
    return next(name for name in LISTS["months"] if name.startswith(written[:3]))


def _clock(written: str, whole: str = "") -> str:
    hour, minutes, seconds = [*written.split(":"), "", ""][:3]
    said = _count(hour)
    if seconds or minutes not in ("", "00"):
        said += f" {year(minutes)}" if minutes != "00" else " hundred"
    if seconds:
        return f"{said} and {_count(seconds)} second{'' if seconds == '01' else 's'}"
    return said + whole if minutes == "00" else said


def _code(written: str) -> str:
    return ", ".join(one_by_one(part) or part for part in re.findall(r"\d+|[Xx]", written))


def _power(written: str) -> str:
    exponent = written.translate(_SUPER)
    return ("minus " if exponent[0] == "-" else "") + cardinal(exponent.lstrip("-"))


def _raised(written: str) -> str:
    squared = {"²": "squared", "^2": "squared", "³": "cubed", "^3": "cubed"}
    return squared.get(written) or f"to the power of {_power(written)}"


def _short(digits: str) -> str:
    return cardinal(digits) if len(digits) < 3 else one_by_one(digits)


def _address(written: str) -> str:
    parts = re.findall(r"[^\W\d_]+|\d+|.", re.sub(r"^\w+://", "", written))
    return " ".join(_short(p) if p.isdecimal() else _IN_ADDRESSES.get(p, p) for p in parts)


# How a group of a match is said: `{group|how}`.
_HOW: dict[str, Callable[[str], str]] = {
    "number": number,
    "n": _count,
    "whole": lambda written: cardinal(written.replace(".", "")),
    "short": _short,
    "ordinal": ordinal,
    "roman": lambda numeral: cardinal(from_roman(numeral)),
    "Roman": lambda numeral: cardinal(from_roman(numeral)).capitalize(),
    "romanth": lambda numeral: ordinal(from_roman(numeral)),
    "year": year,
    "decade": lambda written: plural(year(re.sub(r"\D", "", written))),
    "month": _month,
    "clock": _clock,
    "oclock": lambda written: _clock(written, " o'clock"),
    "half": lambda letter: f"{letter.lower()}.m.",
    "points": lambda written: " point ".join(map(cardinal, written.split("."))),
    "dots": lambda written: " dot ".join(map(cardinal, written.split("."))),
    "code": _code,
    "power": _power,
    "raised": _raised,
    "amount": measures.amount,
    "address": _address,
    "full": lambda written: _FULL.get(written) or _FULL[written.capitalize()],
    "wind": pairs("winds").__getitem__,
}
