"""Reads English number words as numbers; it shares nothing with the code that writes them."""

import re
from decimal import Decimal


def _values(words, first=0, step=1):
    return {word: step * value for value, word in enumerate(words.split(), first)}


_UNITS = _values(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_TENS = _values("twenty thirty forty fifty sixty seventy eighty ninety", 2, 10)
_SCALES = (
    "m b tr quadr quint sext sept oct non dec undec duodec tredec quattuordec quindec sexdec "
    "septendec octodec novemdec vigint"
)
_POWERS = {"thousand": 3} | {f"{n}illion": power for n, power in _values(_SCALES, 2, 3).items()}
_ORDINALS = {
    "first": "one", "second": "two", "third": "three", "fifth": "five", "eighth": "eight",
    "ninth": "nine", "twelfth": "twelve",
}  # fmt: skip


def read(words: str) -> Decimal:
    """A number in words. Raises `ValueError` for what is not exactly one number."""
    if words.startswith("minus "):
        return read(words.removeprefix("minus ")).copy_negate()
    whole, point, decimals = words.partition("point ")
    value = 0 if point and not whole else _whole(whole.strip())
    return Decimal(f"{value}.{read_digits(decimals)}") if point else Decimal(value)


def read_digits(words: str) -> str:
    """Single digits: "zero zero seven"."""
    digits = [_UNITS[word] for word in words.split()]
    if any(digit > 9 for digit in digits):
        raise ValueError(words)
    return "".join(map(str, digits))


def read_ordinal(words: str) -> Decimal:
    head, last = re.fullmatch(r"(.*?)([a-z]+)", words).groups()
    plain = _ORDINALS.get(last) or re.sub("ie$", "y", last.removesuffix("th"))
    return read(head + plain)


def read_year(words: str) -> Decimal:
    """ "nineteen hundred", "nineteen oh five", "twenty ten", or a plain number."""
    century, _, rest = words.partition(" ")
    tens = (_UNITS | _TENS).get(century)
    if tens is None or tens < 10 or not rest or re.match(r"thousand|\w+illion|hundred .", rest):
        return read(words)
    if rest == "hundred":
        return Decimal(100 * tens)
    rest_value = read(rest.removeprefix("oh "))
    if rest_value > 99 or rest.startswith("oh ") != (rest_value < 10):
        raise ValueError(words)
    return 100 * tens + rest_value


def _whole(words: str) -> int:
    total = group = 0
    lowest, is_empty = 10**6, True  # the power of the last scale; whether no word came since
    for word in re.split("[ -]", words):
        if word in _UNITS:
            value = _UNITS[word]
            _check(group % 100 == 0 if value > 9 else group % 10 == 0 and group % 100 != 10, words)
            _check(value > 0 or words == "zero", words)
            group += value
        elif word in _TENS:
            _check(group % 100 == 0, words)
            group += _TENS[word]
        elif word == "hundred":
            _check(0 < group < 10, words)
            group *= 100
        else:
            power = _POWERS[word] if word in _POWERS else _check(False, words)
            _check(0 < group < 1000 and power < lowest, words)
            total, group, lowest = total + group * 10**power, 0, power
        is_empty = False
    _check(not is_empty, words)
    return total + group


def _check(is_right: bool, words: str) -> int:
    if not is_right:
        raise ValueError(f"{words!r} is no number")
    return 0
