"""Replaces whole words in one pass, in a time that does not grow with the number of words.

Wherever a word may begin, the text is followed through a tree of all words, character by character;
the longest whole word is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from chatter_nb.base.budget import ask

# Neither inside a word nor after its apostrophe or hyphen: "um" is in "um", not in "um-hum".
_BEGINS = re.compile(r"(?<!\w)(?<!\w['’-])(?=.)", re.DOTALL)
_GOES_ON = re.compile(r"\w|['’-]\w")
_STEP = "replacements"
_ENDS = ""  # in a node: the rules whose word ends there, in their order
_ASK_EVERY = 1_000  # beginnings, and characters of a word


class Replacer:
    """Replaces words; `rules` maps each word to its replacement.

    A lower-case word matches any case, other words match only as they are written. Of words that
    differ in case alone, the first rule counts.
    """

    def __init__(self, rules: Mapping[str, str]) -> None:
        self._tree: dict[str, Any] = {}
        for word, replacement in rules.items():
            node = self._tree
            for char in word:
                node = node.setdefault(_folded(char), {})
            node.setdefault(_ENDS, []).append((word, replacement))

    def replace(self, text: str) -> str:
        """The text with all words replaced."""
        return "".join(self._pieces(text))

    def _pieces(self, text: str) -> Iterator[str]:
        at = 0
        for number, begins in enumerate(_BEGINS.finditer(text)):
            if number % _ASK_EVERY == 0:
                ask(_STEP)
            start = begins.start()
            if start >= at and (match := self._longest(text, start)):
                end, replacement = match
                yield text[at:start] + replacement
                at = end
        yield text[at:]

    def _longest(self, text: str, start: int) -> tuple[int, str] | None:
        """The end of the longest word that begins at `start`, and its replacement."""
        node: Any = self._tree
        longest: tuple[int, str] | None = None
        for end in range(start + 1, len(text) + 1):
            node = node.get(_folded(text[end - 1]))
            if node is None:
                break
            if (end - start) % _ASK_EVERY == 0:
                ask(_STEP)
            if _ENDS in node and not _GOES_ON.match(text, end):
                written = text[start:end]
                for word, replacement in node[_ENDS]:
                    if word in (word.lower(), written):
                        longest = (end, replacement)
                        break
        return longest


@cache
def _folded(char: str) -> str:
    """A character without its case, as `re.IGNORECASE` compares; always one character."""
    upper = char.upper()
    lower = (upper if len(upper) == 1 else char).lower()
    return lower if len(lower) == 1 else {"İ": "i"}.get(char, char)
