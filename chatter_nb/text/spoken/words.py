"""Numbers in words: English up to 10^66, other languages by CLDR's rules; Roman numerals."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pathlib import Path

from unicode_rbnf import FormatPurpose, RbnfEngine

TABLE = Path(__file__).with_name("english.txt").read_text("utf-8")
LISTS = {
    row[1]: [entry.replace("_", " ") for entry in row[2].split()]
    for row in re.finditer(r"(?m)^(\w+) := (.+)$", TABLE)
}


def pairs(name: str) -> dict[str, str]:
    """A list of pairs of the table as a dictionary."""
    return dict(entry.split(":") for entry in LISTS[name])


_ONES, _TENS, _SCALES = LISTS["ones"], LISTS["tens"], LISTS["scales"]
_ROMAN_DIGITS = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
# The word before decimals. The library's own are wrong in some languages; these are tested.
POINTS = pairs("points")
_engine = cache(RbnfEngine.for_language)


def cardinal(digits: str) -> str:
    """A whole number in words; digit by digit if it begins with 0, or has more than 66 digits."""
    if len(digits) > 3 * len(_SCALES) or (len(digits) > 1 and digits[0] == "0"):
        return one_by_one(digits)
    words: list[str] = []
    for power in range(0, len(digits), 3):
        group = int(digits[-power - 3 : len(digits) - power])
        scale = [_SCALES[power // 3]] if power else []
        words[:0] = [*_below_1000(group), *scale] if group else []
    return " ".join(words) or "zero"


def _below_1000(number: int) -> list[str]:
    hundreds, rest = divmod(number, 100)
    words = [_ONES[hundreds], "hundred"] if hundreds else []
    if 0 < rest < 20:
        return [*words, _ONES[rest]]
    ones = f"-{_ONES[rest % 10]}" if rest % 10 else ""
    return [*words, _TENS[rest // 10] + ones] if rest else words


def one_by_one(digits: str) -> str:
    """Each digit in words, other characters passed over: "zero zero seven"."""
    return " ".join(_ONES[int(digit)] for digit in digits if digit.isdecimal())


def number(written: str) -> str:
    """A number with its marks in words: "1,234.50", "25 000", ".5"."""
    whole, point, decimals = re.sub(r"[^0-9.]", "", written).partition(".")
    words = [cardinal(whole)] if whole else []
    return " ".join([*words, "point", one_by_one(decimals)] if point else words)


def ordinal(digits: str) -> str:
    """ "twenty-first" for "21" or "021"."""
    words = cardinal(re.sub(r"^0+(?=.)|\D", "", digits))
    last = re.split("[ -]", words)[-1]
    return words.removesuffix(last) + (
        pairs("ordinals").get(last) or re.sub("y$", "ie", last) + "th"
    )


def year(digits: str) -> str:
    """Four digits as a year: "nineteen oh five"; two as its end: "oh five"; others as a number."""
    if len(digits) == 2 and digits[0] == "0":
        return f"oh {_ONES[int(digits)]}"
    if len(digits) != 4 or digits[1:3] == "00" or not "10" <= digits[:2] <= "20":
        return cardinal(digits)
    return f"{cardinal(digits[:2])} {'hundred' if digits[2:] == '00' else year(digits[2:])}"


def from_roman(numeral: str) -> str:
    """The digits of a Roman numeral, in either case."""
    values = [_ROMAN_DIGITS[letter] for letter in numeral.upper()]
    after = [*values[1:], 0]
    return str(sum(-a if a < b else a for a, b in zip(values, after, strict=True)))


@lru_cache(4096)
def number_in(language: str, whole: str, decimals: str = "") -> str:
    """A number in words of a language of `POINTS`; German years as years."""
    is_year = language == "de" and re.fullmatch("1[1-9]..", whole) and not decimals
    purpose = FormatPurpose.YEAR if is_year else FormatPurpose.CARDINAL
    said = _engine(language).format_number(int(whole), purpose).text
    point = [POINTS[language], *(number_in(language, digit) for digit in decimals)]
    return " ".join([said.replace("\u00ad", ""), *(point if decimals else [])])
