"""Who says each quote of a text: by words beside it, by pronouns that fit one person, by turns.

What no rule knows for sure stays the narrator's, and is listed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, groupby, pairwise
from typing import Literal, NamedTuple

from chatter_nb.text.chunking import CHAPTER_BREAK
from chatter_nb.text.dialogue.marks import Cast
from chatter_nb.text.dialogue.quotes import Paragraph, Quote, paragraphs
from chatter_nb.text.dialogue.saying import OTHER, Clue, Grammar, tongues
from chatter_nb.text.dialogue.spans import NARRATOR, Span, overlaid, tiled

QuoteMode = Literal["narrator", "one", "attributed"]
QUOTES = "quotes"  # the speaker of all quotes in mode `one`
_BACK = 4  # turns in which the person of a pronoun is looked for
_FAR = 12  # if nobody fits in these
_FILLED = 4  # turns that are given by turns with no name after them
_UNKNOWN = "no verb of saying with a name beside it"


class Unsure(NamedTuple):
    """A quote that stays the narrator's, and why. Characters [start, end) of the text."""

    start: int
    end: int
    reason: str


@dataclass
class _Turn:
    """A paragraph, or several that a quote goes on through, and who speaks in it if known."""

    paragraphs: list[Paragraph]
    clues: dict[int, Clue] = field(default_factory=dict)  # by the start of a quote
    named: list[str] = field(default_factory=list)  # by the narrator, up to the first clue
    called: set[str] = field(default_factory=set)
    beside: set[str] = field(default_factory=set)
    speaker: str = ""
    reason: str = _UNKNOWN
    several: bool = False
    narrated_after: bool = False

    @property
    def quotes(self) -> list[Quote]:
        return [quote for paragraph in self.paragraphs for quote in paragraph.quotes]


def read_quotes(
    text: str,
    cast: Cast,
    *,
    quotes: QuoteMode,
    language: str = "en",
    spans: Iterable[Span] = (),
) -> tuple[list[Span], list[Unsure]]:
    """The spans of a text by its quotes, and the quotes that stay the narrator's.

    `spans` are what marks and labels say; a quote counts in what they leave to the narrator.
    """
    below = list(tiled(spans, len(text)))
    if quotes == "narrator":
        return below, []
    found: list[Span | Unsure] = []
    if quotes == "one":
        each = (q for p in _free(paragraphs(text), below) for q in p.quotes if not q.is_scare)
        found = [Span(q.start, q.end, "text", QUOTES, "", "quotes: one") for q in each]
    elif language not in tongues():
        each = (q for p in _free(paragraphs(text), below) for q in p.quotes)
        found = [Unsure(q.start, q.end, f"no rules for language {language}") for q in each]
    else:
        found = list(_attributed(text, cast, Grammar(cast, language), below))
    sure = [each for each in found if isinstance(each, Span)]
    unsure = [each for each in found if isinstance(each, Unsure)]
    return list(overlaid(below, sure, len(text))), unsure


def _free(found: Iterable[Paragraph], below: Sequence[Span]) -> Iterator[Paragraph]:
    """The paragraphs with those quotes that lie in what marks and labels leave to the narrator."""
    starts = [span.start for span in below]
    for paragraph in found:
        quotes = []
        for quote in paragraph.quotes:
            span = below[bisect_right(starts, quote.start) - 1]
            if quote.end <= span.end and span[2:] == Span(0, 0)[2:]:
                quotes.append(quote)
        yield paragraph._replace(quotes=quotes)


def _attributed(
    text: str, cast: Cast, grammar: Grammar, below: Sequence[Span]
) -> Iterator[Span | Unsure]:
    turns = list(_turns(text, _free(paragraphs(text, grammar.inserted), below)))
    for number, turn in enumerate(turns):
        _read(text, grammar, turn, turns[number - 1] if number else None)
    for chapter in _chapters(text, turns):
        _tell(chapter, cast)
    for turn in turns:
        yield from _spans(turn)


def _chapters(text, turns):
    chapter = []
    for turn in turns:
        if chapter and CHAPTER_BREAK in text[chapter[-1].paragraphs[-1].end : turn.paragraphs[0].start]:
            yield chapter
            chapter = []
        chapter.append(turn)
    yield chapter


def _tell(turns, cast):
    for number, turn in enumerate(turns):
        _settle(turns, number, cast)
    carried: set[str] = set()
    for has_quotes, run in groupby(turns, key=lambda turn: bool(turn.quotes)):
        group = list(run)
        if has_quotes:
            _take_turns(group, cast, carried)
            spoke = {turn.speaker for turn in group[-2:] if turn.speaker}
            pair = {*spoke, *group[-1].called}
            carried = pair if len(pair) == 2 else carried if spoke <= carried else spoke
        elif len(group) > 2 or not {n for turn in group for n in turn.named} <= carried:
            carried = set()


def _turns(text: str, found: Iterable[Paragraph]) -> Iterator[_Turn]:
    turn: _Turn | None = None
    for paragraph in found:
        quotes = paragraph.quotes
        at_start = quotes and not text[paragraph.start : quotes[0].start].strip()
        if turn and at_start and turn.quotes and turn.quotes[-1].is_open:
            turn.paragraphs.append(paragraph)
            continue
        if turn:
            yield turn
        turn = _Turn([paragraph])
    if turn:
        yield turn


def _read(text: str, grammar: Grammar, turn: _Turn, previous: _Turn | None) -> None:
    """Find the clues of a turn, whom the narrator names, and whom the speakers address."""
    for paragraph in turn.paragraphs:
        at, last = paragraph.start, None
        for number, quote in enumerate(paragraph.quotes):
            ends = [each.start for each in paragraph.quotes[number + 1 : number + 2]]
            after = grammar.after(text, quote.end, ends[0] if ends else paragraph.end)
            if number or text[at : quote.start].strip() or previous is None:
                before = grammar.before(text, at, quote.start, goes_on=last is not None)
            else:
                before = _announced(text, grammar, previous)
            if not turn.clues:
                turn.named += grammar.names(text, at, quote.start)
            if clue := after or before:
                turn.clues[quote.start] = clue
            if after and after.pronoun:
                end = ends[0] if ends else paragraph.end
                turn.beside |= set(grammar.names(text, quote.end, grammar.sentence_end(text, quote.end, end)))
            turn.called |= grammar.called(text, quote.start, quote.end)
            at, last = quote.end, after
        turn.narrated_after = grammar.has_sentence(text, at, paragraph.end)
        if not turn.clues:
            turn.named += grammar.names(text, at, paragraph.end)


def _announced(text: str, grammar: Grammar, previous: _Turn) -> Clue | None:
    """Who says what follows a paragraph that ends with a colon."""
    paragraph = previous.paragraphs[-1]
    start = paragraph.quotes[-1].end if paragraph.quotes else paragraph.start
    is_so = text[max(start, paragraph.end - 5) : paragraph.end].rstrip().endswith((":", "—", "–"))
    return grammar.before(text, start, paragraph.end) if is_so else None


def _settle(turns: Sequence[_Turn], number: int, cast: Cast) -> None:
    """Set the speaker of a turn, if its clues name one person."""
    turn = turns[number]
    named = {clue.speaker for clue in turn.clues.values() if clue.speaker}
    pronouns = {clue.pronoun for clue in turn.clues.values() if clue.pronoun}
    first = next((clue.words for clue in turn.clues.values() if clue.speaker), "")
    if len(named) == 1 and all(_fits(cast, who, p) for who in named for p in pronouns):
        turn.speaker, turn.reason = named.pop(), first
    elif named or len(pronouns) > 1:
        turn.speaker, turn.reason, turn.several = OTHER, "several speak in a paragraph", True
    elif pronouns:
        words = next(iter(turn.clues.values())).words
        fitting = _fitting(turns, number, cast, pronouns.pop())
        if len(fitting) == 1:
            turn.speaker, turn.reason = fitting.pop(), f"{words}: one person fits"
        else:
            turn.reason = f"{words}: " + (", ".join(sorted(fitting)) or "nobody fits")


def _fits(cast: Cast, speaker: str, pronoun: str) -> bool:
    return cast.pronouns.get(speaker, pronoun) == pronoun


def _fitting(turns: Sequence[_Turn], number: int, cast: Cast, pronoun: str) -> set[str]:
    """Who may be meant by a pronoun: those who were named, addressed, or spoke just before."""
    turn, last = turns[number], turns[number - 1] if number else _Turn([])
    if any(near.speaker == OTHER for near in turns[max(0, number - 2) : number]):
        return {OTHER}

    def fit(people: Iterable[str]) -> set[str]:
        known = set(people) - {OTHER, NARRATOR, *turn.called, *turn.beside}
        return {who for who in known if _fits(cast, who, pronoun)}

    answers = last.quotes and not last.narrated_after
    for close in (fit(turn.named), fit(last.called if answers else last.named)):
        if len(close) == 1 and close != {last.speaker}:
            return close
    fitting = fit(turn.named)
    for back, near in enumerate(reversed(turns[max(0, number - _FAR) : number])):
        if back >= _BACK and fitting:
            break
        fitting |= fit([near.speaker, *near.named, *near.called])
    following = turns[number + 1 : number + 2]
    answered = {c.speaker for t in following for c in list(t.clues.values())[:1] if not turn.narrated_after}
    return fitting - ({last.speaker} if answers else set()) - answered


def _take_turns(run: Sequence[_Turn], cast: Cast, carried: set[str]) -> None:
    """Give turns between or beside those of two people to them, if nothing speaks against it."""
    known = [-1, *(n for n, turn in enumerate(run) if turn.speaker), len(run)]
    gaps = list(pairwise(known))
    for first, last in [*gaps[1:], *gaps[:1]]:
        if last - first > 1:
            _fill(run, first, last, cast, carried)


def _fill(run: Sequence[_Turn], first: int, last: int, cast: Cast, carried: set[str]) -> None:
    """Give the turns between `first` and `last`, whose speakers are known, to two in turns."""
    leads = first < 0
    anchor = last if leads else first
    if anchor >= len(run):
        return
    inner = range(first + 1, last + 1) if leads else range(first, last)
    near = range(max(0, first - 2), min(len(run), last + 3))
    close = [n for n in near if first - 1 <= n <= last + 1]
    called = {who for n in inner for who in run[n].called}
    people = {run[n].speaker for n in close if leads or n < last} | called
    people -= {NARRATOR}
    ended = last >= len(run)
    if len(people) == 1 and not leads and not ended:
        people.add(run[last].speaker)
    if len(people) == 1:
        people |= carried
    if len(people) != 2 or OTHER in people or any({*run[n].named} - people for n in inner):
        return
    (other,) = people - {run[anchor].speaker}
    speakers = {n: other if (n - anchor) % 2 else run[anchor].speaker for n in near}
    stops = not leads and not ended and run[last].speaker not in people
    for n in inner:
        pronouns = [clue.pronoun for clue in run[n].clues.values() if clue.pronoun]
        if speakers[n] in run[n].called or not all(_fits(cast, speakers[n], p) for p in pronouns):
            return
        if first < n < last and {*run[n].named} - {speakers[n]}:
            return
    checked = [n for n in close if n < last] if stops else close
    if any(run[n].speaker not in ("", speakers[n]) for n in checked):
        return
    step = 1 if leads else -1
    beside = 0
    while (n := anchor + step * (beside + 1)) in near and run[n].speaker == speakers[n]:
        beside += 1
    evidence = (carried == people) + beside + sum(bool(run[n].called) for n in inner if n < last)
    if evidence >= (EV_S if stops else EV_T if ended else EV_L if leads else EV_M):
        for n in range(first + 1, last):
            run[n].speaker, run[n].reason = speakers[n], "turns of two"


import os
EV_M, EV_T, EV_L, EV_S = map(int, os.environ.get("EV", "1,1,2,2").split(","))


def _spans(turn: _Turn) -> Iterator[Span | Unsure]:
    quotes = turn.quotes
    for number, quote in enumerate(quotes):
        clue = turn.clues.get(quote.start)
        if quote.is_scare and not clue:
            continue
        speaker, reason = turn.speaker, turn.reason
        if turn.several:
            speaker = clue.speaker if clue else NARRATOR
        if quote.is_open and number == len(quotes) - 1:
            yield Unsure(quote.start, quote.end, "no mark closes it")
        elif speaker in (OTHER, NARRATOR):
            who = f"{reason}: not in the cast" if speaker == OTHER and not turn.several else reason
            yield Unsure(quote.start, quote.end, who)
        else:
            yield Span(quote.start, quote.end, "text", speaker, "", reason)
