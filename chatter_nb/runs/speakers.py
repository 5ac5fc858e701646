"""Who speaks where in a run's texts: marks, labels from a file, and rules for quotes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from chatter_nb.base.errors import InputError, shorten, shown
from chatter_nb.base.project import resolve_path
from chatter_nb.base.speakers import NARRATOR
from chatter_nb.base.wording import count
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.record import UnsureRecord
from chatter_nb.text.chunking import Chunk
from chatter_nb.text.dialogue.attribution import read_quotes
from chatter_nb.text.dialogue.labels import read_labels
from chatter_nb.text.dialogue.marks import (
    DIRECTION,
    Cast,
    read_directions,
    read_marks,
    voices_marked,
)
from chatter_nb.text.line import as_line, in_text
from chatter_nb.text.spans import Span, overlaid

_LISTED = 6  # quotes of a note


class Speakers(NamedTuple):
    """Who speaks where: spans that tile a text, none for the narrator alone; notes on its marks.

    A quote that nobody is known to say has a span of the narrator's with a reason.
    """

    spans: Sequence[Span] = ()
    notes: Sequence[str] = ()


def cast_of(params: SpeakParams) -> Cast:
    """The names that texts may use."""
    names = dict[str, str]()
    for name, member in params.cast.items():
        names |= {" ".join(each.lower().split()): name for each in (name, *member.aliases)}
    pronouns = {name: member.pronoun for name, member in params.cast.items() if member.pronoun}
    return Cast(names, tuple(params.moods), pronouns)


def of_a_part(params: SpeakParams) -> SpeakParams:
    """The parameters for a part of a text: labels count in the whole of it."""
    return params.model_copy(update={"labels": ""})


def speakers_in(text: str, params: SpeakParams, language: str) -> Speakers:
    """Who speaks where in a cleaned text. Raises `InputError` for slips and for bad labels."""
    is_plain = not params.cast and not params.labels and params.quotes == "narrator"
    if is_plain and not voices_marked(text):
        return Speakers()
    cast = cast_of(params)
    spans, notes = read_marks(text, cast)
    marks = [span for span in spans if span.kind == "mark"]
    labels = list(_labels(text, params, cast, spans)) if params.labels else []
    for layer in (read_directions(text), in_text(labels, text, spans), marks):
        spans = list(overlaid(spans, layer, len(text)))
    spans, unsure = read_quotes(text, cast, quotes=params.quotes, language=language, spans=spans)
    spans = list(overlaid(unsure, spans, len(text)))
    return Speakers(spans, notes if params.cast else ())


def _labels(text: str, params: SpeakParams, cast: Cast, spans: Iterable[Span]) -> Iterator[Span]:
    silent = {"sentence_pause_ms": 0, "paragraph_pause_ms": 0, "chapter_pause_ms": 0}
    line = as_line(text, spans, **silent).text
    path = resolve_path(params.labels)
    for label in read_labels(path, len(line)):
        for at in (label.start, label.end):
            if line[at - 1 : at].isalnum() and line[at : at + 1].isalnum():
                cut = shown(f"{line[max(0, at - 10) : at]}|{line[at : at + 10]}")
                cure = "count as start and end of chunks in run.json do, marks left out"
                raise InputError(f"{path}: {at} is inside a word, {cut}: {cure}")
        speaker = cast.speaker(label.speaker) if label.speaker else NARRATOR
        if speaker is None:
            known = ", ".join(params.cast)
            raise InputError(f"{path}: {shown(label.speaker)} is not in the cast ({known})")
        yield label._replace(speaker=speaker)


def unsure_quotes(document: str, text: str, spans: Sequence[Span]) -> Iterator[UnsureRecord]:
    """The quotes that nobody is known to say, at their places in the text that is shown."""
    if any(_is_unsure(span) for span in spans):
        line = as_line(text, spans, sentence_pause_ms=0, paragraph_pause_ms=0, chapter_pause_ms=0)
        for start, end, *_, reason in filter(_is_unsure, line.spans):
            said = line.text[start:end]
            yield UnsureRecord(document=document, start=start, end=end, text=said, reason=reason)


def _is_unsure(span: Span) -> bool:
    return not span.speaker and span.reason not in ("", "label", "mark", DIRECTION)


def note_on(unsure: Sequence[UnsureRecord]) -> list[str]:
    """A note on quotes that are left to the narrator; none without any."""
    if not unsure:
        return []
    listed = "; ".join(f"{shorten(q.text, 40)} ({shorten(q.reason, 60)})" for q in unsure[:_LISTED])
    more = f"; and {len(unsure) - _LISTED:,} more, see run.json" if len(unsure) > _LISTED else ""
    return [f"{count(len(unsure), 'quote')} left to the narrator: {listed}{more}"]


def silent_members(params: SpeakParams, chunks: Iterable[Chunk]) -> list[str]:
    """A note on names of the cast who say nothing; none if all speak."""
    heard = {chunk.speaker for chunk in chunks} | {cast_of(params).speaker(params.narrator)}
    silent = [name for name in params.cast if name not in heard]
    cure = "look at the marks' spelling, or at quotes: attributed"
    return [f"cast: nothing is said by {', '.join(silent)}: {cure}"] if silent else []
