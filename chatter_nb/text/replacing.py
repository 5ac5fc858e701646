"""Finds whole words in one pass, in a time that does not grow with the number of words.

Wherever a word may begin, the text is followed through a tree of all words, character by character;
the longest whole word is found. A word is also found with its possessive ("Siobhan's"), and a name
in its plural ("the Bennets").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from chatter_nb.base.budget import ask

# Neither inside a word nor after its apostrophe or hyphen: "um" is in "um", not in "um-hum".
_BEGINS = re.compile(r"(?<!\w)(?<!\w['’-])(?=.)", re.DOTALL)
_GOES_ON = r"(?!\w|['’-]\w)"
_WHOLE, _POSSESSIVE = re.compile(_GOES_ON), re.compile(rf"['’]s{_GOES_ON}")
_PLURAL = re.compile(rf"s{_GOES_ON}")
_PLURAL_LETTERS = 4  # of a name, at least: not "Als" for "Al"
_STEP = "replacements"
_ENDS = ""  # in a node: the rules whose word ends there, in their order
_ASK_EVERY = 1_000  # beginnings, and characters of a word


class Rule(NamedTuple):
    """A word, and what is said for it: a text, or a function of its ending.

    With `forms` its possessive and plural are found too. In `any_case` "us" is also "US" and "Us".
    """

    word: str
    said: str | Callable[[str], str]
    any_case: bool
    forms: bool = True


class Found(NamedTuple):
    """A word in a text, characters [start, end), with `ending`: "", "'s", "’s" or "s"."""

    start: int
    end: int
    rule: Rule
    ending: str = ""


def rule(word: str, said: str) -> Rule:
    """A rule as people write it: a lower-case word is found in any case, others as written."""
    return Rule(word, said, word == word.lower())


class Finder:
    """Finds the words of `rules`. Of words that differ in case alone, the first rule counts."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._tree: dict[str, Any] = {}
        for each in rules:
            node = self._tree
            for char in each.word:
                node = node.setdefault(_folded(char), {})
            node.setdefault(_ENDS, []).append(each)

    def find(self, text: str) -> Iterator[Found]:
        """The words in a text, in order; none begins inside another."""
        at = 0
        for number, begins in enumerate(_BEGINS.finditer(text) if self._tree else ()):
            if number % _ASK_EVERY == 0:
                ask(_STEP)
            start = begins.start()
            if start >= at and (found := self._longest(text, start)):
                yield found
                at = found.end

    def _longest(self, text: str, start: int) -> Found | None:
        """The longest word that begins at `start`."""
        node: Any = self._tree
        longest: Found | None = None
        for end in range(start + 1, len(text) + 1):
            node = node.get(_folded(text[end - 1]))
            if node is None:
                break
            if (end - start) % _ASK_EVERY == 0:
                ask(_STEP)
            for each in node.get(_ENDS, ()):
                is_it = each.any_case or each.word == text[start:end]
                if is_it and (ending := _ending(each, text, end)) is not None:
                    longest = Found(start, end + len(ending), each, ending)
                    break
        return longest


def said_for(found: Found) -> str:
    """What is said for a word with its ending."""
    said = found.rule.said
    return said + found.ending if isinstance(said, str) else str(said(found.ending))


def _ending(found: Rule, text: str, end: int) -> str | None:
    """What follows a word at `end` and belongs to it; None if another word goes on there."""
    if _WHOLE.match(text, end):
        return ""
    if not found.forms:
        return None
    letters = sum(map(str.isalpha, found.word))
    is_name = letters >= _PLURAL_LETTERS and found.word != found.word.lower()
    ending = _POSSESSIVE.match(text, end) or (is_name and _PLURAL.match(text, end)) or None
    return ending and ending[0]


@cache
def _folded(char: str) -> str:
    """A character without its case, as `re.IGNORECASE` compares; always one character."""
    upper = char.upper()
    lower = (upper if len(upper) == 1 else char).lower()
    return lower if len(lower) == 1 else {"İ": "i"}.get(char, char)
