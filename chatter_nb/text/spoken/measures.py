"""English words for amounts: fractions, units, money."""

from __future__ import annotations

import re
import unicodedata

from chatter_nb.text.spoken.words import cardinal, number, ordinal, pairs

_PREFIXES = pairs("prefixes")
UNITS = pairs("units")
UNITS |= {
    prefix + unit: _PREFIXES[prefix] + UNITS[unit]
    for unit, prefixes in pairs("with_prefixes").items()
    for prefix in prefixes
}
_MONEY, _SCALES, _PLURALS = map(pairs, ("money", "money_scales", "plurals"))
_SIGNS = {sign: f"{word} " for sign, word in pairs("signs").items()}


def part(whole: str | None, above: str, below: str) -> str:
    """A fraction in words: "three quarters", "two and a half"."""
    name = {"2": "half", "4": "quarter"}.get(below) or ordinal(below)
    count = "a" if whole and above == "1" else cardinal(above)
    said = f"{count} {name if above == '1' else _plural(name)}"
    return f"{cardinal(whole)} and {said}" if whole else said


def amount(written: str) -> str:
    """A number or fraction in words: "1,234.5", "2 1/2", "2½"."""
    plain = unicodedata.normalize("NFKC", re.sub(r"(?<=\d)(?=[¼½¾⅐-⅞])", " ", written))
    slashed = re.fullmatch(r"(?:(\d+)[ -])?(\d+)[/⁄](\d+)", plain)
    return part(*slashed.groups()) if slashed else number(plain)


def is_adjective(match: re.Match[str]) -> bool:
    """Whether an amount is said in the singular: "a $5 bill", "a 5 km walk", "a 5-km walk"."""
    text, start, end = match.string, match.start(), match.end()
    has_article = text[max(0, start - 3) : start].lower().strip() in ("a", "an")
    return text[end : end + 1] == "-" or (has_article and text[end : end + 2].strip().isalpha())


def measure(match: re.Match[str]) -> str:
    """What is said for a number with its unit: "five to ten kilometers per hour"."""
    unit, n = match["unit"], match["n"]
    is_one = match["gap"] == "-" or (n == "1" and not match["a"]) or is_adjective(match)
    said = f"{amount(match['a'])} to {amount(n)}" if match["a"] else amount(n)
    said = f"{_SIGNS.get(match['sign'], '')}{said} {units(unit, one=is_one)}"
    goes_on = re.compile(r"\s?[a-z0-9(,;:)]").match(match.string, match.end())
    return said if unit[-1] != "." or goes_on else f"{said}."


def units(unit: str, *, one: bool = False) -> str:
    """The words of a unit, many of them or one: "kilometers per hour"."""
    first, per, second = unit.removesuffix(".").partition("/")
    return _name(first, one=one) + (f" per {_name(second, one=True)}" if per else "")


def _name(unit: str, *, one: bool) -> str:
    power = re.search(r"\^?([2²3³])$", unit)
    name = UNITS[unit[: power.start()] if power else unit]
    before = "" if not power else "square " if power[1] in "2²" else "cubic "
    return before + (name if one else _plural(name))


def _plural(name: str) -> str:
    head, per, tail = name.partition(" per ")
    return (_PLURALS.get(head) or (head if head.endswith("z") else f"{head}s")) + per + tail


def money(match: re.Match[str]) -> str:
    """What is said for an amount of money: "three dollars and fifty cents"."""
    sign, scale, first = match["money"], match["scale"] or "", match["n"]
    last = match["to"] or first
    said = _money(last, match["again"] or sign, scale)
    if match["to"]:
        is_whole = match["again"] or ("." in first and not scale)
        said = f"{_money(first, sign, scale) if is_whole else number(first)} to {said}"
    if is_adjective(match):
        name = _MONEY[sign].split("/")[0]
        said = re.sub(rf"{_plural(name)}$", name, said)
    minus = _SIGNS.get(match["sign"] or match["inner"], "")
    return minus + said + (f" per {match['per']}" if match["per"] else "")


def _money(written: str, sign: str, scale: str) -> str:
    name, cent = _MONEY[sign].split("/")
    whole, _, cents = written.partition(".")
    if scale:
        return f"{number(written)} {_SCALES.get(scale.lower(), scale)} {_plural(name)}"
    if not (cent and len(cents) == 2):
        return f"{number(written)} {name if written == '1' else _plural(name)}"
    coins = [(re.sub(r"\D", "", whole) or "0", name), (cents.lstrip("0"), cent)]
    counted = [f"{number(n)} {unit if n == '1' else _plural(unit)}" for n, unit in coins if n]
    return " and ".join(counted[1:] if coins[0][0].strip("0") == "" and counted[1:] else counted)
