"""Who says each quote of a text. What no rule knows stays the narrator's, and is listed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from chatter_nb.base.speakers import NARRATOR, QUOTES, QuoteMode
from chatter_nb.text.dialogue.marks import Cast
from chatter_nb.text.dialogue.quotes import Quote, paragraphs
from chatter_nb.text.dialogue.saying import OTHER, Clue, Grammar, tongues
from chatter_nb.text.dialogue.turns import Turn, give_speakers
from chatter_nb.text.line import CHAPTER_BREAK
from chatter_nb.text.sentences import base_of
from chatter_nb.text.spans import Span, overlaid, tiled

_Paragraph = tuple[int, int, list[Quote]]


def read_quotes(
    text: str,
    cast: Cast,
    *,
    quotes: QuoteMode,
    language: str = "en",
    spans: Iterable[Span] = (),
) -> tuple[list[Span], list[Span]]:
    """The spans of a text by its quotes; and apart, with reasons, quotes left to the narrator.

    `spans` are what marks and labels say; a quote counts in what they leave to the narrator.
    """
    below = list(tiled(spans, len(text)))
    if quotes == "narrator":
        return below, []
    known = base_of(language) in tongues() and language != "any"
    grammar = Grammar(cast, base_of(language)) if known else None
    found = _free(paragraphs(text, grammar.inserted if grammar else None), below)
    if quotes == "attributed" and grammar:
        said = [span for turns in _chapters(text, found, grammar, cast) for span in _said(turns)]
    else:
        speaker, why = NARRATOR, f"no rules for {language}"
        if quotes == "one":
            speaker, why = cast.speaker(QUOTES) or QUOTES, "quote"
        every = (quote for *_, each in found for quote in each if not quote.is_scare)
        said = [Span(quote.start, quote.end, "text", speaker, "", why) for quote in every]
    spoken = [span for span in said if span.speaker]
    return list(overlaid(below, spoken, len(text))), [span for span in said if not span.speaker]


def _free(found: Iterable[_Paragraph], below: Sequence[Span]) -> Iterator[_Paragraph]:
    """The paragraphs with those quotes that marks and labels leave to the narrator."""
    starts = [span.start for span in below]
    for start, end, quotes in found:
        around = ((each, below[bisect_right(starts, each.start) - 1]) for each in quotes)
        yield start, end, [each for each, span in around if each.end <= span.end and span.is_plain]


def _chapters(
    text: str, found: Iterable[_Paragraph], grammar: Grammar, cast: Cast
) -> Iterator[list[Turn]]:
    """The turns of each chapter, with their speakers."""
    turns: list[Turn] = []
    for start, end, quotes in found:
        if turns and CHAPTER_BREAK in text[turns[-1].end : start]:
            yield give_speakers(turns, cast)
            turns = []
        before = [start, *(quote.end for quote in quotes)]
        after = [*(quote.start for quote in quotes[1:]), end]
        parts = list(zip(before, quotes, after, strict=False))
        at_start = bool(quotes) and not text[start : quotes[0].start].strip()
        if not (at_start and turns and turns[-1].is_open):
            turns.append(Turn([], start, end))
        turn, previous = turns[-1], turns[-2] if at_start and len(turns) > 1 else None
        turn.parts += parts
        turn.tail, turn.end = before[-1], end
        _read(text, grammar, turn, parts, previous)
    yield give_speakers(turns, cast)


def _read(
    text: str,
    grammar: Grammar,
    turn: Turn,
    parts: Iterable[tuple[int, Quote, int]],
    previous: Turn | None,
) -> None:
    """Find the clues of a paragraph, whom the narrator names and whom the speakers address.

    `previous` may end with words that announce what is said.
    """
    after: Clue | None = None
    for start, quote, end in parts:
        before = grammar.before(text, start, quote.start, goes_on=after is not None)
        if previous and text[previous.tail : previous.end].rstrip().endswith((":", "—", "–")):
            before = grammar.before(text, previous.tail, previous.end)
        after, previous = grammar.after(text, quote.end, end), None
        if clue := after or before:
            turn.clues[quote.start] = clue
        turn.named.update(grammar.names(text, start, quote.start))
        turn.called.update(grammar.called(text, quote.start, quote.end))
    turn.named.update(grammar.names(text, turn.tail, turn.end))
    turn.subjects.update(grammar.subjects(text, turn.tail, turn.end))


def _said(turns: Iterable[Turn]) -> Iterator[Span]:
    """A span for each quote; the narrator's, with the reason, where nobody is known to speak."""
    for turn in turns:
        for number, (_, quote, _) in enumerate(turn.parts, 1):
            clue = turn.clues.get(quote.start, Clue(NARRATOR))
            speaker, reason = turn.speaker, turn.reason
            if speaker == OTHER and clue.speaker:
                speaker, reason = clue.speaker, clue.words if clue.speaker != OTHER else reason
            if quote.is_open and number == len(turn.parts):
                speaker, reason = NARRATOR, "no mark closes it"
            if clue.words or not quote.is_scare:
                speaker = NARRATOR if speaker == OTHER else speaker
                yield Span(quote.start, quote.end, "text", speaker, "", reason)
