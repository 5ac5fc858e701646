"""Finds what is not words in a text: our pause marks, and the markup of other programs.

A pause mark becomes silence. Terminal colour codes are removed, with a note. SSML raises an error,
because it would be read aloud; Markdown, HTML and sounds that only some voices act give a note.
Every pattern is linear in its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from chatter_nb.base.errors import InputError, listed, shorten

MAX_PAUSE_MS = 600_000  # at one place: marks that stand together add up

# [pause 800ms], [pause 1.5 s]; the second pattern finds marks that were meant but are not valid.
PAUSE_MARK = re.compile(r"\[pause\s+(\d+(?:\.\d+)?)\s*(ms|s)\]", re.IGNORECASE)
_PAUSE_ATTEMPT = re.compile(
    r"\[\s*pause\b(?:[^\]\n]{0,30}|[\s:=+-]*[\d.][^\[\]\n]*)\]", re.IGNORECASE
)
# What a terminal does not show: colours, movements, titles and links (ECMA-48's CSI and OSC).
TERMINAL_CODE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")

# Elements of SSML, with Amazon's and Microsoft's own. Those that have another meaning elsewhere
# (<p>, <s>, <sub>, <audio>, <voice>, <lang>) do not name a text SSML.
_SSML = re.compile(
    r"</?(?:speak|break|emphasis|prosody|say-as|phoneme|amazon:[\w-]+|mstts:[\w-]+)"
    r"(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_HTML = re.compile(
    r"</(?:a|b|i|u|p|s|em|h[1-6]|li|ol|td|th|tr|ul|body|code|div|html|small|span|strong|su[bp]|table)"
    r"\s*>|<(?:br|hr|img)\b[^<>]*>",
    re.IGNORECASE,
)
_MARKDOWN = re.compile(
    r"^#{1,6} [^\n]{1,40}|^```[^\n]{0,20}|~~[^\s~][^~\n]{0,40}~~|\*\*[^\s*][^*\n]{0,40}\*\*"
    r"|!?\[[^\[\]\n]{1,60}\]\([^()\s]{1,200}\)",
    re.MULTILINE,
)
# The sounds and deliveries that Turbo's tokenizer knows.
ACTED_TAGS = (
    "advertisement angry chuckle clear_throat cough crying dramatic fear gasp groan "
    "happy laugh narration sarcastic shush sigh sniff surprised whispering"
)
_ACTED = re.compile(rf"\[(?:{ACTED_TAGS.replace(' ', '|').replace('_', '[ _]')})\]")
_ACTING_ENGINE = "chatterbox-turbo"

# How files of other kinds begin, and what they are.
_BEGINNINGS = (
    (re.compile(r"<!doctype html|<html[\s>]", re.IGNORECASE), "HTML"),
    (re.compile(r"<\?xml|<rss[\s>]|<svg[\s>]", re.IGNORECASE), "XML"),
    (re.compile(r"\{\\rtf"), "RTF"),
    (re.compile(r"%PDF-"), "PDF"),
    (re.compile(r"PK\x03\x04"), "a zip archive, as .epub, .docx and .odt are"),
    (re.compile(r"WEBVTT|\d+\s*\n\d\d:\d\d:\d\d,\d{3} --> "), "subtitles"),
)


def foreign_format(text: str) -> str:
    """The format of a text that begins like a file of another kind: "HTML"; "" for plain text."""
    beginning = text[:1000].lstrip("\ufeff \t\r\n")
    return next((kind for pattern, kind in _BEGINNINGS if pattern.match(beginning)), "")


def is_acted(tag: str) -> bool:
    """Whether a tag is one of Turbo's: "[laugh]"."""
    return bool(_ACTED.fullmatch(tag))


def check_markup(text: str) -> None:
    """Raise `InputError` for malformed pause marks and for SSML, with the cure."""
    for attempt in _PAUSE_ATTEMPT.finditer(text):
        if not PAUSE_MARK.fullmatch(attempt[0]):
            raise InputError(
                f"{shorten(attempt[0], 60)!r} is not a pause mark: write [pause 800ms] or "
                "[pause 1.5s]"
            )
    if tags := _distinct(_SSML, text):
        raise InputError(
            f"{tags} is SSML, which no engine here understands: it would be read aloud. Write "
            "[pause 500ms] for a break, and take out the other tags "
            "(regex_replacements: {'<[^<>]*>': ''})"
        )


def add_pause(before_ms: int, mark: re.Match[str]) -> int:
    """The silence in ms after one more mark at the same place; `before_ms` is -1 for none before.

    `mark` is a match whose groups 2 and 3 are the number and the unit. Raises `InputError` beyond
    `MAX_PAUSE_MS`.
    """
    number, unit = mark[2], mark[3]
    sum_ms = max(before_ms, 0) + float(number) * (1000 if unit.lower() == "s" else 1)
    if sum_ms > MAX_PAUSE_MS:
        raise InputError(
            f"{shorten(mark[0], 60)!r} is too long: at most {MAX_PAUSE_MS // 1000} s at one place"
        )
    return round(sum_ms)


def markup_notes(text: str, *, engine: str, is_marked: bool) -> Iterator[str]:
    """Notes on markup in a cleaned text that the engine will read as words.

    `is_marked`: its format's own marks, such as Markdown's, are removed already.
    """
    if not is_marked and (marks := _distinct(_MARKDOWN, text)):
        yield (
            f"{marks}: Markdown's marks are read as they stand in plain text; without them in a "
            ".md file (text_file)"
        )
    if tags := _distinct(_HTML, text):
        yield (
            f"{tags}: HTML's tags are read as they stand; take them out with "
            "regex_replacements: {'<[^<>]*>': ''}"
        )
    if engine != _ACTING_ENGINE and (tags := _distinct(_ACTED, text)):
        yield f"{engine} reads {tags} as words: {_ACTING_ENGINE} acts them"


def _distinct(pattern: re.Pattern[str], text: str) -> str:
    """The different matches of a pattern: "<break/>, <speak> and 3 more"; "" for none."""
    return listed(list(dict.fromkeys(match[0] for match in pattern.finditer(text))))
