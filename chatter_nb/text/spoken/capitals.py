"""Words in capitals, said as words unless they are known as letters."""

from __future__ import annotations

import re

from chatter_nb.text.spoken.words import LISTS
from chatter_nb.text.word_list import word_list

_WORDS = re.compile(r"\b[A-Z]{2,}(?:['’][A-Z]+)?\b")
_PHRASE_CHARS = 60  # are looked at on each side of a word
_BEFORE, _AFTER = re.compile(r"[^a-z\n]*\Z"), re.compile(r"[^a-z\n]*")
_SAYABLE = re.compile(r"[^AEIOUY]{0,2}(?:[AEIOUY]+[^AEIOUY]{1,4})+[AEIOUY]*")
_STARTS = re.compile(r"(?:\A|\n|[.!?“\"‘]) *\Z")


def in_capitals(match: re.Match[str]) -> str:
    """A word in capitals as a word; as it is if it is known as letters, or may be."""
    text, word, start = match.string, match[0], match.start()
    before = _BEFORE.search(text[max(0, start - _PHRASE_CHARS) : start])
    after = _AFTER.match(text[match.end() : match.end() + _PHRASE_CHARS])
    words = [other for side in (before, after) if side for other in _WORDS.findall(side[0])]
    words += [word] if word != "A" else []
    known = sum(_as_word(other) is not None for other in words)
    in_phrase = 2 * known >= len(words) > 1 and (known > 1 or len(word) > 4)
    alone = word in LISTS["short"] or (len(word) > 3 and word not in word_list())
    said = "a" if word == "A" else _as_word(word) or _as_name(word, 4 if in_phrase else 5)
    is_name = word == "AIDS" or f"{text[max(0, start - 4) : start]}{word}".lower() == "the us"
    if is_name or not said or not (in_phrase or alone):
        return word
    starts = _STARTS.search(text[max(0, start - 3) : start])
    return said[0].upper() + said[1:] if starts else said


def _as_name(word: str, shortest: int) -> str:
    is_name = len(word) >= shortest and word not in word_list() and _SAYABLE.fullmatch(word)
    return word.capitalize() if is_name else ""


def _as_word(word: str) -> str | None:
    """A word of capitals as the list has it; None if it does not, or as letters only."""
    end = re.search(r"(?:['’]S)?\Z", word)[0]  # type: ignore[index]
    stem = word.removesuffix(end)
    for tail in ("", "S", "ED", "D", "ING", "LY"):
        for form in (stem.lower(), stem.capitalize()):
            base = form.replace("’", "'").removesuffix(tail.lower())
            if stem.endswith(tail) and len(base) > 1 and base in word_list():
                return form + end.lower()
    return None
