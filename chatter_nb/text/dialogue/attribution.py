"""Who says each quote of a text. What no rule knows stays the narrator's, and is listed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from chatter_nb.text.chunking import CHAPTER_BREAK
from chatter_nb.text.dialogue.marks import Cast
from chatter_nb.text.dialogue.quotes import Paragraph, Quote, paragraphs
from chatter_nb.text.dialogue.saying import OTHER, Clue, Grammar, tongues
from chatter_nb.text.dialogue.spans import NARRATOR, Span, overlaid, tiled
from chatter_nb.text.dialogue.turns import Turn, give_speakers

QuoteMode = Literal["narrator", "one", "attributed"]
QUOTES = "quotes"  # the speaker of all quotes in mode `one`
_ANNOUNCES = (":", "—", "–")


class Unsure(NamedTuple):
    """A quote that stays the narrator's, and why. Characters [start, end) of the text."""

    start: int
    end: int
    reason: str


def read_quotes(
    text: str,
    cast: Cast,
    *,
    quotes: QuoteMode,
    language: str = "en",
    spans: Iterable[Span] = (),
) -> tuple[list[Span], list[Unsure]]:
    """The spans of a text by its quotes, and the quotes that stay the narrator's, in order.

    `spans` are what marks and labels say; a quote counts in what they leave to the narrator.
    """
    below = list(tiled(spans, len(text)))
    if quotes == "narrator":
        return below, []
    knows = language in tongues() and language != "any"
    grammar = Grammar(cast, language) if knows and quotes == "attributed" else None
    found = list(_free(paragraphs(text, grammar.inserted if grammar else None), below))
    if grammar:
        said = [each for turns in _chapters(text, found, grammar, cast) for each in _said(turns)]
    else:
        every = [quote for paragraph in found for quote in paragraph.quotes if not quote.is_scare]
        one, why = (
            (QUOTES, "quotes: one") if quotes == "one" else (NARRATOR, f"no rules for {language}")
        )
        said = [(Span(quote.start, quote.end, "text", one, "", why)) for quote in every]
    sure = [span for span in said if span.speaker]
    unsure = [Unsure(span.start, span.end, span.reason) for span in said if not span.speaker]
    return list(overlaid(below, sure, len(text))), unsure


def _free(found: Iterable[Paragraph], below: Sequence[Span]) -> Iterator[Paragraph]:
    """The paragraphs with those quotes that marks and labels leave to the narrator."""
    starts = [span.start for span in below]
    for paragraph in found:
        around = [below[bisect_right(starts, quote.start) - 1] for quote in paragraph.quotes]
        pairs = zip(paragraph.quotes, around, strict=True)
        free = [quote for quote, span in pairs if quote.end <= span.end and span.is_plain]
        yield paragraph._replace(quotes=free)


def _chapters(
    text: str, found: Iterable[Paragraph], grammar: Grammar, cast: Cast
) -> Iterator[list[Turn]]:
    """The turns of each chapter, with their speakers."""
    turns: list[Turn] = []
    for start, end, quotes in found:
        if turns and CHAPTER_BREAK in text[turns[-1].end : start]:
            give_speakers(turns, cast)
            yield turns
            turns = []
        edges = [start, *(quote.end for quote in quotes)]
        parts = list(
            zip(edges, quotes, [*(quote.start for quote in quotes[1:]), end], strict=False)
        )
        at_start = bool(quotes) and not text[start : quotes[0].start].strip()
        if not (at_start and turns and turns[-1].parts and turns[-1].parts[-1][1].is_open):
            turns.append(Turn([], start, end))
        turns[-1].parts += parts
        turns[-1].tail, turns[-1].end = edges[-1], end
        _read(text, grammar, turns[-1], parts, turns[-2] if at_start and len(turns) > 1 else None)
    give_speakers(turns, cast)
    yield turns


def _read(
    text: str,
    grammar: Grammar,
    turn: Turn,
    parts: Iterable[tuple[int, Quote, int]],
    previous: Turn | None,
) -> None:
    """Find the clues of a paragraph, whom the narrator names and whom the speakers address."""
    after: Clue | None = None
    for start, quote, end in parts:
        before = grammar.before(text, start, quote.start, goes_on=after is not None)
        if previous and text[previous.tail : previous.end].rstrip()[-1:] in _ANNOUNCES:
            before = grammar.before(text, previous.tail, previous.end)
        after, previous = grammar.after(text, quote.end, end), None
        if clue := after or before:
            turn.clues[quote.start] = clue
        turn.named |= set(grammar.names(text, start, quote.start))
        turn.called |= set(grammar.called(text, quote.start, quote.end))
    turn.named |= set(grammar.names(text, turn.tail, turn.end))
    turn.subjects |= set(grammar.subjects(text, turn.tail, turn.end))
    turn.continues = grammar.has_sentence(text, turn.tail, turn.end)


def _said(turns: Iterable[Turn]) -> Iterator[Span]:
    """A span for each quote; of the narrator, with the reason, where nobody is known to speak."""
    for turn in turns:
        for number, (_, quote, _) in enumerate(turn.parts, 1):
            clue = turn.clues.get(quote.start)
            if quote.is_scare and not clue:
                continue
            speaker, reason = turn.speaker, turn.reason
            if turn.speaker == OTHER:
                speaker = clue.speaker if clue and clue.speaker != OTHER else NARRATOR
            if quote.is_open and number == len(turn.parts):
                speaker, reason = NARRATOR, "no mark closes it"
            yield Span(quote.start, quote.end, "text", speaker, "", reason)
