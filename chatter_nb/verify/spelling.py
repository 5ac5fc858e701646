"""Words as witnesses compare them: numbers in words, spellings made equal, function words known.

Not here: how a voice reads a text; see `text` and the engines.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from chatter_nb.base.errors import UnavailableError
from chatter_nb.text.spoken.words import cardinal, one_by_one, ordinal

INSTALL = "pip install -c constraints.txt -e '.[verify]'"
_FUNCTION_WORDS = """
a an the and or but nor so as at by for from in into of off on onto out over to up with than that
this these those there here then if i me my we us our you your he him his she her it its they them
their who whom which what is am are was were be been being do does did has have had will would
shall should can could may might must not no i'm i've i'd i'll you're he's she's it's we're
they're that's
"""
# Short words without stress: a recogniser loses them in clean speech too.
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
_SHORT = {
    "mr": ["mister"],
    "mrs": ["missus"],
    "dr": ["doctor"],
    "st": ["saint"],
    "&": ["and"],
    "%": ["percent"],
}
_PIECE = re.compile(r"\d[\d,]*(?:\.\d+)?(?:st|nd|rd|th|s)?|[^\W\d_]+(?:'[^\W\d_]+)*|[&%]")
_NUMBER = re.compile(r"(\d[\d,]*)(?:\.(\d+))?(st|nd|rd|th|s)?")
_MOST_DIGITS = 12
_ORDINAL = re.compile(r"(\d)(?:st|nd|rd|th|s)\b")
_SIGNS = re.compile(r"[$£€¥°+=<>/@#*^~\\|_]|\d[^\W\d_]|[^\W\d_]\d|[^\W\d_]\.[^\W\d_]")
_SAYABLE = re.compile(r"[aeiouyà-ÿ\d]")


def is_unsure(word: str) -> bool:
    """Whether voices read a word in different ways: prices, units, formulas, "kHz", "e.g."."""
    plain = _ORDINAL.sub(r"\1", word)
    return bool(_SIGNS.search(plain)) or any(
        len(piece) > 1 and piece not in _SHORT and not _SAYABLE.search(piece)
        for piece in pieces(plain)
    )


def pieces(text: str) -> list[str]:
    """The words of a text in lower case without marks; parts of a hyphenated word alone."""
    return _PIECE.findall(text.lower().replace("’", "'").replace("‘", "'"))


def readings(piece: str) -> list[list[str]]:
    """The ways to read a piece of `pieces`, each a list of words in letters.

    A year or a price may be read in several ways; a word has one reading, itself.
    """
    number = _NUMBER.fullmatch(piece)
    if number is None:
        return [_SHORT.get(piece, [piece])]
    digits, decimals, ending = number[1].replace(",", ""), number[2], number[3]
    if len(digits) > _MOST_DIGITS:
        return [_digits(digits)]
    ways = [_cardinal(digits), *_other_ways(digits)]
    is_ordinal = ending in ("st", "nd", "rd", "th")
    if decimals:
        last = [ordinal(decimals[-1])] if is_ordinal else _digits(decimals[-1])
        ways = [[*ways[0], "point", *_digits(decimals[:-1]), *last]]
    elif is_ordinal:
        ways = [re.split("[ -]", ordinal(digits))]
    if ending == "s":
        ways = [[*way[:-1], _plural(way[-1])] for way in ways]
    return [list(way) for way in dict.fromkeys(map(tuple, ways))]


def _cardinal(number: int | str) -> list[str]:
    """A number in words, without "and"."""
    return re.split("[ -]", cardinal(str(int(number))))


def _digits(digits: str) -> list[str]:
    return one_by_one(digits).split()


def _other_ways(digits: str) -> list[list[str]]:
    """With "and" after the hundreds, in pairs as a year, digit by digit."""
    number, ways = int(digits), []
    if number > 100 and number % 100:
        ways.append([*_cardinal(number - number % 100), "and", *_cardinal(number % 100)])
    if len(digits) == 4 and digits[0] != "0":
        century, rest = _cardinal(number // 100), number % 100
        if number % 1000:
            ends = [["hundred"]] if not rest else [_cardinal(rest)]
            ways += [[*century, *end] for end in ends]
            ways += [[*century, "oh", *_cardinal(rest)]] if 0 < rest < 10 else []
    return [*ways, _digits(digits)]


def _plural(word: str) -> str:
    if word.endswith("y"):
        return word[:-1] + "ies"
    return word + ("es" if word.endswith("x") else "s")


def is_content(word: str) -> bool:
    """Whether a word carries meaning of its own and is long enough to be heard."""
    return word not in FUNCTION_WORDS and len(word) > 2


def normal_words(text: str) -> list[str]:
    """The words of a text in one spelling: what is written and what is heard become comparable."""
    text = text.replace("’", "'").replace("‘", "'").replace("-", " ").replace("—", " ")
    return _english()(text).split()


@functools.cache
def _english() -> Callable[[str], str]:
    try:
        from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError as error:
        raise UnavailableError(f"the recogniser needs whisper-normalizer: {INSTALL}") from error
    normalizer: Callable[[str], str] = EnglishTextNormalizer()
    return normalizer
