"""What is said for a written text, with the place of each change."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate, pairwise

from chatter_nb.base.budget import ask
from chatter_nb.text.abbreviations import ABBREVIATIONS
from chatter_nb.text.choices import choose
from chatter_nb.text.sentences import base_of
from chatter_nb.text.spoken.rules import Rule, rules
from chatter_nb.text.spoken.words import POINTS, number_in

# What hibari reads right by itself, by its phonemes: the tests measure it.
_SAID_BY = {"hibari": {"dates", "ordinals", "years", "numbers", "symbols", "titles"}}
_NEAR_CHARS = 40
_WORDS = re.compile(r"\s*(?:\[[^\]]*\]\([^)]*\)|\S+)\s*")  # a mark of phonemes is one
REPLACEMENTS, LEXICON = "replacements", "lexicon"  # the rules of changes by a run's own
BOOK = "book"  # of those by a book's own: `ssml:ph`, and the lexicons that it links


@dataclass(frozen=True)
class Change:
    """A place of the written text, [start, end) in characters, and what is said for it."""

    start: int
    end: int
    said: str
    rule: str


@dataclass(frozen=True)
class Spoken:
    """The text that is said, and its changes, in order and apart; the rest is as it was written.

    `left` counts the numbers that no rule could put in words, as their language is not known.
    """

    text: str
    changes: tuple[Change, ...] = ()
    left: int = 0


def with_changes(text: str, changes: Iterable[Change]) -> str:
    """The text with changes, which are in order and apart."""
    parts, at = [], 0
    for change in changes:
        parts += [text[at : change.start], change.said]
        at = change.end
    return "".join([*parts, text[at:]])


def divided(spoken: Spoken, texts: Sequence[str]) -> list[Spoken]:
    """What is said for each of `texts`, which together are the written text.

    A change over an end gives its words to both sides, by their share of its characters.
    """
    if len(texts) == 1:
        return [spoken]
    ends = list(accumulate(map(len, texts)))
    own: list[list[Change]] = [[] for _ in texts]
    for change in spoken.changes:
        cuts = ends[bisect_right(ends, change.start) : bisect_left(ends, change.end)]
        words, told = _WORDS.findall(change.said) if cuts else [change.said], 0
        for start, end in pairwise([change.start, *dict.fromkeys(cuts), change.end]):
            last = -(-len(words) * (end - change.start) // (change.end - change.start))
            at = bisect_right(ends, start)
            first = ends[at] - len(texts[at])
            said, told = "".join(words[told:last]), last
            own[at].append(Change(start - first, end - first, said, change.rule))
    parts = [Spoken(with_changes(t, c), tuple(c)) for t, c in zip(texts, own, strict=True)]
    return [replace(parts[0], left=spoken.left), *parts[1:]]


def choose_rules(normalize: str, engine: str = "") -> frozenset[str]:
    """The rules in `auto`, `off`, a list, or `-name` (auto without it). Raises `InputError`.

    `auto` is what the engine does not read right by itself.
    """
    names = dict.fromkeys(rule.name for _, group in rules() for rule in group)
    auto = names.keys() - _SAID_BY.get(engine, set())
    return choose("normalize", normalize, names, auto, none="off")[0]


def say(text: str, language: str, chosen: Collection[str]) -> Spoken:
    """The text in the words that are said for it; what a rule has that is not chosen stays.

    English has all rules; the languages of `POINTS` have plain numbers. Linear in the text.
    """
    if not chosen:
        return Spoken(text)
    language = base_of(language)
    found = _changes(text, chosen) if language == "en" else _numbers(text, language, chosen)
    changes = sorted(found, key=lambda change: change.start)
    said = with_changes(text, changes)
    left = 0 if language == "en" else len(re.findall(r"\d+(?:[^\w\s]+\d+)*", said))
    return Spoken(said, tuple(changes), left)


def _changes(text: str, chosen: Collection[str]) -> Iterator[Change]:
    changed, kept = bytearray(len(text)), bytearray(len(text))  # the characters that a rule has
    for near, group in rules():
        ask("finding the words for it")
        stretches = _stretches(text, near)
        for rule in group if stretches else ():
            # "Sept. 11": who leaves the date as it is has the month in full.
            others = (changed,) if rule.name == "abbreviations" else (changed, kept)
            for change in _matches(text, stretches, rule, others):
                mine = changed if rule.name in chosen else kept
                mine[change.start : change.end] = b"\1" * (change.end - change.start)
                if rule.name in chosen and change.said != text[change.start : change.end]:
                    yield change


def _stretches(text: str, near: re.Pattern[str]) -> list[tuple[int, int]]:
    """The parts of a text around the matches of a pattern, start and end."""
    stretches: list[tuple[int, int]] = []
    for match in near.finditer(text):
        start, end = max(0, match.start() - _NEAR_CHARS), match.end() + _NEAR_CHARS
        if stretches and start <= stretches[-1][1]:
            start = stretches.pop()[0]
        stretches.append((start, min(end, len(text))))
    return stretches


def _matches(
    text: str, stretches: list[tuple[int, int]], rule: Rule, others: tuple[bytearray, ...]
) -> Iterator[Change]:
    for first, last in stretches:
        for match in rule.pattern.finditer(text, first, last):
            start, end = match.span(rule.group)
            if end > last - _NEAR_CHARS // 2 and last < len(text):  # it may see a false end
                continue
            if any(other.find(1, start, end) >= 0 for other in others):
                continue
            if rule.after and not rule.after.search(text[max(0, start - _NEAR_CHARS) : start]):
                continue
            said = rule.say(match)
            before = " " if said[0].isalnum() and text[start - 1 : start].isalnum() else ""
            after = " " if said[-1].isalnum() and text[end : end + 1].isalnum() else ""
            yield Change(start, end, f"{before}{said}{after}", rule.name)


def _numbers(text: str, language: str, chosen: Collection[str]) -> Iterator[Change]:
    """Numbers in other languages. "1" stays, it has a gender; so do dates, times, "19."."""
    is_known = language in POINTS and "numbers" in chosen
    for match in _pattern(language).finditer(text) if is_known else ():
        whole = re.sub(r"\D", "", match["whole"])
        said = number_in(language, whole, match["decimals"] or "")
        yield Change(*match.span(), said, "numbers")


@cache
def _pattern(language: str) -> re.Pattern[str]:
    mark = r"[ \u00a0\u202f\u2009]" if language == "fr" else r"[ \u00a0\u202f\u2009.]"
    stop = r"|\." if ABBREVIATIONS[language].ordinals else ""
    return re.compile(
        rf"(?<![\w.,:/$€£#'’–-])(?<!\d\s)(?P<whole>[1-9]\d{{0,2}}(?P<mark>{mark})\d{{3}}"
        r"(?:(?P=mark)\d{3}){0,2}(?!\d)|0|[2-9]|[1-9]\d{1,11}|1(?=,\d))(?:,(?P<decimals>\d+))?"
        rf"(?!\w|\s\d|[.,:/’'–-]\d|-\w|\s?[€$£]{stop})",
        re.ASCII,
    )
