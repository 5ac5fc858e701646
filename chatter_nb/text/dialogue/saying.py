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
_SENTENCE_END = re.compile(r"(?<!\bM[rs])(?<!\bMrs)(?<!\b[DS][rt])[.!?…]+[”’\"»]?\s+")
_TITLES = (r"Mr\.", r"Mrs\.", r"Dr\.", "Mr", "Mrs", "Miss", "Lady", "Lord", "Sir", "Frau", "Herr")
_LEAD = r"[\s\u2060]*[,;—–-]*\s*"
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
        article = re.compile(rf"{_any(words['articles'])}(?:\s+|(?<=['’]))")
        self._speakers = {
            article.sub("", name, count=1): who for name, who in cast.speakers.items()
        }
        self._he, self._she = words["he"], words["she"]
        pronouns = [*words["he"], *words["she"], *words["pronouns"]]
        pronoun = _any(word for word in pronouns if word.lower() not in self._speakers)
        self._owners = words["articles"] + words["owners"]
        owner = _any(self._owners)
        titled = "".join(rf"(?<!\b{title}\s)" for title in _TITLES)
        name = rf"{titled}(?P<name>(?i:{_any(self._speakers)}))(?!\w|['’-]\w|\s+of\s+[A-Z])"
        someone = (
            rf"(?<![\w’'-])(?:(?P<pronoun>(?i:{pronoun}))(?![\w’'])"
            rf"|(?:(?P<owner>(?i:{owner})(?:\s+|(?<=['’])))"
            rf"(?:(?!{_any(words['others'])}\s)[^\W\d_A-Z][\w’-]*,?\s+){{0,3}})?{name})"
        )
        verb = rf"(?P<verb>{_any(words['verbs'])})(?!\w)"
        adverbs = rf"(?:(?:{_any(words['adverbs'])}|\w+(?:ly|mente?))\s+){{0,2}}"
        aside = r"(?:,[^,.!?“”]{1,60},)?"
        self._someone = re.compile(someone)
        self._joined = re.compile(rf"\s+{_any(words['joins'])}\s+(?:{someone}|[A-Z])")
        self._verb_first = re.compile(
            rf"{_LEAD}{adverbs}{verb}(?:\s+(?:out|up|back))?(?:-t)?[\s-]+{adverbs}"
        )
        self._subject_first = re.compile(
            rf"{_LEAD}{someone}{aside}\s+{adverbs}{verb}(?!\s+{_any(words['nothing'])}(?!\w))"
        )
        self._announcing = re.compile(rf"(?<!\w)(?:{verb}|{_any(words['before'])}(?!\w))")
        self._to_verb = re.compile(rf"{aside}\s*{adverbs}\Z")
        self._clause = re.compile(
            rf"(?:\A|[,;:—–]|(?<!\w)(?i:{_any(words['clauses'])}))\s*{adverbs}\Z"
        )
        self._called = re.compile(
            rf"(?:[“‘\"«„,;.!?…—–]|(?<!\w)(?i:{_any(words['greetings'])}))\s*{name}"
            r"(?=\s*[,.!?;:”’\"»…—–])"
        )
        inserted = rf"(?<=[,!?…»])\s+{verb}(?:-t)?[\s-]+{someone}[^,.!?:;…—–»\n]*[,.!?:;…]*"
        self.inserted = re.compile(inserted) if words.get("dashes") else None

    def after(self, text: str, start: int, end: int) -> Clue | None:
        """Who says the quote that ends at `start`, by the narrator's words up to `end`."""
        end = min(end, start + _REACH)
        if verb := self._verb_first.match(text, start, end):
            someone = self._someone.match(text, verb.end(), end)
            return self._clue(someone, text, verb) if someone else Clue(OTHER, "", verb[0].strip())
        is_new_sentence = text[max(0, start - 3) : start].rstrip('”’"»“').endswith(".")
        first = None if is_new_sentence else self._subject_first.match(text, start, end)
        return self._clue(first, text) if first else None

    def before(self, text: str, start: int, end: int, *, goes_on: bool = False) -> Clue | None:
        """Who says the quote that begins at `end`, by the narrator's words from `start`.

        `goes_on`: the first sentence of these words says who spoke before them.
        """
        sentences = _SENTENCE_END.split(text[max(start, end - _REACH) : end].rstrip())
        if goes_on and len(sentences) == 1:
            return None
        words = sentences[-1]
        verbs = list(self._announcing.finditer(words))
        if not verbs or words[-1:] in ".!?;":
            return None
        told = words[verbs[-1].end() :]
        if len(told) > _ANNOUNCES or (told and told[-1] not in ",:—–"):
            return None
        return self._subject(words[: verbs[-1].start()]) or Clue(OTHER, "", words)

    def _subject(self, words: str) -> Clue | None:
        """Who does what follows these words of a sentence; None if that is not sure."""
        found = [m for m in self._someone.finditer(words) if self._is_name(m)]
        if found and self._to_verb.match(words, found[-1].end()):
            return self._clue(found[-1], words)
        firsts = [self._clue(m, words) for m in found if self._clause.search(words, 0, m.start())]
        named = {clue.speaker for clue in firsts if clue.speaker}
        if firsts and (firsts[-1].pronoun or len(named) == 1):
            return firsts[-1]
        return None

    def sentence_end(self, text: str, start: int, end: int) -> int:
        """Where the first sentence of these words ends."""
        found = _SENTENCE_END.search(text, start, end)
        return found.start() if found else end

    def has_sentence(self, text: str, start: int, end: int) -> bool:
        """Whether a sentence begins in these words of the narrator."""
        return bool(_SENTENCE_END.search(text, start, end) or text.find("; ", start, end) >= 0)

    def names(self, text: str, start: int, end: int) -> Iterator[str]:
        """The speakers whose names stand in the text [start, end), in order."""
        for match in self._someone.finditer(text, start, end):
            if match["name"] and self._is_name(match):
                yield self._speakers[_key(match["name"])]

    def called(self, text: str, start: int, end: int) -> set[str]:
        """The speakers who are addressed by name in what is said."""
        return {self._speakers[_key(m["name"])] for m in self._called.finditer(text, start, end)}

    def _is_name(self, match: re.Match[str]) -> bool:
        """Whether it is a name and no common word: "will" is none, "Will" and "the wolf" are."""
        name, owner = match["name"], match["owner"]
        return not name or bool(owner) or name[0].isupper() or name.split()[0] in self._owners

    def _clue(self, match: re.Match[str], text: str, verb: re.Match[str] | None = None) -> Clue:
        words = " ".join(f"{verb[0] if verb else ''}{match[0]}".split()).strip(",;—– \u2060")
        if self._joined.match(text, match.end()) or not self._is_name(match):
            return Clue(OTHER, "", words)
        if not match["pronoun"]:
            return Clue(self._speakers[_key(match["name"])], "", words)
        pronoun = match["pronoun"].lower()
        he_she = "he" if pronoun in self._he else "she" if pronoun in self._she else ""
        return Clue("" if he_she else OTHER, he_she, words)


def _key(name: str) -> str:
    return " ".join(name.lower().split())


def _any(words: Iterable[str]) -> str:
    """A pattern of any of these words, the longest first; of nothing without words."""
    longest = sorted(words, key=len, reverse=True)
    texts = (re.escape(word).replace("_", " ").replace(r"\ ", " ") for word in longest)
    return f"(?:{'|'.join(texts).replace(' ', chr(92) + 's+') or '(?!)'})"
