"""Finds who is named as a speaker beside a quote: "said Anna", "Anna turned to him and said:"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from chatter_nb.base.project import parse_yaml
from chatter_nb.text.dialogue.marks import Cast

OTHER = "?"  # somebody who is not in the cast
_REACH = 300  # characters beside a quote that are read
_ANNOUNCES = 60  # characters between a verb of saying and the quote after it
_SENTENCE_END = re.compile(r"(?<!\bM[rs])(?<!\bMrs)(?<!\b[DS][rt])(?<![.!?…])[.!?…]++[”’\"»]?\s+")
_PAUSE = re.compile(r"[,.;:!?—–“]")
_ASIDE = r"(?<=\s)[—–―](?=\w)[^—–―\n]*(?:[—–―][.,;:]?)?"  # inside what is said: "—dijo Ana—"
_LEADS = ",;—– \u2060"
_LEAD = r"[\s\u2060]*[,;—–-]*\s*"
_TITLES = (r"Mr\.", r"Mrs\.", r"Dr\.", "Mr", "Mrs", "Miss", "Lady", "Lord", "Sir", "Frau", "Herr")
_NOT_TITLED = "".join(rf"(?<!\b{title}\s)" for title in _TITLES)  # "Anna" is not in "Miss Anna"
_TONGUES = Path(__file__).with_name("tongues.yaml")


class Clue(NamedTuple):
    """Who is named: a speaker of the cast, `OTHER`, or only a `pronoun` ("he" or "she")."""

    speaker: str
    pronoun: str = ""
    words: str = ""


@cache
def tongues() -> dict[str, Any]:
    """The words of every language that has rules, and of "any"."""
    return parse_yaml(_TONGUES.read_text(encoding="utf-8"), where=_TONGUES.name)


class Grammar:
    """Patterns for the names of a cast in a language. Each is bounded in its reach."""

    def __init__(self, cast: Cast, language: str) -> None:
        words = {k: str(v).split() for k, v in (tongues()["any"] | tongues()[language]).items()}
        some = {kind: _any(listed) for kind, listed in words.items()}
        article = re.compile(rf"{some['articles']}(?:\s+|(?<=['’]))")
        people = cast.speakers.items()
        self._speakers = {article.sub("", name, count=1): who for name, who in people}
        self._he_she = {word: kind for kind in ("he", "she") for word in words[kind]}
        self._owners = words["articles"] + words["owners"]
        pronouns = [*self._he_she, *words["pronouns"]]
        pronoun = _any(word for word in pronouns if word.lower() not in self._speakers)
        anyone = rf"{_NOT_TITLED}(?P<name>(?i:{_any(self._speakers)}))(?!\w|-\w|\s+of\s+[A-Z])"
        name = rf"{anyone}(?!['’]\w)"  # nobody's "friend"
        someone, mentioned = (
            rf"(?:(?P<pronoun>(?i:{pronoun}))(?![\w’'])"
            rf"|(?:(?P<owner>(?i:{_any(self._owners)})(?:\s+|(?<=['’])))"
            rf"(?:(?!{some['others']}\s)[^\W\d_A-Z][\w’-]*,?\s+){{0,3}})?{each})"
            for each in (name, anyone)
        )
        verb = rf"{some['verbs']}(?!\w)"
        adverbs = rf"(?:(?:{some['adverbs']}|\w+(?:ly|mente?))\s+){{0,2}}"
        verb_first = rf"{verb}(?:\s+(?:out|up|back))?(?:-t)?[\s-]+{adverbs}"
        aside = r"(?:,[^,.!?“”]{1,60},)?"
        self._subject_at = re.compile(someone)
        self._someone, self._mentioned = (
            re.compile(rf"(?<![\w’'-]){each}") for each in (someone, mentioned)
        )
        self._joined = re.compile(rf"\s+{some['joins']}\s+(?:{someone}|[A-Z])")
        self._verb_first = re.compile(_LEAD + adverbs + verb_first)
        self._subject_first = re.compile(
            rf"{_LEAD}{someone}{aside}\s+{adverbs}{verb}(?!\s+{some['nothing']}(?!\w))"
        )
        self._announcing = re.compile(rf"(?<!\w)(?:{verb}|{some['before']}(?!\w))")
        self._to_verb = re.compile(rf"{aside}\s*{adverbs}\Z")
        clause = rf"(?<!\w)(?i:{some['clauses']})"
        self._clause = re.compile(rf"(?:\A|[,;:—–]|{clause})\s*{adverbs}\Z")
        self._opening = re.compile(
            rf"(?:(?<![^\n\x1c\x1d])|[.!?;…][”’\"»]?\s+)(?:{clause}\s+)?{mentioned}"
        )
        self._called = re.compile(
            rf"(?:[“‘\"«„,;.!?…—–]|(?<!\w)(?i:{some['greetings']}))\s*{name}"
            r"(?=\s*(?:[,.!?;:”’\"»…—–]|\Z))"
        )
        inserted = rf"(?<=[,!?…»])\s+{verb_first}{someone}[^,.!?:;…—–»\n]*[,.!?:;…]*|{_ASIDE}"
        self.inserted = re.compile(inserted) if "dashes" in words else None

    def after(self, text: str, start: int, end: int) -> Clue | None:
        """Who says the quote that ends at `start`, by the narrator's words up to `end`."""
        end = min(end, start + _REACH)
        if verb := self._verb_first.match(text, start, end):
            if someone := self._subject_at.match(text, verb.end(), end):
                return self._clue(someone, verb[0])
            return Clue(OTHER, "", _line(_PAUSE.split(text[start:end].lstrip(_LEADS))[0]))
        is_new_sentence = text[max(0, start - 3) : start].rstrip('”’"»“').endswith(".")
        first = self._subject_first.match(text, start, end)
        return self._clue(first) if first and not is_new_sentence else None

    def before(self, text: str, start: int, end: int, *, goes_on: bool = False) -> Clue | None:
        """Who says the quote that begins at `end`, by the narrator's words from `start`.

        `goes_on`: the first sentence of these words says who spoke before them.
        """
        sentences = _SENTENCE_END.split(text[max(start, end - _REACH) : end].rstrip())
        verbs = list(self._announcing.finditer(sentences[-1]))
        if not verbs or (goes_on and len(sentences) == 1):
            return None
        told = sentences[-1][verbs[-1].end() :]
        if len(told) > _ANNOUNCES or (told and told[-1] not in ",:—–"):
            return None
        words = sentences[-1][: verbs[-1].start()]
        clue = self._subject(words.rpartition("; ")[2]) or self._subject(words)
        return clue or (None if any(self.names(words)) else Clue(OTHER, "", words))

    def _subject(self, words: str) -> Clue | None:
        """Who does what follows these words of a sentence; None if that is not sure."""
        found = [match for match in self._someone.finditer(words) if self._is_name(match)]
        for match in reversed(found):
            if self._to_verb.match(words, match.end()):
                return self._clue(match)
        firsts = (self._clue(m) for m in found if self._clause.search(words, 0, m.start()))
        clues = [clue for clue in firsts if clue.speaker != OTHER]
        is_sure = clues and (clues[-1].pronoun or len({clue.speaker for clue in clues} - {""}) == 1)
        return clues[-1] if is_sure else None

    def names(self, text: str, start: int = 0, end: int | None = None) -> Iterator[str]:
        """The speakers of the cast who are named in a part of a text."""
        return self._known(self._mentioned, text, start, len(text) if end is None else end)

    def subjects(self, text: str, start: int, end: int) -> Iterator[str]:
        """Those with whose names sentences begin."""
        return self._known(self._opening, text, start, end)

    def called(self, text: str, start: int, end: int) -> Iterator[str]:
        """Those who are addressed by name in what is said."""
        return map(self._speaker, self._called.finditer(text, start, end))

    def _known(self, pattern: re.Pattern[str], text: str, start: int, end: int) -> Iterator[str]:
        for match in pattern.finditer(text, start, end):
            if match["name"] and self._is_name(match):
                yield self._speaker(match)

    def _speaker(self, match: re.Match[str]) -> str:
        return self._speakers[_line(match["name"]).lower()]

    def _is_name(self, match: re.Match[str]) -> bool:
        """Whether it is a name and no common word: "will" is none, "Will" and "the wolf" are."""
        name, owner = match["name"], match["owner"]
        return not name or bool(owner) or name[0].isupper() or name.split()[0] in self._owners

    def _clue(self, match: re.Match[str], verb: str = "") -> Clue:
        words = _line(verb + match[0]).strip(_LEADS)
        if self._joined.match(match.string, match.end()) or not self._is_name(match):
            return Clue(OTHER, "", words)
        if match["name"]:
            return Clue(self._speaker(match), "", words)
        pronoun = self._he_she.get(match["pronoun"].lower(), "")
        return Clue("" if pronoun else OTHER, pronoun, words)


def _line(text: str) -> str:
    return " ".join(text.split())


def _any(words: Iterable[str]) -> str:
    """A pattern of any of these words, the longest first; of nothing without words."""
    longest = sorted(words, key=len, reverse=True)
    texts = (r"\s+".join(map(re.escape, word.replace("_", " ").split())) for word in longest)
    return f"(?:{'|'.join(texts) or '(?!)'})"
