"""Writes English abbreviations in full, if a voice would take their full stop for a sentence's end.

Only the spoken text changes, not the text that is shown. Titles ("Dr. Smith") are not here: voices
know them. Measured with hibari 0.2.1: "Fig. 3" is "figure." and a pause, then "three";
"Sept. 11" is "September." and "eleven".
"""

from __future__ import annotations

import re


def _pairs(text: str) -> dict[str, str]:
    """Abbreviations with their words, from "p:page pp:pages"."""
    return dict(pair.split(":") for pair in text.split())


_BEFORE_NUMBERS = _pairs(
    "p:page pp:pages vol:volume vols:volumes ch:chapter chap:chapter chaps:chapters fig:figure "
    "figs:figures sec:section eq:equation eqs:equations no:number nos:numbers approx:approximately"
)
_BEFORE_WORDS = _pairs("cf:compare approx:approximately vs:versus")
_BEFORE_CAPITALS = _pairs("e.g:e.g., i.e:i.e.,")
_MONTHS = _pairs(
    "Jan:January Feb:February Mar:March Apr:April Jun:June Jul:July Aug:August Sep:September "
    "Sept:September Oct:October Nov:November Dec:December"
)
_DAYS = _pairs(
    "Mon:Monday Tue:Tuesday Tues:Tuesday Wed:Wednesday Thu:Thursday Thur:Thursday Thurs:Thursday "
    "Fri:Friday Sat:Saturday Sun:Sunday"
)
_FULL = _BEFORE_NUMBERS | _BEFORE_WORDS | _BEFORE_CAPITALS | _MONTHS | _DAYS | {"al": "al"}
_DATE = rf"\d|(?:{'|'.join(_MONTHS)})\b"
ABBREVIATION = re.compile(
    rf"(?<![\w.'’-])(?P<word>(?i:{'|'.join(_BEFORE_NUMBERS)})"
    r"(?=\.(?:\s?\d|\s(?:[IVXLC]{2,}|[VX])\b))"
    rf"|(?i:{'|'.join(_BEFORE_WORDS)})(?=\.\s[^\W_])"
    rf"|(?:{'|'.join(map(re.escape, _BEFORE_CAPITALS))})(?=\.\s[A-Z\d])"
    rf"|(?:{'|'.join(_MONTHS)})(?=\.\s?\d)"
    rf"|(?:{'|'.join(_DAYS)})(?=\.,?\s(?:{_DATE}))"
    r"|(?<=\bet )al(?=\.\s[\d(a-z]))\."
)


def in_full(text: str) -> str:
    """The text in full: "Figure 3, compare Smith" for "Fig. 3, cf. Smith". Linear in its length."""
    return ABBREVIATION.sub(expansion, text)


def expansion(abbreviation: re.Match[str]) -> str:
    word = abbreviation["word"]
    full = _FULL.get(word) or _FULL[word.lower()]
    if word[0].isupper():
        full = full.capitalize()
    follows = abbreviation.string[abbreviation.end() : abbreviation.end() + 1]
    return full + (" " if follows.isdigit() else "")
