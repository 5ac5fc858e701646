"""Numbers in words: English up to 10^66, other languages through CLDR's rules; Roman numerals."""

from __future__ import annotations

import re
from functools import cache

from unicode_rbnf import RbnfEngine

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
_SCALES = (
    " thousand million billion trillion quadrillion quintillion sextillion septillion octillion "
    "nonillion decillion undecillion duodecillion tredecillion quattuordecillion quindecillion "
    "sexdecillion septendecillion octodecillion novemdecillion vigintillion"
).split(" ")
_MOST_DIGITS = 3 * len(_SCALES)
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip
_ROMAN = re.compile(r"(?=.)(?:X[CL]|L?X{0,3}|C{1,3}(?:X[CL]|L?X{0,3}))(?:I[XV]|V?I{0,3})")
_ROMAN_DIGITS = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
# The word between a number and its decimals. Of these languages the numbers are tested with a
# program that reads words as numbers.
POINTS = {
    "de": "Komma", "fr": "virgule", "es": "coma", "it": "virgola", "pt": "vírgula", "nl": "komma",
}  # fmt: skip
_MOST_DIGITS_ELSEWHERE = 12  # the library calculates with floats, some languages end at a billion


def cardinal(digits: str) -> str:
    """A whole number in words; digit by digit if it begins with 0, or has more than 66 digits."""
    if len(digits) > _MOST_DIGITS or (len(digits) > 1 and digits[0] == "0"):
        return one_by_one(digits)
    groups = [int(group[::-1]) for group in re.findall("..?.?", digits[::-1])]
    said = [f"{_below_1000(n)} {scale}" for n, scale in zip(groups, _SCALES, strict=False) if n]
    return " ".join(reversed(said)).strip() or "zero"


def _below_1000(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    words = [f"{_ONES[hundreds]} hundred"] if hundreds else []
    if rest >= 20:
        words.append(_TENS[rest // 10] + (f"-{_ONES[rest % 10]}" if rest % 10 else ""))
    elif rest:
        words.append(_ONES[rest])
    return " ".join(words)


def one_by_one(digits: str) -> str:
    """Each digit in words; other characters are passed over: "zero zero seven"."""
    return " ".join(_ONES[int(digit)] for digit in digits if digit.isdecimal())


def number(written: str) -> str:
    """A number with its marks in words: "1,234.50", "25 000", ".5", "2½"."""
    whole, point, decimals = re.sub(r"[^\d.]", "", written).partition(".")
    words = [cardinal(whole)] if whole else []
    return " ".join([*words, "point", one_by_one(decimals)] if point else words)


def ordinal(digits: str) -> str:
    """ "twenty-first" for "21"."""
    head, last = re.fullmatch(r"(.*?)([a-z]+)", cardinal(digits)).groups()  # type: ignore[union-attr]
    return head + (_ORDINALS.get(last) or re.sub("y$", "ie", last) + "th")


def year(digits: str) -> str:
    """Four digits as a year: "nineteen oh five"; two as its end: "oh five"."""
    if len(digits) < 4:
        return f"oh {_ONES[int(digits)]}" if digits[0] == "0" else cardinal(digits)
    if digits[1:3] == "00" or digits[0] not in "12" or digits[:2] > "20":
        return cardinal(digits)
    century, rest = cardinal(digits[:2]), digits[2:]
    return f"{century} {'hundred' if rest == '00' else year(rest)}"


def plural(words: str) -> str:
    """ "nineteen nineties"."""
    return re.sub("y$", "ie", words) + ("es" if words.endswith("x") else "s")


def from_roman(numeral: str) -> str:
    """The digits of a Roman numeral below 400, in either case; "" if it is none."""
    if not _ROMAN.fullmatch(numeral.upper()):
        return ""
    values = [_ROMAN_DIGITS[letter] for letter in numeral.upper()]
    pairs = zip(values, [*values[1:], 0], strict=True)
    return str(sum(-value if value < after else value for value, after in pairs))


def number_in(language: str, whole: str, decimals: str) -> str | None:
    """A number in words of a language of `POINTS`; None if it is too long."""
    if len(whole) > _MOST_DIGITS_ELSEWHERE:
        return None
    parts = [_spelled(language, int(whole))]
    if decimals:
        parts += [POINTS[language], *(_spelled(language, int(digit)) for digit in decimals)]
    return " ".join(parts)


@cache
def _spelled(language: str, value: int) -> str:
    return _engine(language).format_number(value).text.replace("\u00ad", "")


@cache
def _engine(language: str) -> RbnfEngine:
    return RbnfEngine.for_language(language)
