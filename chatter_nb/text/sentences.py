"""Finds the ends of sentences in each language of Chatterbox: those of `sentencex`, checked.

Not here: the abbreviations (`abbreviations`), cuts of long sentences (`cuts`), and how sentences
are packed (`chunking`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from sentencex import segment

from chatter_nb.text.abbreviations import ABBREVIATIONS, Abbreviations

# sentencex compares every quote with all text after it: its time grows with the number of quotes
# times the length of the text. These bounds are far above an ordinary paragraph.
MAX_PIECE_CHARS = 8_000
MAX_PIECE_QUOTES = 300
_QUOTE = re.compile("[\"'`«»‹›‘’‚‛“”„‟「」《》]")

_NONE = Abbreviations()
_OPENING = " \u00a0\"'`«»‹›‘’‚‛“”„‟「『《({¿¡—–‒-.…"
_INNER_OPENING = re.compile(r"[(\[«“„\"‘]")
_CLOSING = "\"'’”“»«›‹」』》〉】)]"

_LETTER = re.compile(r"[^\W\d_]\.")
_REACH = 60  # characters before an end, more than any abbreviation has
_NUMBER = re.compile(r"[(\[#]?\d|[IVXLC]+\b|(?P<word>[^\W\d_]+)\.")
_ORDINAL = re.compile(r"\d{1,3}|[IVXLC]+")
_NOT_INITIAL = re.compile("[a-z\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_GOES_ON = re.compile(r"[,;:)\]}，；：、）］｝」』》〉】،؛]")

# Said of a quote: 「…」と彼は, “…”他说. Chinese: a speaker of a few characters, then the verb.
_QUOTE_END = tuple('”’」』）》"')
_KANA = re.compile("[\u3041-\u309f]")
_QUOTATIVE = re.compile("と(?!ても|にかく|ころ|き|もに|おり|なり)|って")
_SAYS = re.compile("[^，。！？：；“”「」、]{0,8}?[说說问問道答喊叫嚷][着著了]?[，。]")


def sentences(text: str, language: str, limit: int = 0) -> list[str]:
    """The sentences of a paragraph, each with the space after it; joined they are the text.

    A doubtful end ("… usw. Die") counts only if the sentence would be longer than `limit`
    characters without it.
    """
    base = base_of(language)
    capitals = text != text.lower()
    parts_of: list[list[str]] = []  # each sentence
    length, certain = 0, True
    for part, whole in _pieces(text, language):
        before = "".join(parts_of[-1][-3:])[-_REACH:] if parts_of else ""
        end = not before or (certain and _ends(before, part, base, capitals))
        if end is None:
            end = length + len(part.rstrip()) > limit
        if end:
            parts_of.append([])
            length = 0
        parts_of[-1].append(part)
        length, certain = length + len(part), whole
    return ["".join(parts) for parts in parts_of]


def base_of(language: str) -> str:
    """The language without its region: "zh" for "zh-CN"."""
    return re.split("[-_]", language.lower())[0]


def _pieces(text: str, language: str) -> Iterator[tuple[str, bool]]:
    """The sentences of sentencex, each with whether its end is one of sentencex.

    A text over the bounds is passed to it in several pieces. Each piece begins with the last
    sentence of the piece before, unless that sentence is half a piece long.
    """
    start = 0
    while start < len(text):
        end = _piece_end(text, start)
        segments = segment(language, text[start:end])
        known = segments if end == len(text) else segments[:-1]
        if 2 * sum(map(len, known)) < end - start:
            known = segments
        for position, sentence in enumerate(known):
            start += len(sentence)
            yield sentence, position < len(known) - 1 or start < end


def _piece_end(text: str, start: int) -> int:
    reach = min(len(text), start + MAX_PIECE_CHARS)
    quotes = _QUOTE.finditer(text, start, reach)
    after_the_last = next(islice(quotes, MAX_PIECE_QUOTES, None), None)
    return after_the_last.start() if after_the_last else reach


def _ends(before: str, after: str, language: str, capitals: bool) -> bool | None:
    """Whether a sentence ends between `before` and `after`; None if that is doubtful.

    `capitals`: whether the text has capitals; without them a small letter proves nothing.
    """
    first = after.lstrip(_OPENING)[:1]
    if (capitals and first.islower()) or _GOES_ON.match(after):
        return False
    if not before[-1].isspace() and _clings(before, after, language):
        return False
    *earlier, last = before.split() or [""]
    word = last.rstrip(_CLOSING)
    if not word.endswith("."):
        return True
    word = _INNER_OPENING.split(word.removesuffix("."))[-1]
    return _ends_after(word, earlier, after, ABBREVIATIONS.get(language, _NONE))


def _clings(before: str, after: str, language: str) -> bool:
    """Whether `after` belongs to the mark right before it: "J.-C.", “…”他说, "…"라고."""
    quoted = before.endswith(_QUOTE_END)
    if language == "ja":
        return bool(_QUOTATIVE.match(after) or (quoted and _KANA.match(after)))
    if language == "zh":
        return quoted and bool(_SAYS.match(after))
    return after[0] in "-\u2010\u2011" or (quoted and after[0].isalpha())


def _ends_after(word: str, earlier: list[str], after: str, known: Abbreviations) -> bool | None:
    """Whether a sentence ends after "earlier words, word."; None if that is doubtful."""
    whole = word  # with the letters before it: "z. B." is "z.B."
    while earlier and _LETTER.fullmatch(earlier[-1]):
        whole = earlier.pop() + whole
    names = _forms(word) | _forms(whole)
    if names & known.either:
        return None
    number = _NUMBER.match(after.lstrip(_OPENING))
    counted = number and (not number["word"] or _forms(number["word"]) & known.numbered)
    if names & known.leading or (counted and names & known.numbered):
        return False
    if known.ordinals and (_ORDINAL.fullmatch(word) or (word.isdigit() and counted)):
        page = earlier and _forms(earlier[-1].removesuffix(".")) & known.numbered
        return bool(page)  # the end of "siehe S. 45."
    if len(word.split("-")[-1]) == 1 and word not in known.words:
        return _initial_ends(word[-1])
    return True


def _initial_ends(letter: str) -> bool | None:
    if letter.islower():
        return None
    return not letter.isalpha() or bool(_NOT_INITIAL.match(letter))


def _forms(word: str) -> set[str]:
    """The forms in which a list may hold a word: a lower-case entry matches any case."""
    return {word, word.lower()}
